"""The consumer group of a sink."""

from millstream.herder.requests import Config


def group_of(config: Config) -> str:
    """Its own choice, else `connect-<name>`."""
    return config.get("consumer.override.group.id") or f"connect-{config['name']}"

"""The consumer group of a sink, and what it reads."""

import re

from millstream.broker.ports import SinkGroup
from millstream.herder.requests import Config
from millstream.host.installed import listed


def group_of(config: Config) -> str:
    """Its own choice, else `connect-<name>`."""
    return config.get("consumer.override.group.id") or f"connect-{config['name']}"


def reading_group(config: Config) -> SinkGroup:
    """What retention has to know; settings with `${…}`, which only a child resolves, tell nothing."""
    topics, regex = config.get("topics") or "", config.get("topics.regex") or ""
    if "${" in topics + regex:
        return SinkGroup(group_of(config))
    try:
        return SinkGroup(group_of(config), tuple(listed(topics)), re.compile(regex) if regex else None)
    except re.error:  # its task has failed and says so
        return SinkGroup(group_of(config))

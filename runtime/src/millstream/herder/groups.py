"""What a sink reads, as its settings say."""

import re

from millstream.broker.ports import SinkGroup
from millstream.herder.requests import Config
from millstream.host.installed import listed
from millstream.settings.client import group_of


def reading_group(config: Config, worker: Config) -> SinkGroup:
    """What retention has to know; settings with `${…}`, which only a child resolves, tell nothing.

    worker: the worker's own settings.
    """
    group = group_of(config["name"] or "", config, worker)
    topics, regex = config.get("topics") or "", (config.get("topics.regex") or "").strip()
    if "${" in topics + regex:
        return SinkGroup(group)
    try:
        return SinkGroup(group, tuple(listed(topics)), re.compile(regex) if regex else None)
    except re.error:  # its task has failed and says so
        return SinkGroup(group)

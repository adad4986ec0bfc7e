"""Which of the two brokers a `bootstrap.servers` means."""

import os
from collections.abc import Mapping

from millstream.broker.ports import Broker

EMBEDDED = "sqlite:"


def is_absent(bootstrap: str) -> bool:
    """Whether it names an embedded log whose file is not there, which opening would make."""
    if not bootstrap.startswith(EMBEDDED):
        return False
    from millstream.broker.embedded.filesystem import log_files

    files = log_files(bootstrap.removeprefix(EMBEDDED))
    return not files.memory and not os.path.exists(files.data)


def open_broker(bootstrap: str, settings: Mapping[str, str] | None = None, at_once: bool = True) -> Broker:
    """Open the log at `bootstrap`: `sqlite:<path>`, `sqlite::memory:`, `sqlite::memory:<name>`, or Kafka's brokers.

    settings: worker settings as text; the embedded log reads `log.sync`, `log.retention.ms`, `log.retention.bytes`,
              `num.partitions`, `max.message.bytes`; Kafka's clients `producer.*`, `consumer.*`, `admin.*`.
    at_once:  false: the embedded log's file is opened by whoever needs it first, and what is wrong is raised there.
    Raises BrokerError saying what is wrong with the file, its folder or its file system; brokers are not asked yet.
    """
    if bootstrap.startswith(EMBEDDED):
        from millstream.broker.embedded.log import open_embedded

        return open_embedded(bootstrap, settings or {}, at_once=at_once)
    from millstream.broker.kafka.broker import KafkaBroker

    return KafkaBroker(bootstrap, settings or {})

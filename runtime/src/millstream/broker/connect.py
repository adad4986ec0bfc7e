"""Which of the two brokers a `bootstrap.servers` means."""

from collections.abc import Mapping

from millstream.broker.ports import Broker
from millstream.errors import BrokerError

EMBEDDED = "sqlite:"


def open_broker(bootstrap: str, settings: Mapping[str, str] | None = None) -> Broker:
    """Open the log at `bootstrap`: `sqlite:<path>`, `sqlite::memory:` or `sqlite::memory:<name>`.

    settings: worker settings as text; the embedded log reads `log.sync`, `log.retention.ms`, `log.retention.bytes`,
              `num.partitions`, `max.message.bytes`.
    Raises BrokerError saying what is wrong with the file, its folder or its file system.
    """
    if bootstrap.startswith(EMBEDDED):
        from millstream.broker.embedded.log import open_embedded

        return open_embedded(bootstrap, settings or {})
    raise BrokerError(
        f"cannot open the broker {bootstrap!r}: this version has the embedded log alone; "
        "set bootstrap.servers=sqlite:<path of a file>"
    )

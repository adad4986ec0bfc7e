"""From the text of a worker file to its configuration, with a word about each setting that will not be followed."""

import logging
from collections.abc import Mapping, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from millstream.errors import ConfigError
from millstream.settings.client import Client, client_definitions, of_worker
from millstream.settings.connector import config_of
from millstream.settings.distributed import DistributedConfig
from millstream.settings.topic import OFFSETS_SETTING
from millstream.settings.worker import StandaloneConfig
from millstream_api.errors import Problem

log = logging.getLogger(__name__)

JSON = "org.apache.kafka.connect.json.JsonConverter"

WITHOUT_A_FILE = {"listeners": "http://127.0.0.1:8083", "key.converter": JSON, "value.converter": JSON}
"""What a worker without a worker file is given: REST for this machine only, JSON, the embedded log."""

FAMILIES = (
    *("producer.", "consumer.", "admin.", "key.converter.", "value.converter.", "header.converter."),
    *("metrics.context.", "config.providers.", "listeners.https.", "admin.listeners.https."),
    *("config.storage.", "offset.storage.", "status.storage."),
)
"""Prefixes under which any name may stand."""

JAVA_ONLY = (
    *("plugin.path", "plugin.discovery", "ssl.provider", "ssl.keymanager.algorithm", "ssl.trustmanager.algorithm"),
    "ssl.secure.random.implementation",
)
LOG_FOLDER = "millstream-data"
EMBEDDED = "sqlite:"
FORMER = ("internal.key.converter", "internal.value.converter")
ADDRESS = ("rest.host.name", "rest.port")
"""What Kafka had before 3.0 instead of `listeners`."""
CLIENTS: tuple[Client, ...] = ("producer", "consumer")
ADMIN: Client = "admin"
OF_THE_LOG = ("log.sync", "log.retention.ms", "log.retention.bytes", "num.partitions", "max.message.bytes")
KINDS: tuple[Literal["source", "sink"], ...] = ("source", "sink")
OF_CONNECTORS = ("transforms.", "predicates.", "errors.", "topic.creation.")


def worker_config(settings: Mapping[str, str | None]) -> StandaloneConfig:
    """Make the configuration of a standalone worker from its settings, variables already replaced.

    Logs one WARN for each unknown setting, with the nearest known one, and one INFO for those that mean something to a
    JVM only. Raises ConfigError with all problems, among them a setting of something that is not built yet.
    """
    if settings.get("group.id") is not None:
        raise ConfigError(
            {
                "group.id": "group.id asks for distributed mode, which is not built yet; remove it, and the worker runs"
                " alone, in standalone mode"
            }
        )
    config = StandaloneConfig.parse(settings)
    embedded = bootstrap_of(settings).startswith(EMBEDDED)
    _tell(settings, embedded)
    _look_at_clients(settings, embedded)
    return config


def _look_at_clients(settings: Mapping[str, str | None], embedded: bool) -> None:
    """Refuse what Kafka's clients would refuse of `producer.*` and the like; on the embedded log say, too, what of it
    is not followed: on Kafka the clients do."""
    given = {client: of_worker(client, settings) for client in (*CLIENTS, ADMIN)}
    if not any(given.values()):
        return
    from millstream.settings.embedded import check_client, not_followed  # most workers have none of them

    problems: list[Problem] = []
    for client, own in given.items():
        try:
            check_client(client, own, {})
        except ConfigError as error:
            problems += error.found
    if problems:
        raise ConfigError(problems)
    whole = [(name, f"{client}.{name}") for client, own in given.items() for name, text in own.items() if text.strip()]
    for sentence in not_followed(whole) if embedded else ():
        log.warning("%s", sentence)


def unknown_settings(settings: Mapping[str, str | None]) -> dict[str, str]:
    """Give the settings that the worker has no use for, each with a sentence on what may be meant, or nothing."""
    known = {one.name for config in (StandaloneConfig, DistributedConfig) for one in config.definitions()}
    known |= {one.name for one in client_definitions("admin")}
    strange = [name for name in settings if name not in known and not name.startswith((*FAMILIES, *FORMER))]
    return {name: _meant(name, known) for name in strange}


def _meant(name: str, known: Set[str]) -> str:
    """Say what a setting that is not among those known may be."""
    if name in ADDRESS:
        return "Kafka 3.0 has taken it away: write listeners=http://<host>:<port>"
    clients = [f"{client}.{name}" for client in CLIENTS if name in {one.name for one in client_definitions(client)}]
    if clients:
        return f"it is a setting of connectors' clients: did you mean {' and '.join(map(repr, clients))}?"
    if name in {one.name for kind in KINDS for one in config_of(kind).definitions()} or name.startswith(OF_CONNECTORS):
        return "it is a connector's: put it into the connector's own file or request"
    nearest = get_close_matches(name, sorted(known), 1, 0.75)
    return f"did you mean {nearest[0]!r}?" if nearest else ""


def _tell(settings: Mapping[str, str | None], embedded: bool) -> None:
    for name, meant in unknown_settings(settings).items():
        log.warning("the worker does not know the setting %r, and does not use it%s", name, meant and f"; {meant}")
    if former := [name for name in settings if name.startswith(FORMER)]:
        log.warning("not used any more, as internal topics are always JSON without schemas: %s", ", ".join(former))
    if java := [name for name in JAVA_ONLY if name in settings]:
        log.info("these settings are for a JVM, and change nothing here: %s", ", ".join(java))
    if embedded and "offset.storage.file.filename" in settings:
        log.info(
            "offset.storage.file.filename is not used: the embedded log keeps the offsets of sources; positions in that"
            " file are not read"
        )
    standalone = {one.name for one in StandaloneConfig.definitions()}
    client = {one.name for one in client_definitions("admin")} - standalone
    served = {name for name in client if name.startswith("ssl.") and _has_tls(settings)}  # the listeners have them
    if embedded and (idle := [name for name in settings if name in client - served]):
        log.info("these settings are for clients of Kafka, and change nothing on the embedded log: %s", ", ".join(idle))
    distributed = {one.name for one in DistributedConfig.definitions()} - standalone - client
    if embedded:
        distributed.discard(OFFSETS_SETTING)
    if not embedded and (idle := [name for name in settings if name in OF_THE_LOG]):
        log.info("these settings are for the embedded log, and change nothing on Kafka: %s", ", ".join(idle))
    if elsewhere := [name for name in settings if name in distributed]:
        log.info("these settings are for distributed mode, and change nothing in standalone: %s", ", ".join(elsewhere))


def _has_tls(settings: Mapping[str, str | None]) -> bool:
    """Whether a listener of the REST API is https."""
    return any("https:" in (settings.get(name) or "").lower() for name in ("listeners", "admin.listeners"))


def bootstrap_of(settings: Mapping[str, str | None], folder: Path | None = None) -> str:
    """Give the log that a worker's settings mean: `bootstrap.servers`, with the absolute path of an embedded one, or
    the file in `./millstream-data/`.

    folder: where relative paths begin; None: here.
    """
    given = (settings.get("bootstrap.servers") or "").strip()
    path = given.removeprefix(EMBEDDED)
    if given and (path in (given, "") or path.startswith(":memory:")):
        return given
    try:
        here = folder or Path.cwd()
    except FileNotFoundError as error:
        problem = "the working folder does not exist any more, and a log is looked for in it; change to one that does"
        raise ConfigError({"": problem}) from error
    wanted = Path(LOG_FOLDER, "log.db") if not given else expanded("bootstrap.servers", path)
    return f"{EMBEDDED}{here / wanted}"


def expanded(setting: str, path: str) -> Path:
    """Give the path with the home folder for `~`. Raises ConfigError for a user whose home is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            {setting: f"there is no user whose home {path!r} would mean; write the whole path"}
        ) from error

"""From the text of a worker file to its configuration, with a word about each setting that will not be followed."""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from millstream.errors import ConfigError
from millstream.settings.client import client_definitions
from millstream.settings.distributed import DistributedConfig
from millstream.settings.worker import StandaloneConfig

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
    _tell(settings, bootstrap_of(settings).startswith(EMBEDDED))
    return config


def unknown_settings(settings: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give the settings that the worker has no use for, each with the nearest one that it has, or None."""
    known = {one.name for config in (StandaloneConfig, DistributedConfig) for one in config.definitions()}
    known |= {one.name for one in client_definitions("admin")}
    strange = [name for name in settings if name not in known | {*FORMER} and not name.startswith(FAMILIES)]
    return {name: next(iter(get_close_matches(name, sorted(known), 1, 0.75)), None) for name in strange}


def _tell(settings: Mapping[str, str | None], embedded: bool) -> None:
    for name, nearest in unknown_settings(settings).items():
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        log.warning("the worker does not know the setting %r, and does not use it%s", name, hint)
    for name in FORMER:
        if name in settings:
            log.warning("the setting %r is no longer used: internal topics are always JSON without schemas", name)
    java = [name for name in JAVA_ONLY if name in settings]
    if java:
        log.info("these settings are for a JVM, and change nothing here: %s", ", ".join(java))
    if embedded and "offset.storage.file.filename" in settings:
        log.info(
            "offset.storage.file.filename is not used: the embedded log keeps the offsets of sources; positions in that"
            " file are not read"
        )
    here = {one.name for one in StandaloneConfig.definitions()}
    if not embedded:
        here |= {one.name for one in client_definitions("admin")}
    elsewhere = [one.name for one in DistributedConfig.definitions() if one.name not in here and one.name in settings]
    if elsewhere:
        log.info("these settings are for distributed mode, and change nothing in standalone: %s", ", ".join(elsewhere))


def bootstrap_of(settings: Mapping[str, str | None], folder: Path | None = None) -> str:
    """Give the log that a worker's settings mean: `bootstrap.servers`, with the absolute path of an embedded one, or
    the file in `./millstream-data/`.

    folder: where relative paths begin; None: here.
    """
    given = (settings.get("bootstrap.servers") or "").strip()
    path = given.removeprefix(EMBEDDED)
    if given and (path == given or path.startswith(":memory:")):
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

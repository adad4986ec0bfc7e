"""A standalone worker put together from its settings: log, children, herder, REST."""

import logging
import ssl
import threading
from collections.abc import Mapping, Sequence
from importlib import metadata
from time import monotonic

from starlette.types import ASGIApp

from millstream.broker.connect import EMBEDDED, open_broker
from millstream.errors import ConfigError
from millstream.herder.herder import WorkerIdentity
from millstream.herder.requests import CreateConnector
from millstream.herder.standalone import StandaloneHerder, StandaloneParts
from millstream.host.installed import worker_settings
from millstream.inventory.discovery import discover, tell_failures
from millstream.inventory.required import check_converters
from millstream.lifecycle import SystemClock
from millstream.rest.app import RestSettings, create_admin_app, create_app
from millstream.rest.extensions import HerderCluster, beside, guarded, load_extensions
from millstream.rest.listeners import Advertised, advertised_url, bind, bound, parse_listener, settings_of
from millstream.rest.request_log import RequestLog
from millstream.rest.security import CrossOrigin, ResponseHeaders, header_rules
from millstream.rest.server import RestServer, Served
from millstream.rest.tls import server_context
from millstream.settings.memory import parse_size
from millstream.settings.reading import bootstrap_of, expanded, worker_config
from millstream.settings.topic import offset_topic
from millstream.settings.worker import StandaloneConfig
from millstream.storage.kept_offsets import KeptOffsets
from millstream.storage.offset_file import OffsetFile
from millstream.worker.interpreter import Begun
from millstream.worker.limits import read_limits
from millstream.worker.worker import Worker, WorkerSetup

log = logging.getLogger(__name__)

KAFKA_VERSION = "4.3.1"  # whose behaviour this is; tools branch on it
VERSION = metadata.version("millstream")


class Standalone:
    """Made: settings are sound, sockets listen, the log is this worker's.   Started: it works."""

    def __init__(self, settings: Mapping[str, str], bare: Begun | None = None) -> None:
        """bare: a template that was begun early."""
        self._began = monotonic()
        self._over = threading.Event()
        self._failure: tuple[BaseException, str] | None = None
        resolved = worker_settings(settings)
        self._config = config = worker_config(resolved)
        bootstrap = bootstrap_of(resolved)
        if "bootstrap.servers" not in settings:
            log.info("no bootstrap.servers: topics live in the embedded log %s", bootstrap)
        self._inventory = discover(frozenset(config.plugins_disabled))
        tell_failures(self._inventory)
        check_converters(config, self._inventory)
        self._file = _offsets_file(config, bootstrap)
        self._topic = offset_topic(resolved)
        self._broker = open_broker(bootstrap, resolved)
        self._broker.check()
        self._ownership = self._broker.own()
        self._listen(resolved)
        self._worker = Worker(
            WorkerSetup(
                settings={**settings, "bootstrap.servers": bootstrap},
                epoch=self._ownership.epoch,
                isolation="process" if config.task_isolation == "process" and self._broker.shared else "thread",
                start=config.task_start,  # type: ignore[arg-type]  # the validator lets template and spawn pass
                graceful_ms=config.task_shutdown_graceful_timeout_ms,
                connector_start_ms=config.connector_start_timeout_ms,
                memory_limit=parse_size(config.worker_memory_limit, read_limits().memory),
                client_threads=self._broker.client_threads,
                task_memory_max_bytes=config.task_memory_max_bytes,
                disabled=config.plugins_disabled,
            ),
            bare,
        )
        self._herder: StandaloneHerder | None = None

    def _listen(self, resolved: Mapping[str, str]) -> None:
        config = self._config
        own_admin = config.admin_listeners is not None
        rest = RestSettings(config.topic_tracking_enable, config.topic_tracking_allow_reset, not own_admin)

        rules = header_rules(config.response_http_headers_config)

        def around(app: ASGIApp) -> ASGIApp:
            """Around the extensions' guards, so that their refusals carry the operator's headers, too."""
            inner = guarded(app, self._extensions)
            if origins := config.access_control_allow_origin.strip():
                inner = CrossOrigin(inner, origins.split(","), _listed(config.access_control_allow_methods))
            return RequestLog(ResponseHeaders(inner, rules, SystemClock()) if rules else inner)

        self._extensions = load_extensions(config.rest_extension_classes, self._inventory, resolved)
        self._app = create_app(None, rest)
        self._admin_app = create_admin_app(None, rest)
        listeners = [parse_listener(text) for text in config.listeners]
        admins = [parse_listener(text, "admin.listeners") for text in config.admin_listeners or ()]
        sockets = [bind(each) for each in listeners]
        self._listeners = [bound(each, sock) for each, sock in zip(listeners, sockets, strict=True)]
        served = [
            Served(around(beside(self._app, self._extensions)), [sock], _tls(each.scheme, resolved, "listeners.https."))
            for each, sock in zip(listeners, sockets, strict=True)
        ]
        for each in admins:
            tls = _tls(each.scheme, resolved, "admin.listeners.https.")
            served.append(Served(around(self._admin_app), [bind(each, "admin.listeners")], tls))
        self._rest = RestServer(served)
        wanted = Advertised(
            config.rest_advertised_host_name, config.rest_advertised_port, config.rest_advertised_listener
        )
        self._url = advertised_url(self._listeners, wanted)

    def start(self, connectors: Sequence[CreateConnector]) -> None:
        """Start everything, then create the connectors given; raises the first thing that hinders it."""
        config = self._config
        self._worker.start(lambda error: self._died(error, "the thread that all its children hang on"))
        self._rest.start()
        identity = WorkerIdentity(
            KAFKA_VERSION,
            f"millstream-{VERSION}",
            self._broker.cluster_id,
            self._url.partition("://")[2].rstrip("/"),
        )
        parts = StandaloneParts(
            self._broker,
            self._ownership.epoch,
            self._worker,
            self._inventory,
            identity,
            SystemClock(),
            lambda error: self._died(error, "its herder"),
            config.metrics_sample_window_ms,
            config.metrics_num_samples,
            self._topic if self._file is None else KeptOffsets(self._file),
        )
        self._herder = StandaloneHerder(parts)
        self._extensions.open(HerderCluster(self._herder))
        self._app.state.herder = self._admin_app.state.herder = self._herder
        self._herder.start(connectors)
        addresses = ", ".join(each.shown() for each in self._listeners)
        taken = monotonic() - self._began
        log.info("millstream %s is ready after %.2f s; the REST API is at %s", VERSION, taken, addresses)

    def ask_to_stop(self) -> None:
        """Let `wait` return; from a signal's handler, too."""
        self._over.set()

    def wait(self) -> tuple[BaseException, str] | None:
        """Return when it is asked to stop, None, or when what it cannot do without died: why, and what."""
        self._over.wait()
        return self._failure

    def stop(self) -> None:
        """Stop connectors and tasks, then answer nobody any more, then let the log go; after a failed start, too."""
        log.info("stopping")
        if self._herder is not None:
            self._herder.stop()
        else:
            self._worker.close()
        self._rest.stop()
        self._extensions.close()
        self._ownership.release()
        self._broker.close()
        log.info("stopped")

    def _died(self, error: BaseException | None, what: str) -> None:
        if error is not None:
            self._failure = self._failure or (error, what)
            self._over.set()


def _offsets_file(config: StandaloneConfig, bootstrap: str) -> OffsetFile | None:
    """This worker's, locked, where it is on Kafka; the embedded log keeps the offsets itself."""
    if bootstrap.startswith(EMBEDDED):
        return None
    if not config.offset_storage_file_filename:
        problem = 'Missing required configuration "offset.storage.file.filename" which has no default value.'
        raise ConfigError({"offset.storage.file.filename": problem})
    return OffsetFile(expanded("offset.storage.file.filename", config.offset_storage_file_filename).absolute())


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _tls(scheme: str, resolved: Mapping[str, str], prefix: str) -> ssl.SSLContext | None:
    return server_context(settings_of(resolved, prefix), prefix) if scheme == "https" else None

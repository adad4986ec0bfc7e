"""REST extensions: the operator's own code, in the worker's process, around the API and beside it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.errors import ConfigError, PluginError, message_of, unexplained
from millstream.herder.herder import Herder
from millstream.identity import Status
from millstream.inventory.inventory import Inventory
from millstream.inventory.loading import load
from millstream.rest.errors import error_body
from millstream.rest.states import States
from millstream.settings.plugins import Kind
from millstream_api import Cluster, ConnectorHealth, RestExtension
from millstream_api.cluster import PartHealth

log = logging.getLogger(__name__)


class Extensions:
    """Those named in `rest.extension.classes`, in order; their resources are there once the herder is."""

    def __init__(self, plugins: Sequence[RestExtension[Any]]) -> None:
        self.plugins = plugins
        self.resources: dict[str, Any] = {}

    def open(self, cluster: Cluster) -> None:
        """Raises PluginError where one cannot give its resources."""
        for plugin in self.plugins:
            with _asked(type(plugin), "resources"):
                found = plugin.resources(cluster)
                if found is not None:
                    path, app = found
                    self.resources[path.rstrip("/")] = app

    def close(self) -> None:
        for plugin in self.plugins:
            try:
                plugin.close()
            except Exception:
                log.exception("the REST extension %s could not be closed", type(plugin).__name__)


def load_extensions(names: Sequence[str], inventory: Inventory, settings: Mapping[str, str]) -> Extensions:
    """Load and make them. Raises PluginError for an unknown one or a broken one, ConfigError for wrong settings."""
    made = []
    for name in names:
        plugin = load(inventory.find(Kind.REST_EXTENSION, name))
        with _asked(plugin, "__init__"):
            made.append(plugin(plugin.config_class.parse(settings)))
    return Extensions(made)


@contextmanager
def _asked(plugin: type[RestExtension[Any]], method: str) -> Iterator[None]:
    """What it raises, but wrong settings, is said with its name: the worker does not start without what guards it."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        said = f"the REST extension {plugin.__module__}:{plugin.__qualname__} of rest.extension.classes failed"
        log.debug("%s in %s", said, method, exc_info=error)
        why = f"{type(error).__name__}: {message_of(error)}"
        raise PluginError(f"{said} in {method}, and the worker does not start without it: {why}") from error


def beside(app: ASGIApp, extensions: Extensions) -> ASGIApp:
    """The API, and the extensions' resources below their paths."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        for prefix, resource in tuple(extensions.resources.items()):  # `open` may be about to add some
            if path == prefix or path.startswith(f"{prefix}/"):
                await resource({**scope, "path": path.removeprefix(prefix) or "/", "root_path": prefix}, receive, send)
                return
        await app(scope, receive, send)

    return routed


def guarded(app: ASGIApp, extensions: Extensions) -> ASGIApp:
    """The extensions' guards around it all, the first named outermost; what they or resources raise is answered.

    Raises PluginError where one cannot be put around it.
    """
    inner: Any = app
    for plugin in reversed(extensions.plugins):
        with _asked(type(plugin), "guard"):
            inner = plugin.guard(inner)
    return _answered(inner) if extensions.plugins else inner


def _answered(app: ASGIApp) -> ASGIApp:
    """The API answers its own errors: what comes out of here is an extension's."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sent)
        except Exception as error:
            said = f"an extension of rest.extension.classes failed at {scope.get('path', '')}: {message_of(error)}"
            log.error("%s", said, exc_info=unexplained(error))
            if not begun:  # else the server closes the connection, so that nobody takes the answer for whole
                await error_body(500, said)(scope, receive, send)

    return answered


class HerderCluster:
    """What an extension can ask; implements `millstream_api.Cluster`."""

    def __init__(self, herder: Herder) -> None:
        self._herder = herder

    @property
    def kafka_cluster_id(self) -> str:
        return self._herder.identity.kafka_cluster_id

    def connectors(self) -> Sequence[str]:
        return list(self._herder.snapshot().connectors)

    def health(self, connector: str) -> ConnectorHealth:
        states = States(self._herder)
        view = states.snapshot.connectors[connector]
        state = states.of_known(view)
        tasks = {task: _health(status) for task, status in state.tasks.items()}
        kind: Literal["source", "sink"] = "sink" if view.kind == "sink" else "source"
        return ConnectorHealth(connector, kind, _health(state.connector), tasks)

    def settings(self, connector: str) -> Mapping[str, str]:
        config = self._herder.snapshot().connectors[connector].config
        return {name: text for name, text in config.items() if text is not None}


def _health(status: Status) -> PartHealth:
    return PartHealth(status.state.value, status.worker_id, status.trace or "")

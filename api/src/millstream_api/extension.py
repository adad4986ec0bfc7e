"""Adds to the worker's REST API: resources of its own, or a look at every request."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from millstream_api.cluster import Cluster
from millstream_api.config import C, Plugin

__all__ = ["App", "RestExtension"]

App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
"""An ASGI application: scope, receive, send."""


class RestExtension(Plugin[C]):
    """Made once, in the order of `rest.extension.classes`. Runs in the worker's process: the operator's own code.

    Its settings are the worker's. What it raises while the worker starts ends the worker. Its applications run on
    one event loop with the REST API, which they must not block; what they raise is logged and answered with 500.
    Source: ConnectRestExtension.java.
    """

    def resources(self, cluster: Cluster) -> tuple[str, App] | None:
        """Give a path, such as `/audit`, and the application that answers below it; None: it has none.

        cluster:  to be kept for later: no connector has been started yet.

        The `root_path` of the application's scopes is that path. Called once, after `guard`. What it raises ends the
        worker. Source: ConnectRestExtension.register.
        """
        return None

    def guard(self, app: App) -> App:
        """Wrap the whole API, to look at every request before it (authentication, audit); by default as it is.

        Called for each listener, those of `admin.listeners` too, before it is served. The first extension named is the
        outermost. What it raises ends the worker. Source: ConnectRestExtensionContext.configurable.
        """
        return app

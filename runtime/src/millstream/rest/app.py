"""The REST API: every route on one page."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream.herder.herder import Herder
from millstream.rest import connectors, internal, loggers, metrics, offsets, plugins
from millstream.rest.errors import answer_error, refusal
from millstream.rest.gate import RawPaths, check_media_types
from millstream.rest.json import MEDIA_TYPE, empty

Endpoint = Callable[[Request], Awaitable[Response]]

#: in the order in which Java's `Allow` lists them
METHODS = ("HEAD", "DELETE", "POST", "GET", "PUT", "PATCH", "OPTIONS")
ADMIN, METRICS = "/admin", "/metrics"


@dataclass(frozen=True, slots=True)
class RestSettings:
    """admin: whether the admin paths are served here; False when they have listeners of their own, or none."""

    topic_tracking_enable: bool = True
    topic_tracking_allow_reset: bool = True
    admin: bool = True


PATHS: dict[str, dict[str, Endpoint]] = {
    "/": {"GET": internal.root},
    "/health": {"GET": internal.health},
    METRICS: {"GET": metrics.show},
    "/connectors": {"GET": connectors.list_connectors, "POST": connectors.create},
    "/connectors/{name}": {"GET": connectors.info, "DELETE": connectors.delete},
    "/connectors/{name}/config": {
        "GET": connectors.config,
        "PUT": connectors.put_config,
        "PATCH": connectors.patch_config,
    },
    "/connectors/{name}/status": {"GET": connectors.status},
    "/connectors/{name}/restart": {"POST": connectors.restart},
    "/connectors/{name}/pause": {"PUT": connectors.pause},
    "/connectors/{name}/resume": {"PUT": connectors.resume},
    "/connectors/{name}/stop": {"PUT": connectors.stop},
    "/connectors/{name}/fence": {"PUT": internal.fence},
    "/connectors/{name}/topics": {"GET": connectors.topics},
    "/connectors/{name}/topics/reset": {"PUT": connectors.reset_topics},
    "/connectors/{name}/offsets": {"GET": offsets.show, "PATCH": offsets.alter, "DELETE": offsets.reset},
    "/connectors/{name}/tasks": {"GET": connectors.tasks, "POST": internal.submit_tasks},
    "/connectors/{name}/tasks/{task}/status": {"GET": connectors.task_status},
    "/connectors/{name}/tasks/{task}/restart": {"POST": connectors.restart_task},
    "/connector-plugins": {"GET": plugins.list_plugins},
    "/connector-plugins/{name}/config": {"GET": plugins.definitions},
    "/connector-plugins/{name}/config/validate": {"PUT": plugins.validate},
    "/admin/loggers": {"GET": loggers.list_loggers},
    "/admin/loggers/{logger}": {"GET": loggers.show, "PUT": loggers.set_level},
}


def create_app(herder: Herder | None, settings: RestSettings) -> Starlette:
    """The public API. `app.state.herder` may be given later: until then every path answers 503."""
    paths = [path for path in PATHS if settings.admin or not path.startswith(ADMIN)]
    return _app(paths, herder, settings)


def create_admin_app(herder: Herder | None, settings: RestSettings) -> Starlette:
    """What `admin.listeners` serve: the admin paths alone."""
    return _app([path for path in PATHS if path.startswith(ADMIN)], herder, settings)


def _app(paths: Sequence[str], herder: Herder | None, settings: RestSettings) -> Starlette:
    routes: list[BaseRoute] = [Route(path, _dispatch(PATHS[path]), methods=_offered(PATHS[path])) for path in paths]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(RawPaths)],
        exception_handlers={404: answer_error, 405: _refuse_method},
    )
    app.router.redirect_slashes = False
    app.state.herder = herder
    app.state.settings = settings
    return app


def _offered(by_method: dict[str, Endpoint]) -> list[str]:
    """HEAD is GET without the body, OPTIONS tells what there is; any other method is 405."""
    every = {*by_method, "OPTIONS", *(["HEAD"] if "GET" in by_method else [])}
    return [method for method in METHODS if method in every]


async def _refuse_method(request: Request, error: Exception) -> Response:
    """405; Starlette's `Allow` is a set, in any order."""
    given = error.headers or {} if isinstance(error, HTTPException) else {}
    known = given.get("Allow", "")
    return await answer_error(request, refusal(405, {"Allow": ",".join(m for m in METHODS if m in known.split(", "))}))


def _dispatch(by_method: dict[str, Endpoint]) -> Endpoint:
    allow = {"Allow": ",".join(_offered(by_method)), "Content-Type": MEDIA_TYPE}

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return empty(200, allow)
        try:
            if by_method is not PATHS[METRICS]:  # text, whatever a scraper says that it takes
                check_media_types(request)
            return await by_method["GET" if request.method == "HEAD" else request.method](request)
        except Exception as error:  # noqa: BLE001 - an answer is made of it; left to Starlette, each 404 is a traceback
            return await answer_error(request, error)

    return endpoint

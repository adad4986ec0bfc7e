"""Connectors: list, create, configure, start and stop."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from millstream.errors import NotFoundError
from millstream.herder.herder import ConnectorView
from millstream.herder.requests import (
    DeleteConnector,
    PatchConfig,
    PutConfig,
    ResetTopics,
    RestartConnector,
    RestartTask,
    SetTarget,
)
from millstream.identity import TargetState, TaskId
from millstream.rest import bodies, models
from millstream.rest.asking import ask, flag, herder_of, name_of, task_of
from millstream.rest.errors import RestError
from millstream.rest.json import empty, respond
from millstream.rest.states import States

#: what Java's String.trim takes away
BLANKS = "".join(map(chr, range(ord(" ") + 1)))
#: what may stand in a segment of a path as it is; as Jersey's UriComponent, save that `/` and `%` are always encoded
SEGMENT = "!$&'()*+,;=:@"


def location(request: Request, name: str) -> dict[str, str]:
    """`Location` of a new connector, absolute, at the address the client used."""
    host = request.headers.get("host") or herder_of(request).identity.worker_id
    return {"Location": f"{request.url.scheme}://{host}/connectors/{quote(name, safe=SEGMENT)}"}


def view_of(request: Request) -> ConnectorView:
    name = name_of(request)
    view = herder_of(request).snapshot().connectors.get(name)
    if view is None:
        raise NotFoundError(f"Connector {name} not found")
    return view


def _same_name(config: bodies.Config, name: str) -> bodies.Config:
    """The settings with `name` in them. 400 if they name another connector."""
    given = config.get("name")
    if given is not None and given != name:
        raise RestError(400, f"Connector name configuration ({given}) doesn't match connector name in the URL ({name})")
    return {**config, "name": name}


async def list_connectors(request: Request) -> Response:
    if "expand" in request.query_params:
        return respond(models.expanded(States(herder_of(request)), request.query_params.getlist("expand")))
    return respond(list(herder_of(request).snapshot().connectors))


async def create(request: Request) -> Response:
    wish = bodies.create_request(await bodies.body_of(request, 'an object with "name" and "config"'))
    name = wish.name.strip(BLANKS)
    config = _same_name(dict(wish.config), name)
    made = await ask(request, type(wish)(name, config, wish.initial_state, wish.initial_offsets))
    return respond(models.connector_info(made), 201, location(request, name))


async def info(request: Request) -> Response:
    return respond(models.connector_info(view_of(request)))


async def config(request: Request) -> Response:
    return respond(dict(view_of(request).config))


async def put_config(request: Request) -> Response:
    name = name_of(request)
    settings = _same_name(bodies.settings(await bodies.body_of(request, "an object of settings")), name)
    created, view = await ask(request, PutConfig(name, settings))
    return respond(models.connector_info(view), 201 if created else 200, location(request, name) if created else None)


async def patch_config(request: Request) -> Response:
    name = name_of(request)
    view_of(request)  # 404 comes before whatever the body is
    patch = bodies.settings(await bodies.body_of(request, "an object of settings"))
    if patch.get("name") is not None:
        _same_name(patch, name)
    return respond(models.connector_info(await ask(request, PatchConfig(name, patch))))


async def delete(request: Request) -> Response:
    await ask(request, DeleteConnector(name_of(request)))
    return empty(204)


async def status(request: Request) -> Response:
    name, states = name_of(request), States(herder_of(request))
    state = states.of(name)
    if state is None:
        stage = states.stage(name)
        raise NotFoundError(f"No status found for connector {name}" + (f". {stage.summary()}" if stage else ""))
    return respond(models.state_info(name, state, states.kind(name)))


async def task_status(request: Request) -> Response:
    name, task = name_of(request), task_of(request)
    known = States(herder_of(request)).tasks(name)
    if task not in known:
        raise NotFoundError(f"No status found for task {name}-{task}")
    return respond(models.task_state(task, known[task]))


async def tasks(request: Request) -> Response:
    return respond(models.task_infos(view_of(request)))


async def restart(request: Request) -> Response:
    name = name_of(request)
    include_tasks, only_failed = flag(request, "includeTasks"), flag(request, "onlyFailed")
    planned = include_tasks or only_failed
    state = await ask(request, RestartConnector(name, include_tasks, only_failed, planned))
    return (
        respond(models.state_info(name, state, States(herder_of(request)).kind(name)), 202) if planned else empty(204)
    )


async def restart_task(request: Request) -> Response:
    await ask(request, RestartTask(TaskId(name_of(request), task_of(request))))
    return empty(204)


async def pause(request: Request) -> Response:
    await ask(request, SetTarget(name_of(request), TargetState.PAUSED))
    return empty(202)


async def resume(request: Request) -> Response:
    await ask(request, SetTarget(name_of(request), TargetState.STARTED))
    return empty(202)


async def stop(request: Request) -> Response:
    await ask(request, SetTarget(name_of(request), TargetState.STOPPED))
    return empty(204)


async def topics(request: Request) -> Response:
    _tracked(request, reset=False)
    name = name_of(request)
    return respond(models.active_topics(name, herder_of(request).snapshot().topics.get(name, ())))


async def reset_topics(request: Request) -> Response:
    _tracked(request, reset=True)
    await ask(request, ResetTopics(name_of(request)))
    return empty(202)


def _tracked(request: Request, *, reset: bool) -> None:
    settings = request.app.state.settings
    if not settings.topic_tracking_enable:
        raise RestError(403, "Topic tracking is disabled.")
    if reset and not settings.topic_tracking_allow_reset:
        raise RestError(403, "Topic tracking reset is disabled.")

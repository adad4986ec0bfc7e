"""What is installed, its settings, and whether a connector's settings will do."""

from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from millstream.errors import RemoteError
from millstream.herder.requests import PluginDefinitions, Validate
from millstream.herder.validation import no_class
from millstream.inventory.inventory import CONNECTORS, LISTED
from millstream.rest import bodies, models
from millstream.rest.asking import ask, herder_of
from millstream.rest.errors import RestError
from millstream.rest.json import respond


async def list_plugins(request: Request) -> Response:
    only = (request.query_params.get("connectorsOnly") or "true").lower() == "true"
    plugins = herder_of(request).inventory.of(*(CONNECTORS if only else LISTED))
    return respond([models.plugin_info(plugin) for plugin in plugins])


async def definitions(request: Request) -> Response:
    name = unquote(request.path_params["name"])
    return respond(await ask(request, PluginDefinitions(name, request.query_params.get("version"))))


async def validate(request: Request) -> Response:
    settings = bodies.settings(await bodies.body_of(request, "an object of settings"))
    given, asked = settings.get("connector.class"), unquote(request.path_params["name"])
    if given is None:
        raise no_class(settings)
    if not _cut(given).endswith(_cut(asked)):
        raise RestError(400, f"Included connector type {given} does not match request type {asked}")
    try:
        return respond(await ask(request, Validate(settings)))
    except RemoteError as error:  # Java names the class here, since validation runs in another thread
        raise RestError(500, f"{error.name}: {error}") from error


def _cut(name: str) -> str:
    return name.removesuffix("Connector")

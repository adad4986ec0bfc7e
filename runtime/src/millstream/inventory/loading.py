"""From a plugin's row to its class. Imports the plugin's code: only where plugins run."""

from importlib import import_module
from typing import Any

import millstream_api as api
from millstream.errors import PluginError, message_of
from millstream.inventory.inventory import Plugin
from millstream.lifecycle import Interrupted
from millstream.settings.plugins import Kind


def load(plugin: Plugin) -> type[Any]:
    """Import the class. Raises PluginError that names distribution, version, kind and target, and what is wrong."""
    module_name, _, path = plugin.target.partition(":")
    try:
        found: Any = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"cannot load {_who(plugin)}: {_reason(plugin, error)}") from error
    expected = interface(plugin.kind)
    if not isinstance(found, type) or not issubclass(found, expected):
        raise PluginError(
            f"cannot load {_who(plugin)}: {found!r} is not a subclass of millstream_api.{expected.__name__}"
        )
    for name, wanted in _declares(plugin.kind).items():
        declared = getattr(found, name, None)
        if not isinstance(declared, type) or not issubclass(declared, wanted):
            raise PluginError(
                f"cannot load {_who(plugin)}: its {name} is {declared!r}; declare `{name} = …` in the class, "
                f"a subclass of millstream_api.{wanted.__name__}"
            )
    return found


def _declares(kind: Kind) -> dict[str, type[Any]]:
    """Give the classes that a plugin of a kind names, and what each of them extends."""
    tasks = {Kind.SOURCE: api.SourceTask, Kind.SINK: api.SinkTask}
    return {"config_class": api.Config, **({"task_class": tasks[kind]} if kind in tasks else {})}


def interface(kind: Kind) -> type[Any]:
    """Give the class of the API that plugins of a kind extend."""
    return {
        Kind.SOURCE: api.SourceConnector,
        Kind.SINK: api.SinkConnector,
        Kind.CONVERTER: api.Converter,
        Kind.HEADER_CONVERTER: api.HeaderConverter,
        Kind.TRANSFORMATION: api.Transformation,
        Kind.PREDICATE: api.Predicate,
        Kind.CONFIG_PROVIDER: api.ConfigProvider,
        Kind.REST_EXTENSION: api.RestExtension,
        Kind.CLIENT_POLICY: api.ClientConfigPolicy,
    }[kind]


def _who(plugin: Plugin) -> str:
    return f"{plugin.kind.value.replace('_', ' ')} {plugin.target!r} of {plugin.distribution} {plugin.version}"


def _reason(plugin: Plugin, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        if error.name == plugin.target.partition(":")[0]:
            return f"there is no module {error.name!r}; correct the PluginRef in its hook, or ship the module"
        return f"there is no module {error.name!r}; install what brings it, or the extra of this distribution that does"
    if isinstance(error, SystemExit):
        return f"its module ended the process on import: SystemExit({error.code!r})"
    return f"{type(error).__name__}: {message_of(error)}"

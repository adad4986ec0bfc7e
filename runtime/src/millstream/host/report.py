"""Everything there is to say about a connector's settings, put together in a child: all classes may be loaded here."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, cast

from millstream.errors import ConfigError, PluginError, message_of
from millstream.host.channel import RunProbe
from millstream.host.installed import Places, inventory, parsed, plugin_class
from millstream.host.masking import masked_report
from millstream.host.stored import is_embedded
from millstream.inventory.inventory import Inventory
from millstream.inventory.loading import load
from millstream.settings.client import check_types, client_definitions, of_worker, overrides, validated_clients
from millstream.settings.connector import DEAD_LETTERS, NO_DEAD_LETTERS
from millstream.settings.framework import CONVERTERS, Surroundings, connector_version_problem
from millstream.settings.guarantees import (
    Answer,
    asks_boundaries,
    asks_exactly_once,
    boundary_problems,
    exactly_once_problems,
)
from millstream.settings.plugins import Kind, PluginView
from millstream.settings.validation import (
    Part,
    Parts,
    converter_part,
    framework_part,
    merge,
    override_part,
    with_problems,
)
from millstream_api import Config, Connector, OverrideRequest, Problem, SourceConnector, Support

Settings = Mapping[str, str | None]
Side = Literal["source", "sink"]
Client = Literal["producer", "consumer", "admin"]
Ask = Callable[[Callable[[Connector[Any]], Any]], Any]
"""Has a question answered by the connector, made but not started."""

Policy = Callable[[Client, Mapping[str, str]], list[Problem]]
"""What the worker's policy has against the settings of one client."""

UNDECLARED = "undeclared"
"""What a report has beside ConfigInfos: settings that nobody declares, each with what may be meant."""
POLICY, ALL = "connector.client.config.override.policy", "All"


def report(run: RunProbe, places: Places, ask: Ask) -> dict[str, Any]:
    """Give ConfigInfos (§1.8) on `run.settings`, and beside them what nobody declares.

    The outside is looked at, by the connector's `probe`, only when nothing is wrong otherwise.
    """
    kind = cast(Side, run.arguments["kind"])
    settings = places.resolved(run.settings)
    installed = inventory(tuple(run.around.disabled))
    at = Surroundings(
        cast(PluginView, installed),  # it takes its own rows alone
        places.worker,
        lambda row: load(installed.find(row.kind, row.name)).config_class.definitions(),
    )
    framework = framework_part(kind, settings, at)
    connector_class = plugin_class(run.plugin)
    connector = Part()
    if connector_version_problem(settings, at) is None:
        connector = _own(connector_class.config_class, settings)
    if kind == "sink" and (settings.get(DEAD_LETTERS) or "").strip():
        framework = with_problems(framework, [Problem(DEAD_LETTERS, NO_DEAD_LETTERS)])
    framework, converters = _converters(framework, settings, installed)
    overrides = _overrides(kind, settings, _policy(run, places, installed, kind), places.worker)
    if not _wrong(framework, connector, *converters.values(), *overrides.values()):
        connector = with_problems(connector, ask(probed))
        if kind == "source":
            framework = with_problems(framework, _transactions(settings, is_embedded(places), ask))
    name = run.settings.get("connector.class") or ""
    told = merge(Parts(name, framework, connector, overrides, converters)).to_json()
    return masked_report(told, run.settings, settings, places.veil) | {
        UNDECLARED: _undeclared(kind, run.settings, told)
    }


def probed(plugin: Connector[Any]) -> list[Problem]:
    """What the connector finds outside. Raises PluginError for anything but problems."""
    given: object = plugin.probe()
    what, promise = f"{type(plugin).__name__}.probe gave", "yield Problem(setting, sentence), or return ()"
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise PluginError(f"{what} a {type(given).__name__}; {promise}")
    found = []
    for each in given:
        if not isinstance(each, tuple) or len(each) != 2:
            raise PluginError(f"{what} a {type(each).__name__} among its problems; {promise}")
        found.append(Problem(*each))
    return found


def _own(known: type[Config], settings: Settings) -> Part:
    """What the connector's own definitions say. A null is shown as null; that it is wrong the runtime's part says."""
    values = known.validate({name: text for name, text in settings.items() if text is not None})
    nulls = {name for name, text in settings.items() if text is None}
    return Part(known.definitions(), [replace(one, value=None) if one.name in nulls else one for one in values])


def _undeclared(kind: Side, settings: Settings, told: Mapping[str, Any]) -> dict[str, str]:
    known = {each["definition"]["name"] for each in told["configs"] if each["definition"] is not None}
    if known.issuperset(settings):
        return {}
    from millstream.settings.undeclared import undeclared  # seldom: most templates do without

    return undeclared(kind, settings, known)


def _wrong(*parts: Part) -> bool:
    return any(value.errors for part in parts for value in part.values)


def _converters(framework: Part, settings: Settings, installed: Inventory) -> tuple[Part, dict[str, Part]]:
    """Look at the converters that the connector names itself and that there are."""
    found: dict[str, Part] = {}
    wrong = {value.name for value in framework.values if value.errors}
    for setting, kind in CONVERTERS.items():
        name = settings.get(setting)
        if not name or setting in wrong:
            continue
        role = cast(Literal["key", "value", "header"], setting.partition(".")[0])
        try:
            definitions = load(installed.find(kind, name)).config_class.definitions()
        except Exception as error:  # noqa: BLE001 - the class is anyone's
            problem = Problem(setting, f"Failed to load class {name}: {message_of(error)}")
            framework = with_problems(framework, [problem])
            continue
        found[f"{setting}."] = converter_part(role, settings, definitions)
    return framework, found


def _overrides(kind: Side, settings: Settings, policy: Policy, worker: Settings) -> dict[str, Part]:
    """Ask the policy about the clients that this connector will have. Raises ConfigError for a wrong type, as Java."""
    found = {}
    for client in validated_clients(kind, settings, own_offsets=False):
        own = overrides(client, settings)
        if own:
            check_types(client, settings)
            prefix = f"{client}.override."
            problems = policy(client, own) or refused(client, own, worker)
            found[prefix] = override_part(prefix, settings, client_definitions(client), problems)
    return found


def refused(client: Client, own: Mapping[str, str], worker: Settings) -> list[Problem]:
    """What no client can be made of, by names without prefix, as the task says it that would have the client.

    Stores and logins aside, which are looked at when it is made.
    """
    from millstream.settings.embedded import check_client  # of no use to a connector without overrides

    prefix = f"{client}.override."
    try:
        check_client(client, {**of_worker(client, worker), **own}, {name: prefix + name for name in own})
    except ConfigError as error:
        return [Problem(name.removeprefix(prefix).removeprefix(f"{client}."), said) for name, said in error.found]
    return []


def _policy(run: RunProbe, places: Places, installed: Inventory, kind: Side) -> Policy:
    def problems(client: Client, own: Mapping[str, str]) -> list[Problem]:
        plugin = load(installed.find(Kind.CLIENT_POLICY, places.worker.get(POLICY) or ALL))
        made = plugin(parsed(plugin.config_class, places.worker))
        request = OverrideRequest(run.connector, kind, run.settings.get("connector.class") or "", client, own)
        try:
            return list(made.validate(request))
        finally:
            made.close()

    return problems


def _transactions(settings: Settings, enabled: bool, ask: Ask) -> Iterator[Problem]:
    """What a source says of exactly-once and of its own boundaries, where the settings demand them.

    enabled: whether this worker writes exactly once: on the embedded log.
    """
    if asks_exactly_once(settings):
        yield from exactly_once_problems(settings, enabled, _asked(ask, lambda source: source.exactly_once()))
    if asks_boundaries(settings):
        yield from boundary_problems(settings, _asked(ask, lambda source: source.transaction_boundaries()))


def _asked(ask: Ask, question: Callable[[SourceConnector[Any]], Support | None]) -> Answer:
    try:
        told: dict[str, Support | None] = ask(lambda plugin: {"it": question(cast(SourceConnector[Any], plugin))})
    except Exception as error:  # noqa: BLE001 - the connector's code; what it raised becomes a sentence
        return error
    return told["it"]

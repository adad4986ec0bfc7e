"""Finding the installed plugins: the entry points of every distribution, asked one by one, none trusted."""

import logging
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions, version
from types import ModuleType

import pluggy

from millstream.errors import PluginError, message_of
from millstream.inventory.inventory import Inventory, Plugin
from millstream.inventory.versions import plainly_within
from millstream.lifecycle import Interrupted
from millstream.settings.plugins import Kind
from millstream_api import hookspecs

log = logging.getLogger(__name__)

API = "millstream-api"
NEAR_HOOK = 0.85  # the same of a hook: all of them begin alike
NEAR = 0.7  # how like ours the name of a group has to be, from 0 to 1, to be meant for us
NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")  # at the beginning of a requirement
DIST_INFO = re.compile(r"([^-]+)-[^-]+\.dist-info")
HOOKS = {
    "register_sources": Kind.SOURCE,
    "register_sinks": Kind.SINK,
    "register_converters": Kind.CONVERTER,
    "register_header_converters": Kind.HEADER_CONVERTER,
    "register_transformations": Kind.TRANSFORMATION,
    "register_predicates": Kind.PREDICATE,
    "register_config_providers": Kind.CONFIG_PROVIDER,
    "register_rest_extensions": Kind.REST_EXTENSION,
    "register_client_policies": Kind.CLIENT_POLICY,
}


def discover(disabled: Set[str] = frozenset(), found: Iterable[Distribution] | None = None) -> Inventory:
    """Read the entry points of every distribution; a broken one is recorded, not raised.

    disabled: names of entry points or of distributions to leave out (`plugins.disabled`).
    found:    the distributions to look at; by default all of this environment, each name once, as imports see it.

    Imports the modules that the entry points name, and nothing that they do not import themselves.
    """
    search = _Search(frozenset(canonical(name) for name in disabled))
    for dist in distributions() if found is None else found:
        search.read(dist)
    return Inventory(tuple(search.plugins.values()), search.failures)


def tell_failures(found: Inventory) -> None:
    """Log the distributions that cannot be used: a worker does it once, its children, who look as well, do not."""
    for who, error in found.failures.items():
        log.warning("the plugins of %s cannot be used: %s: %s", who, type(error).__name__, message_of(error))
        log.debug("why %s cannot be used", who, exc_info=error)


@dataclass
class _Search:
    disabled: frozenset[str]
    plugins: dict[tuple[Kind, str], Plugin] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        self.manager.add_hookspecs(hookspecs)

    def read(self, dist: Distribution) -> None:
        name, every = self._metadata(dist)
        if name in self.seen or name in self.disabled:
            return
        self.seen.add(name)
        entry_points = every.select(group=hookspecs.NAMESPACE)
        if every and not entry_points:
            self._look_beside(dist, every.groups)
        for entry_point in entry_points:
            if canonical(entry_point.name) not in self.disabled:
                self._load(dist, entry_point)

    def _metadata(self, dist: Distribution) -> tuple[str, EntryPoints]:
        """Give canonical name and entry points; none when another package's metadata cannot be read at all."""
        try:
            every = dist.entry_points
            is_ours = hookspecs.NAMESPACE in every.groups
            return canonical((not is_ours and _folders_name(dist)) or dist.name or ""), every
        except Exception as error:  # noqa: BLE001 - metadata on disk may hold anything
            self.failures[str(getattr(dist, "_path", dist))] = error
            return "", EntryPoints()

    def _look_beside(self, dist: Distribution, groups: Set[str]) -> None:
        """Entry points in a group that is nearly ours are meant for us: `milstream`, `millstream.plugins`."""
        near = get_close_matches(hookspecs.NAMESPACE, groups, 1, NEAR)
        if near:
            table = f"[project.entry-points.{hookspecs.NAMESPACE}]"
            problem = (
                f"its entry points are in the group {near[0]!r}, which nobody reads; in pyproject.toml it is {table}"
            )
            self.failures[f"{dist.name} {_version_of(dist)}"] = PluginError(problem)

    def _load(self, dist: Distribution, entry_point: EntryPoint) -> None:
        name = f"{dist.name}:{entry_point.name}"
        try:
            check_api_range(dist)
            module = _loaded(entry_point)
            _check_hooks(module, entry_point)
            self.manager.register(module, name=name)
            for plugin in _collect(self.manager, module, dist):
                self.plugins.setdefault((plugin.kind, plugin.target), plugin)
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a third party's module does on import
            self.failures[f"{dist.name} {_version_of(dist)}"] = error
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)


def check_api_range(dist: Distribution) -> None:
    """Raise PluginError when the range of millstream-api that a distribution declares excludes the installed one."""
    installed = version(API)
    for text in dist.requires or ():
        name = NAME.match(text)
        if name is not None and canonical(name[1]) != API:
            continue
        if name is None or not plainly_within(text[name.end() :], installed):
            _check_requirement(dist, text, installed)


def _check_requirement(dist: Distribution, text: str, installed: str) -> None:
    from packaging.requirements import InvalidRequirement, Requirement  # a tenth of a worker's start, and rarely needed

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise PluginError(f"the requirement {text!r} in its metadata cannot be read: {error}") from error
    if canonical(requirement.name) != API or (requirement.marker and not requirement.marker.evaluate()):
        return
    if not requirement.specifier.contains(installed, prereleases=True):
        raise PluginError(
            f"needs {API} {requirement.specifier}, and {installed} is installed; install a version of"
            f" {dist.name} that was made for {API} {installed}"
        )


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _folders_name(dist: Distribution) -> str | None:
    """The name that a distribution's folder has; to read its metadata takes fifty times as long."""
    found = DIST_INFO.fullmatch(getattr(getattr(dist, "_path", None), "name", ""))
    return None if found is None else found[1]


def _loaded(entry_point: EntryPoint) -> ModuleType:
    """Import the module an entry point names. Raises PluginError, with the line of the entry point."""
    line = f"the entry point `{entry_point.name} = {entry_point.value}`"
    try:
        module = entry_point.load()
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {message_of(error)}"
        if isinstance(error, ModuleNotFoundError) and error.name == entry_point.module:
            why += "; is it spelt as the module's file, and is that in the distribution?"
        raise PluginError(f"{line} cannot be loaded: {why}") from error
    if not isinstance(module, ModuleType):
        raise PluginError(
            f"{line} gives a {type(module).__name__}; name the module that has the hooks: "
            f"`{entry_point.name} = {entry_point.module}`"
        )
    return module


def _check_hooks(module: ModuleType, entry_point: EntryPoint) -> None:
    """Raise PluginError for a module without hooks, and for one of them that nobody asks, by its name."""
    marked = [name for name in vars(module) if hasattr(vars(module)[name], f"{hookspecs.NAMESPACE}_impl")]
    for name in marked:
        if name not in HOOKS:
            close = get_close_matches(name, HOOKS, 1, NEAR_HOOK)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(HOOKS)}"
            raise PluginError(f"unknown hook {name!r} in module {entry_point.module!r}; {hint}")
        code = getattr(vars(module)[name], "__code__", None)
        if code is not None and code.co_argcount:
            raise PluginError(f"the hook {name} takes arguments; it must take none: `def {name}() -> …`")
    if not marked:
        bare = sorted(set(vars(module)) & set(HOOKS))
        hint = f"put @hookimpl above {bare[0]}" if bare else "mark a function such as register_sources with @hookimpl"
        raise PluginError(f"the module {entry_point.module!r} has no hook; {hint}")


def _collect(manager: pluggy.PluginManager, module: ModuleType, dist: Distribution) -> list[Plugin]:
    """Ask each hook of one module; a list, so that a hook that fails half way registers nothing."""
    return [plugin for hook in manager.get_hookcallers(module) or () for plugin in _ask(hook, module, dist)]


def _ask(hook: pluggy.HookCaller, module: ModuleType, dist: Distribution) -> Iterator[Plugin]:
    for impl in hook.get_hookimpls():
        if impl.plugin is not module:
            continue
        given: object = impl.function()
        if not isinstance(given, Iterable) or isinstance(given, str):
            raise PluginError(f"{hook.name} gave {given!r}; it must yield references: yield PluginRef('module:Class')")
        for ref in given:
            if not isinstance(ref, hookspecs.PluginRef):
                raise PluginError(f"{hook.name} yielded {ref!r}; expected PluginRef('module:Class')")
            target, aliases = ref.target, _aliases_of(ref, hook)
            if not all(part.isidentifier() for part in target.replace(":", ".", 1).split(".")) or ":" not in target:
                raise PluginError(f"{hook.name} yielded the target {target!r}; expected 'module:Class'")
            yield Plugin(HOOKS[hook.name], target, aliases, dist.name, _version_of(dist), ref.stands_for)


def _aliases_of(ref: hookspecs.PluginRef, hook: pluggy.HookCaller) -> tuple[str, ...]:
    aliases: object = ref.aliases  # a class of strangers keeps no promise on its types
    if not isinstance(aliases, tuple | list) or not all(isinstance(alias, str) for alias in aliases):
        raise PluginError(
            f"{hook.name} yielded aliases={aliases!r} for {ref.target!r}; expected a tuple of names: ('FooSource',)"
        )
    return tuple(aliases)


def _version_of(dist: Distribution) -> str:
    try:
        return dist.version or "undefined"
    except Exception:  # noqa: BLE001 - a distribution without readable metadata has no version to tell
        return "undefined"

"""Settings as a typed class: `interval_ms: int = key(1000, doc=…)`."""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    overload,
)

from millstream_api.config.definition import REQUIRED, Definition, Importance, Recommend, Visible, Width
from millstream_api.config.text import ConfigType, Originals, PluginClass, Secret, java_text, setting_text
from millstream_api.config.validation import Validated, examine, scrubbed, validate_all
from millstream_api.config.validator import Validator, one_of
from millstream_api.errors import ConfigError, Problem

__all__ = ["Config", "key"]

T = TypeVar("T")

_NULL = "Null value can not be supplied as the configuration value."
_TYPES: dict[Any, ConfigType] = {
    bool: ConfigType.BOOLEAN,
    str: ConfigType.STRING,
    int: ConfigType.INT,
    float: ConfigType.DOUBLE,
    list[str]: ConfigType.LIST,
    Secret: ConfigType.PASSWORD,
    PluginClass: ConfigType.CLASS,
}


class _Key:
    """What `key` was told, until the class knows the attribute's name and type."""

    def __init__(self, **told: Any) -> None:
        self.told = told


@overload
def key(
    default: T,
    *,
    name: str | None = None,
    type: ConfigType | None = None,
    doc: str = "",
    valid: Validator | None = None,
    importance: Importance = Importance.MEDIUM,
    group: str | None = None,
    order: int = -1,
    width: Width = Width.NONE,
    display_name: str = "",
    dependents: Sequence[str] = (),
    recommend: Recommend | None = None,
    visible: Visible | None = None,
    internal: bool = False,
) -> T: ...


@overload
def key(
    *,
    name: str | None = None,
    type: ConfigType | None = None,
    doc: str = "",
    valid: Validator | None = None,
    importance: Importance = Importance.MEDIUM,
    group: str | None = None,
    order: int = -1,
    width: Width = Width.NONE,
    display_name: str = "",
    dependents: Sequence[str] = (),
    recommend: Recommend | None = None,
    visible: Visible | None = None,
    internal: bool = False,
) -> Any: ...


def key(
    default: Any = REQUIRED,
    *,
    name: str | None = None,
    type: ConfigType | None = None,
    doc: str = "",
    valid: Validator | None = None,
    importance: Importance = Importance.MEDIUM,
    group: str | None = None,
    order: int = -1,
    width: Width = Width.NONE,
    display_name: str = "",
    dependents: Sequence[str] = (),
    recommend: Recommend | None = None,
    visible: Visible | None = None,
    internal: bool = False,
) -> Any:
    """Declare a setting, in a subclass of `Config`: `interval_ms: int = key(1000, doc="…")`.

    default:     left out: the setting must be given. None needs an annotation that allows it.
    name:        dotted; None: the attribute's, with `.` for `_`.
    type:        None: from the annotation: int INT, Long LONG, Short SHORT, float DOUBLE, bool BOOLEAN, str
                 and Literal STRING, list[str] LIST, Secret PASSWORD, PluginClass CLASS.
    valid:       such as `at_least(1)`; a Literal has its own.
    recommend, visible: from all parsed values by dotted name: what to offer; whether it matters.
    dependents:  dotted names of settings looked at after this one.
    internal:    not for documentation.

    See `Definition` for the rest. When the class is made it raises ConfigError for a default that will not do,
    TypeError for a declaration that will not: no annotation, an unknown one, a name that is taken.
    Source: ConfigDef.define.
    """
    return _Key(
        default=default,
        name=name,
        type=type,
        documentation=doc,
        valid=valid,
        importance=importance,
        group=group,
        order=order,
        width=width,
        display_name=display_name,
        dependents=tuple(dependents),
        recommend=recommend,
        visible=visible,
        internal=internal,
    )


class _UnparsedError(Exception):
    """`problems` asked for a setting that is wrong by itself."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Config:
    """Settings, parsed and checked; subclasses declare them by `key`, and inherit those of their bases.

    Made by `parse`, or, in tests, from values by attribute name: `HeartbeatConfig(topic="beats")`, which
    raises ConfigError as `parse` does, and TypeError for a name it does not have. Immutable. `repr` shows declared
    settings, secrets as `[hidden]`. Source: AbstractConfig.java.
    """

    _declared: ClassVar[Mapping[str, Definition]] = {}  # by attribute, those of bases first
    _nullable: ClassVar[frozenset[str]] = frozenset()  # dotted names

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared: dict[str, Definition] = {}
        nullable: set[str] = set()
        for base in reversed(cls.__mro__[1:]):
            declared.update(base.__dict__.get("_declared", {}))
            nullable |= base.__dict__.get("_nullable", frozenset())
        for attribute, definition, optional in _declarations(cls):
            twin = next((a for a, one in declared.items() if one.name == definition.name and a != attribute), None)
            if twin is not None:
                what = f"{cls.__name__}.{attribute} is the setting {definition.name!r}"
                raise TypeError(f"{what}, and so is {twin}; name one otherwise")
            declared[attribute] = definition
            (nullable.add if optional else nullable.discard)(definition.name)
            delattr(cls, attribute)
        cls._declared, cls._nullable = declared, frozenset(nullable)

    def __init__(self, **values: Any) -> None:
        unknown = sorted(values.keys() - self._declared.keys())
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(unknown)}; it has {', '.join(self._declared)}")
        settings = {self._declared[attribute].name: value for attribute, value in values.items()}
        shown = {
            name: value.value if isinstance(value, Secret) else setting_text(value) for name, value in settings.items()
        }
        _raise_all(*_fill(self, settings, Originals(shown)))

    @property
    def originals(self) -> Originals:
        """All settings as they were given, those that nobody declared too. Source: AbstractConfig.originals."""
        given: Originals = self.__dict__["originals"]
        return given

    @classmethod
    def definitions(cls) -> Sequence[Definition]:
        """Give all settings in the order declared, those of base classes first. Source: ConfigDef.configKeys."""
        return tuple(cls._declared.values())

    @classmethod
    def parse(cls, settings: Mapping[str, str | None]) -> Self:
        """Make it from text by dotted name; a setting left out has its default, None is null.

        Raises ConfigError with all problems at once, `problems` included, and what validators and `problems` raise
        themselves. Source: AbstractConfig.java, ConfigDef.parse.
        """
        config = object.__new__(cls)
        _raise_all(*_fill(config, settings, Originals(settings)))
        return config

    @classmethod
    def _must_have_values(cls) -> frozenset[str]:
        return frozenset(one.name for one in cls._declared.values()) - cls._nullable

    @classmethod
    def validate(cls, settings: Mapping[str, str | None]) -> Sequence[Validated]:
        """Say what is to say about each setting, in the order of `definitions`; then those that `problems` names.

        Has errors exactly where `parse` has, and those that `recommend` and `visible` raise as ConfigError; what else
        they, validators or `problems` raise leaves it. Source: ConfigDef.validate, Connector.validate.
        """
        found = {one.name: one for one in validate_all(cls.definitions(), settings)}
        _, more = _fill(object.__new__(cls), settings, Originals(settings))
        for name, sentence in more:
            one = found.get(name) or Validated(name)
            found[name] = replace(one, errors=(*one.errors, sentence))
        return list(found.values())

    def problems(self) -> Iterable[Problem]:
        """Say what is wrong between settings; pure. Override it.

        Asked even when single settings are wrong, so that all is said at once: what it gave before it
        read a wrong one counts. A generator therefore says most. What it raises leaves `parse` and `validate`.
        Source: Connector.validate.
        """
        return ()

    if not TYPE_CHECKING:  # a misspelt setting is for mypy to find

        def __getattr__(self, attribute: str) -> Any:
            if attribute in type(self)._declared and "originals" in self.__dict__:
                raise _UnparsedError(attribute)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {attribute} cannot be set")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, attribute) == getattr(other, attribute) for attribute in self._declared)

    __hash__ = None  # type: ignore[assignment]  # lists are among its values

    def __repr__(self) -> str:
        shown = (
            f"{attribute}={_shown(self.__dict__[attribute])}"
            for attribute in self._declared
            if attribute in self.__dict__
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def _raise_all(single: Sequence[Problem], more: Sequence[Problem]) -> None:
    if single or more:
        raise ConfigError([*single, *more])


def _fill(
    config: Config, settings: Mapping[str, Any], originals: Originals
) -> tuple[Sequence[Problem], Sequence[Problem]]:
    """Give a config all values that will do; say what is wrong with single settings, and what its class adds."""
    cls = type(config)
    examined = examine(cls.definitions(), settings)
    nulls = [name for name, value in settings.items() if value is None and name in cls._must_have_values()]
    more = [Problem(name, _NULL) for name in nulls if name not in examined.errors]
    config.__dict__["originals"] = originals
    for attribute, definition in cls._declared.items():
        if definition.name not in examined.errors and definition.name not in nulls:
            config.__dict__[attribute] = examined.values[definition.name]
    single = examined.problems()
    try:
        for setting, sentence in _told(config):
            more.append(Problem(setting, scrubbed(sentence, examined.secrets)))
    except _UnparsedError:
        if not single and not more:
            raise
    return single, more


def _told(config: Config) -> Iterator[tuple[str, str]]:
    """Give what `problems` says; raises TypeError for what is no Problem, which mypy would have found."""
    given: object = config.problems()
    who = f"{type(config).__name__}.problems"
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise TypeError(f"{who} gave {given!r}; yield Problem(setting, sentence), or return ()")
    for problem in given:
        if not (isinstance(problem, tuple) and len(problem) == 2 and all(isinstance(part, str) for part in problem)):
            raise TypeError(f"{who} gave a {type(problem).__name__}; it must be a Problem(setting, sentence)")
        yield problem[0], problem[1]


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else java_text(value)


def _declarations(cls: type[Config]) -> Iterator[tuple[str, Definition, bool]]:
    """Give attribute, definition and whether null will do, of each `key` in the body of a class."""
    annotations = inspect.get_annotations(cls)
    for attribute, annotation in annotations.items():
        keyed = isinstance(cls.__dict__.get(attribute), _Key)
        if not keyed and not attribute.startswith("_") and "ClassVar" not in str(annotation):
            raise TypeError(
                f"{cls.__name__}.{attribute} has a type but no key(…): declare it as {attribute}: … = key(…)"
            )
    for attribute, told in list(cls.__dict__.items()):
        if isinstance(told, _Key):
            if attribute not in annotations:
                raise TypeError(
                    f"{cls.__name__}.{attribute} = key(…) has no type: declare it as {attribute}: str = key(…)"
                )
            if hasattr(Config, attribute):
                raise TypeError(
                    f"{cls.__name__}.{attribute} hides Config.{attribute}: rename it, and give key(name={attribute!r})"
                )
            yield attribute, *_definition(cls, attribute, annotations[attribute], told.told)


def _definition(cls: type[Config], attribute: str, annotation: Any, told: Mapping[str, Any]) -> tuple[Definition, bool]:
    where = f"{cls.__name__}.{attribute}"
    if isinstance(annotation, str):
        annotation = _evaluated(cls, where, annotation)
    optional = False
    if get_origin(annotation) in (Union, UnionType):
        optional = NoneType in get_args(annotation)
        plain = [argument for argument in get_args(annotation) if argument is not NoneType]
        annotation = plain[0] if len(plain) == 1 else annotation
    valid = told["valid"]
    if valid is not None and not isinstance(valid, Validator):
        raise TypeError(f"{where}: valid={valid!r} is no Validator, such as at_least(1) or non_empty()")
    config_type = told["type"] or _type_of(where, annotation)
    if get_origin(annotation) is Literal and valid is None:
        valid = one_of(*get_args(annotation))
    if told["default"] is None and not optional:
        raise TypeError(f"{where} has the default None: annotate it with | None")
    name = told["name"] or attribute.replace("_", ".")
    return Definition(**{**told, "name": name, "type": config_type, "valid": valid}), optional


def _evaluated(cls: type[Config], where: str, annotation: str) -> Any:
    try:
        return eval(annotation, vars(sys.modules[cls.__module__]), dict(vars(cls)))
    except NameError as error:
        raise TypeError(f"{where}: the annotation {annotation!r} cannot be read: {error}") from error


def _type_of(where: str, annotation: Any) -> ConfigType:
    if get_origin(annotation) is Annotated:
        for mark in get_args(annotation)[1:]:
            if isinstance(mark, ConfigType):
                return mark
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal and all(isinstance(one, str) for one in get_args(annotation)):
        return ConfigType.STRING
    try:
        return _TYPES[annotation]
    except (KeyError, TypeError):
        raise TypeError(
            f"{where} is annotated {annotation!r}; settings are str, int, Long, Short, float, bool, list[str], "
            f"Secret, PluginClass or a Literal of texts, each also with | None"
        ) from None

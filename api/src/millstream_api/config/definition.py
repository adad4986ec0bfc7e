"""What is known of one setting, and how the settings of a part become settings of the whole."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from millstream_api.config.parsing import parse_value
from millstream_api.config.text import ConfigType, setting_text
from millstream_api.config.validator import Validator
from millstream_api.errors import ConfigError

__all__ = ["REQUIRED", "Definition", "Importance", "Recommend", "Visible", "Width", "embed", "groups_of"]

Recommend = Callable[[Mapping[str, Any]], Sequence[Any]]
"""Gives values to offer, from all parsed values by dotted name, None for wrong ones. May raise ConfigError.

Source: ConfigDef.Recommender.validValues.
"""

Visible = Callable[[Mapping[str, Any]], bool]
"""Says whether a setting matters, from all parsed values by dotted name, None for wrong ones. May raise ConfigError.

Source: ConfigDef.Recommender.visible.
"""


class Importance(StrEnum):
    """How much a setting matters to most people. Source: ConfigDef.Importance."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Width(StrEnum):
    """How much room a form should give to a setting. Source: ConfigDef.Width."""

    NONE = "NONE"
    SHORT = "SHORT"
    MEDIUM = "MEDIUM"
    LONG = "LONG"


class _Required:
    __slots__ = ()

    def __repr__(self) -> str:
        return "REQUIRED"

    def __reduce__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
"""The default of a setting that has none, and must be given. Source: ConfigDef.NO_DEFAULT_VALUE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One setting. Making one parses and checks its default: raises ConfigError if that will not do.

    name:        dotted, as in files.
    type:        what its text is parsed as.
    default:     None: null; REQUIRED: there is none.
    documentation, importance, width, display_name: for forms and tables; `display_name` is the name by default.
    group:       heading in a form; `order` is its place below that.
    dependents:  names of settings that are looked at after this one.
    valid, recommend, visible: None: any value, none offered, always.
    internal:    not for documentation.

    Source: ConfigDef.ConfigKey.
    """

    name: str
    type: ConfigType
    default: Any = REQUIRED
    documentation: str = ""
    importance: Importance = Importance.MEDIUM
    group: str | None = None
    order: int = -1
    width: Width = Width.NONE
    display_name: str = ""
    dependents: tuple[str, ...] = ()
    valid: Validator | None = None
    recommend: Recommend | None = None
    visible: Visible | None = None
    internal: bool = False

    def __post_init__(self) -> None:
        if not self.display_name:
            object.__setattr__(self, "display_name", self.name)
        object.__setattr__(self, "dependents", tuple(self.dependents))
        if self.required:
            return
        object.__setattr__(self, "default", parse_value(self.name, self.default, self.type))
        sentence = self.valid.sentence(self.name, self.default) if self.valid else None
        if sentence:
            raise ConfigError([(self.name, sentence)])

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def default_text(self) -> str | None:
        """The default as REST answers it; None for null and for none."""
        return None if self.required else setting_text(self.default)

    @property
    def validator(self) -> str | None:
        """What is valid, in Java's words; None: any value of the type."""
        return None if self.valid is None else str(self.valid)

    @property
    def recommender(self) -> bool:
        """Whether something is asked for values to offer, or whether it matters."""
        return self.recommend is not None or self.visible is not None


def groups_of(definitions: Iterable[Definition]) -> list[str]:
    """Give the groups in the order in which they first appear. Source: ConfigDef.groups."""
    return list(dict.fromkeys(definition.group for definition in definitions if definition.group is not None))


def embed(prefix: str, group: str, order: int, child: Sequence[Definition]) -> list[Definition]:
    """Give the settings of a part, as settings of the whole: `type` becomes `transforms.a.type`.

    prefix:  put before names and dependents; validators, `recommend` and `visible` never see it.
    group:   heading of all; a group of the child is put behind it: `group: childGroup`.
    order:   of the first; the others follow in Java's order: ungrouped first, then groups as they
             appear; by order in the group, required first, by importance, by name.

    Source: ConfigDef.embed.
    """
    groups = groups_of(child)

    def place(definition: Definition) -> tuple[int, int, bool, int, str]:
        rank = -1 if definition.group is None else groups.index(definition.group)
        importance = list(Importance).index(definition.importance)
        return rank, definition.order, not definition.required, importance, definition.name

    return [
        replace(
            definition,
            name=prefix + definition.name,
            group=group if definition.group is None else f"{group}: {definition.group}",
            order=order + number,
            dependents=tuple(prefix + name for name in definition.dependents),
            valid=None if definition.valid is None else _Embedded(prefix, definition.valid),
            recommend=_under(prefix, definition.recommend),
            visible=_under(prefix, definition.visible),
        )
        for number, definition in enumerate(sorted(child, key=place))
    ]


class _Embedded(Validator):
    def __init__(self, prefix: str, inner: Validator) -> None:
        self.prefix = prefix
        self.inner = inner

    def sentence(self, name: str, value: Any) -> str | None:
        return self.inner.sentence(name.removeprefix(self.prefix), value)

    def __str__(self) -> str:
        return str(self.inner)


def _under(prefix: str, ask: Callable[[Mapping[str, Any]], Any] | None) -> Callable[[Mapping[str, Any]], Any] | None:
    if ask is None:
        return None
    asked = ask

    def ask_child(values: Mapping[str, Any]) -> Any:
        return asked({name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)})

    return ask_child

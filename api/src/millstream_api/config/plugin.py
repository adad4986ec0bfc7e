"""What every plugin that is no connector has: its settings, and an end."""

from typing import ClassVar, Generic, TypeVar

from millstream_api.config.declaration import Config

C = TypeVar("C", bound=Config)


class Plugin(Generic[C]):
    """A plugin that is no connector: made from its settings, closed at the end.

    config_class:  the settings it takes; `Config` for none. The class of its kind says which ones are given.

    One object for each task that uses it; its methods run on that task's thread, and what its constructor raises
    fails the task. Providers, policies and REST extensions are made otherwise: see there.
    """

    config_class: ClassVar[type[Config]] = Config

    def __init__(self, config: C) -> None:
        self.config = config

    def close(self) -> None:
        """Called once, last. What it raises is logged; of a policy it fails the validation. Source: Closeable.close."""

"""What every plugin that is no connector has: its settings, and an end."""

from typing import ClassVar, Generic, TypeVar

from millstream_api.config.declaration import Config

C = TypeVar("C", bound=Config)


class Plugin(Generic[C]):
    """A plugin that is no connector: made from its settings, closed at the end.

    config_class:  the settings it takes; `Config` for none.

    One object for each task that uses it; its methods run on that task's thread. Those of the worker
    (providers, policies, REST extensions) are made once.
    """

    config_class: ClassVar[type[Config]] = Config

    def __init__(self, config: C) -> None:
        self.config = config

    def close(self) -> None:
        """Called once, last. What it raises is logged."""

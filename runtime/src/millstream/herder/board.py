"""What readers see: an immutable snapshot, made anew after each change."""

from millstream.errors import NotFoundError
from millstream.herder.classes import kind_of
from millstream.herder.herder import Config, ConnectorView, Snapshot
from millstream.herder.states import States
from millstream.identity import TargetState
from millstream.inventory.inventory import Inventory
from millstream.storage.configs import ConfigStore
from millstream.storage.java_json import hash_map_order


class Board:
    """Changed on the herder's thread; `snapshot` may be read on any."""

    def __init__(self, configs: ConfigStore, states: States, inventory: Inventory) -> None:
        self._configs = configs
        self._states = states
        self._inventory = inventory
        self.snapshot = Snapshot()

    def publish(self) -> None:
        """Let readers see what is so now."""
        state = self._configs.snapshot()
        connectors = {
            name: ConnectorView(
                name,
                hash_map_order(config),
                kind_of(self._inventory, config),
                tuple(hash_map_order(state.tasks[task]) for task in state.tasks_of(name)),
                state.targets.get(name, TargetState.STARTED),
            )
            for name, config in state.connectors.items()
        }
        states = {name: view for name, view in self._states.views().items() if name in connectors}
        self.snapshot = Snapshot(connectors, states, self._states.topics())

    def known(self, name: str, sentence: str) -> Config:
        """The settings of a connector. NotFoundError in the words of `sentence`, which has a place for its name."""
        config = self._configs.snapshot().connectors.get(name)
        if config is None:
            raise NotFoundError(sentence.format(name))
        return config

    def view_as_given(self, name: str, config: Config) -> ConnectorView:
        """The connector as it is now, its settings in the order in which they were given."""
        view = self.snapshot.connectors.get(name)
        if view is None:
            raise NotFoundError(f"Connector {name} not found")
        return ConnectorView(name, config, view.kind, view.tasks, view.target)

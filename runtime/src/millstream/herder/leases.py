"""What config providers gave for a while: when that is over, the connector starts again (§10.3)."""

import logging
from collections.abc import Callable, Mapping

from millstream.herder.crew import Crew
from millstream.herder.procedures import Procedure
from millstream.identity import TargetState

log = logging.getLogger(__name__)

#: a provider whose answers hold for no time at all does not keep a connector from working
LEAST_S = 1.0


class Leases:
    """Used by the herder's thread alone. One restart is pending for each connector and path: the newest.

    restart: gives the procedure that restarts a connector, without its tasks.
    """

    def __init__(self, crew: Crew, restart: Callable[[str], Procedure]) -> None:
        self._crew = crew
        self._restart = restart
        self._newest: dict[tuple[str, str], object] = {}

    def heard(self, connector: str, ttls: Mapping[str, int]) -> None:
        """The connector has started with what was given for these paths, each for so many milliseconds."""
        config = self._crew.configs.snapshot().connectors.get(connector)
        for path, ttl_ms in ttls.items():
            at = (connector, path)
            token = self._newest[at] = object()
            over = self._step(at, token, config)
            self._crew.agenda.post(over, max(ttl_ms / 1000, LEAST_S))

    def _step(self, at: tuple[str, str], token: object, config: object) -> Callable[[], None]:
        return lambda: self._over(at, token, config)

    def _over(self, at: tuple[str, str], token: object, config: object) -> None:
        connector, path = at
        if self._newest.get(at) is not token:
            return
        del self._newest[at]
        state = self._crew.configs.snapshot()
        started = state.targets.get(connector, TargetState.STARTED) is TargetState.STARTED
        if state.connectors.get(connector) != config or config is None or not started:
            return  # it is deleted, or has other settings by now, or asks anew when it starts
        log.info("connector %s starts again: what a config provider gave for %r holds no longer", connector, path)
        self._crew.agenda.let(self._restart(connector), f"a new start of connector {connector}")

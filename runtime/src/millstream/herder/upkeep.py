"""What is done every so often: states that a full disk refused, records that retention lets go."""

import logging

from millstream.broker.ports import Broker
from millstream.errors import MillstreamError
from millstream.herder.crew import Crew
from millstream.herder.groups import Readings
from millstream.lifecycle import Spawned, StopToken, spawn

log = logging.getLogger(__name__)

RETRY_S = 1.0
RETENTION_S = 30.0
STOP_S = 10.0


class Upkeep:
    """Retention has a thread of its own, since it may take long; the rest is the herder's thread."""

    def __init__(self, broker: Broker, crew: Crew) -> None:
        self._broker = broker
        self._states = crew.states
        self._agenda = crew.agenda
        self._board = crew.board
        self._readings = Readings(crew.worker.probe, crew.worker.settings)
        self._retains = not crew.stores.remote  # else that is the brokers' business
        self._over = StopToken()
        self._retaining: Spawned | None = None

    def start(self) -> None:
        self._agenda.post(self._retry, RETRY_S)
        if self._retains:
            self._retaining = spawn("retention", self._retain, stop=self._over)

    def stop(self) -> None:
        """Returns when nothing of it uses the log any more, or says that it still does."""
        self._over.set()
        if self._retaining is not None and not self._retaining.join(STOP_S):
            log.warning("old records are still being removed after %.0f s; the log is closed all the same", STOP_S)

    def _retry(self) -> None:
        try:
            self._states.retry()
        except MillstreamError as error:
            log.error("the states of connectors and tasks could not be written, and are tried again: %s", error)
        self._agenda.post(self._retry, RETRY_S)

    def _retain(self, stop: StopToken) -> None:
        while not stop.wait(RETENTION_S):
            views = self._board.snapshot.connectors.items()  # one whose plugin is missing may be a sink
            try:
                sinks = {name: view.config for name, view in views if view.kind != "source"}
                self._broker.retain(self._readings.of(sinks))
            except MillstreamError as error:
                log.error("old records could not be removed, and are tried again: %s", error)

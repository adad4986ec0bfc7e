"""The states that `status`, the list of connectors and extensions tell alike: of what is about to start, and of a
connector whose monitor does not come back, what goes on with it stands in place of a trace."""

from collections.abc import Mapping
from dataclasses import replace

from millstream.herder.herder import ConnectorView, Herder, StateView
from millstream.herder.stages import Stage
from millstream.identity import State, Status

ABOUT_TO_START = (State.UNASSIGNED, State.RESTARTING)

Going = Mapping[tuple[str, int | None], Stage]


class States:
    """How all connectors and tasks of a herder are now."""

    def __init__(self, herder: Herder) -> None:
        self.snapshot = herder.snapshot()
        self._worker_id = herder.identity.worker_id
        self._going: Going = herder.stages.going()

    def kind(self, name: str) -> str:
        """`unknown` for a connector that is no more, as for one whose class cannot be found."""
        view = self.snapshot.connectors.get(name)
        return view.kind if view else "unknown"

    def stage(self, name: str) -> Stage | None:
        """What goes on with a connector that there is."""
        return self._going.get((name, None)) if name in self.snapshot.connectors else None

    def of(self, name: str) -> StateView | None:
        """None before the first start of a connector has returned, and once it is deleted."""
        state = self.snapshot.states.get(name)
        return None if state is None else StateView(_saying(state.connector, self.stage(name)), self.tasks(name))

    def of_known(self, view: ConnectorView) -> StateView:
        """As `of`; a connector whose first start goes on is UNASSIGNED."""
        unassigned = Status(State.UNASSIGNED, self._worker_id)
        return self.of(view.name) or StateView(_saying(unassigned, self.stage(view.name)), self.tasks(view.name))

    def tasks(self, name: str) -> dict[int, Status]:
        """One that was never seen to run is UNASSIGNED while it starts."""
        state, view = self.snapshot.states.get(name), self.snapshot.connectors.get(name)
        known = dict(state.tasks) if state else {}
        for task in range(len(view.tasks)) if view else ():
            going = self._going.get((name, task))
            if going is not None:
                known[task] = _saying(known.get(task) or Status(State.UNASSIGNED, self._worker_id), going)
        return known


def _saying(status: Status, stage: Stage | None) -> Status:
    if stage is None or status.trace or not (status.state in ABOUT_TO_START or stage.where):
        return status
    return replace(status, trace=stage.summary())

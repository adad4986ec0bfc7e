"""One procedure at a time has a connector in its hands."""

from concurrent.futures import Future

from millstream.herder.procedures import Procedure


class Turns:
    """Used by the herder's thread alone."""

    def __init__(self) -> None:
        self._taken: dict[str, Future[None]] = {}

    def take(self, name: str, procedure: Procedure) -> Procedure:
        """Run a procedure when no other one has the connector in its hands."""
        while name in self._taken:
            yield self._taken[name]
        turn = self._taken[name] = Future()
        try:
            return (yield from procedure)
        finally:
            del self._taken[name]
            turn.set_result(None)

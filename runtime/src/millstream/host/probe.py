"""One question about a plugin, asked of its code in a child that ends with the answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millstream.errors import WorkerError
from millstream.host.asking import Asking
from millstream.host.channel import Answer, Cancel, ChildEnd, Failure, Message, RunProbe
from millstream.host.installed import Places, parsed, plugin_class
from millstream.host.report import report
from millstream.host.stored import StoredOffsets
from millstream.lifecycle import StopToken
from millstream.settings.client import group_of
from millstream_api import Connector, Place
from millstream_api.config import Definition


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what is needed to answer it."""

    run: RunProbe
    places: Places
    asking: Asking


class ProbeBody:
    """Answers with number 0, once."""

    def __init__(self, run: RunProbe, end: ChildEnd) -> None:
        self._run = run
        self._end = end
        self._asking = Asking(end)
        self._places = Places(run.around)
        end.veil = self._places.veil

    def hear(self, message: Message) -> None:
        """A probe is told what it asked; else there is nothing to say to it: it is killed when it takes too long."""
        if isinstance(message, Answer):
            self._asking.answered(message)
        elif isinstance(message, Cancel):
            self._asking.over.set()

    def run(self) -> bool:
        try:
            question = QUESTIONS.get(self._run.what)
            if question is None:
                raise WorkerError(f"a probe has no answer to {self._run.what!r}; it knows {', '.join(QUESTIONS)}")
            answer = Answer(0, question(Asked(self._run, self._places, self._asking)))
        except Exception as error:  # noqa: BLE001 - plugin code; told to who asked
            answer = Answer(0, failure=Failure.of(error))
        except BaseException as error:  # noqa: BLE001 - its text, "5" or nothing, would tell who asked nothing
            name = self._run.plugin.name or self._run.plugin.target
            text = f"{name} tried to end the process when asked for {self._run.what}: {type(error).__name__}"
            left = WorkerError(f"{text}: {error}" if str(error) else text)
            left.__cause__ = error
            answer = Answer(0, failure=Failure.of(left))
        self._places.close()  # before the answer: after it nobody ends a probe that hangs
        self._end.tell(answer)
        return False


class _ProbeContext:
    """The context of a connector that is not started: it can read offsets, and has nobody to tell anything."""

    def __init__(self, stored: StoredOffsets) -> None:
        self._stored = stored
        self._stop = StopToken()

    def wait(self, seconds: float) -> bool:
        return self._stop.wait(seconds)

    def fail(self, error: Exception) -> None:
        raise error

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Nobody watches a probe."""

    def request_reconfiguration(self) -> None:
        """A connector that is not started has no tasks."""

    def offset(self, partition: Place) -> Place | None:
        return self._stored.offsets([partition])[0]

    def offsets(self, partitions: Any) -> Sequence[Place | None]:
        return self._stored.offsets(list(partitions))


def definitions(asked: Asked) -> list[dict[str, Any]]:
    """The plugin's settings, in their order (`GET /connector-plugins/{name}/config`)."""
    return [defined(definition) for definition in plugin_class(asked.run.plugin).config_class.definitions()]


def alter_offsets(asked: Asked) -> bool:
    """Whether the connector looked at the offsets that an operator wants to set; it raises to refuse them."""
    pairs = [(partition, offset) for partition, offset in asked.run.arguments["offsets"]]
    return bool(_with(asked, lambda plugin: plugin.alter_offsets(pairs)))


def reading(asked: Asked) -> dict[str, str | None]:
    """A sink's own settings about what it reads, variables replaced, with the group that it reads in."""
    own = asked.places.resolved(asked.run.settings)
    return {**own, "consumer.override.group.id": group_of(asked.run.connector, own, asked.places.worker)}


QUESTIONS: Mapping[str, Callable[[Asked], Any]] = {
    "definitions": definitions,
    "alter_offsets": alter_offsets,
    "reading": reading,
    "report": lambda asked: report(asked.run, asked.places, lambda question: _with(asked, question)),
}


def defined(definition: Definition) -> dict[str, Any]:
    """Give a definition as JSON, ConfigKeyInfo of §1.8."""
    return {
        "name": definition.name,
        "type": definition.type.value,
        "required": definition.required,
        "default_value": definition.default_text,
        "importance": definition.importance.name,
        "documentation": definition.documentation,
        "group": definition.group,
        "order_in_group": definition.order,
        "width": definition.width.name,
        "display_name": definition.display_name,
        "dependents": list(definition.dependents),
    }


def _with(asked: Asked, ask: Callable[[Connector[Any]], Any]) -> Any:
    """Ask a connector that is made but not started."""
    run, places = asked.run, asked.places
    kind = plugin_class(run.plugin)
    stored = StoredOffsets(run.connector, places, asked.asking)
    try:
        config = parsed(kind.config_class, places.resolved(run.settings), run.settings)
        answer = ask(kind(config, _ProbeContext(stored)))
        return list(answer) if not isinstance(answer, bool | dict) else answer
    finally:
        stored.close()

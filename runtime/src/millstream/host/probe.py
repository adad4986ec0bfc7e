"""One question about a plugin, asked of its code in a child that ends with the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.errors import WorkerError
from millstream.host.asking import Asking
from millstream.host.channel import Answer, ChildEnd, Failure, Message, RunProbe
from millstream.host.installed import Places, parsed, plugin_class
from millstream.host.report import report
from millstream.host.stored import StoredOffsets
from millstream.lifecycle import StopToken
from millstream_api import Connector, Place, SourceConnector
from millstream_api.config import Definition, Validated


class ProbeBody:
    """Answers with number 0, once."""

    def __init__(self, run: RunProbe, end: ChildEnd) -> None:
        self._run = run
        self._end = end
        self._asking = Asking(end)

    def hear(self, message: Message) -> None:
        """A probe is told what it asked; else there is nothing to say to it: it is killed when it takes too long."""
        if isinstance(message, Answer):
            self._asking.answered(message)

    def run(self) -> bool:
        try:
            asked = QUESTIONS.get(self._run.what)
            if asked is None:
                raise WorkerError(f"a probe has no answer to {self._run.what!r}; it knows {', '.join(QUESTIONS)}")
            answer = Answer(0, asked(self._run, self._asking))
        except Exception as error:  # noqa: BLE001 - plugin code; told to who asked
            answer = Answer(0, failure=Failure.of(error))
        except BaseException as error:  # noqa: BLE001 - its text, "5" or nothing, would tell who asked nothing
            name = self._run.plugin.name or self._run.plugin.target
            text = f"{name} tried to end the process when asked for {self._run.what}: {type(error).__name__}"
            left = WorkerError(f"{text}: {error}" if str(error) else text)
            left.__cause__ = error
            answer = Answer(0, failure=Failure.of(left))
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


def definitions(run: RunProbe, _: Asking) -> list[dict[str, Any]]:
    """The plugin's settings, in their order (`GET /connector-plugins/{name}/config`)."""
    return [defined(definition) for definition in plugin_class(run.plugin).config_class.definitions()]


def validate(run: RunProbe, asking: Asking) -> dict[str, Any]:
    """The plugin's settings with what is wrong with the given ones, then, when nothing is, what `probe` finds outside.

    `{"configs": [{"definition", "value"}], "problems": [[setting, sentence]], "probed": whether `probe` was called}`
    """
    kind = plugin_class(run.plugin)
    settings = Places(run.around).resolved(run.settings)
    examined: Sequence[Validated] = kind.config_class.validate(settings)
    known = {definition.name: definition for definition in kind.config_class.definitions()}
    configs = [
        {"definition": defined(known[one.name]) if one.name in known else None, "value": examined_value(one)}
        for one in examined
    ]
    sound = not any(one.errors for one in examined)
    problems: list[list[str]] = []
    if sound and issubclass(kind, Connector):
        problems = [[setting, sentence] for setting, sentence in _with(run, asking, lambda plugin: plugin.probe())]
    return {"configs": configs, "problems": problems, "probed": sound}


def alter_offsets(run: RunProbe, asking: Asking) -> bool:
    """Whether the connector looked at the offsets that an operator wants to set; it raises to refuse them."""
    pairs = [(partition, offset) for partition, offset in run.arguments["offsets"]]
    return bool(_with(run, asking, lambda plugin: plugin.alter_offsets(pairs)))


def exactly_once(run: RunProbe, asking: Asking) -> dict[str, str | None]:
    """What a source says of exactly-once and its own transaction boundaries with these settings; None: nothing."""

    def both(plugin: Connector[Any]) -> dict[str, str | None]:
        if not isinstance(plugin, SourceConnector):
            raise WorkerError(f"{run.plugin.name or run.plugin.target} is no source: it has no transactions")
        once, boundaries = plugin.exactly_once(), plugin.transaction_boundaries()
        return {
            "exactly_once": once.name if once is not None else None,
            "transaction_boundaries": boundaries.name if boundaries is not None else None,
        }

    found: dict[str, str | None] = _with(run, asking, both)
    return found


QUESTIONS: Mapping[str, Callable[[RunProbe, Asking], Any]] = {
    "definitions": definitions,
    "validate": validate,
    "alter_offsets": alter_offsets,
    "exactly_once": exactly_once,
    "report": lambda run, asking: report(run, lambda question: _with(run, asking, question)),
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


def examined_value(one: Validated) -> dict[str, Any]:
    """Give a validated setting as JSON, ConfigValueInfo of §1.8."""
    return {
        "name": one.name,
        "value": one.value,
        "recommended_values": list(one.recommended),
        "errors": list(one.errors),
        "visible": one.visible,
    }


def _with(run: RunProbe, asking: Asking, ask: Callable[[Connector[Any]], Any]) -> Any:
    """Ask a connector that is made but not started."""
    kind = plugin_class(run.plugin)
    places = Places(run.around)
    stored = StoredOffsets(run.connector, places, asking)
    try:
        config = parsed(kind.config_class, places.resolved(run.settings), run.settings)
        answer = ask(kind(config, _ProbeContext(stored)))
        return list(answer) if not isinstance(answer, bool | dict) else answer
    finally:
        stored.close()

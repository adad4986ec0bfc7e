"""A task in its child: everything it is made of, put together, and run (spec/runtime.md §5.2, §2.5)."""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from millstream.broker.connect import open_broker
from millstream.broker.ports import AdminSettings, Broker, Consumer, ConsumerSettings, ProducerSettings
from millstream.errors import ConfigError
from millstream.host.asking import Asking
from millstream.host.channel import (
    Aim,
    Answer,
    Cancel,
    ChildEnd,
    Counted,
    Failure,
    Message,
    Progressed,
    Reshare,
    RunTask,
    StateChanged,
    Stop,
    TopicSeen,
)
from millstream.host.composition import Composer, flag, number
from millstream.host.connector import TooManyTasksError, too_many_tasks
from millstream.host.installed import Places, listed, parsed, plugin_class, under
from millstream.host.stored import AskedOffsets, TaskOffsets, bootstrap, is_embedded, text
from millstream.identity import TargetState, TaskId
from millstream.lifecycle import SystemClock
from millstream.metrics.readings import Measuring
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Counters, LogReporter, Reporting
from millstream.pipeline.tolerance import Handling, Tolerance
from millstream.pipeline.topics import PREFIX, TopicCreation, topic_creation
from millstream.settings.client import Client, group_of, of_worker, offset_reset
from millstream.settings.connector import DEAD_LETTERS, NO_DEAD_LETTERS
from millstream.settings.topic import CONFIGS, STATUSES, offset_topic
from millstream.task import events, failpoints
from millstream.task.control import Control
from millstream.task.sink import SinkParts, SinkSettings, SinkTaskLoop
from millstream.task.source import SourceParts, SourceSettings, SourceTaskLoop
from millstream_api import SinkConnector, SourceTask

log = logging.getLogger(__name__)

EMBEDDED_INTERVAL_MS = 1_000
KAFKA_INTERVAL_MS = 60_000
BOUNDARIES = ("poll", "interval", "connector")


class TaskBody:
    """Runs one task on the calling thread; wishes go to its control, on the listening one."""

    def __init__(self, run: RunTask, end: ChildEnd) -> None:
        self._run = run
        self._end = end
        self._control = Control(TargetState(run.target))
        self._consumer: Consumer | None = None
        self._share: tuple[int, int] | None = None
        self._sharing = threading.Lock()  # the newest share is the one that stays
        self._asking = Asking(end)
        self._places = Places(run.around)
        end.veil = self._places.veil

    def hear(self, message: Message) -> None:
        if isinstance(message, Aim):
            self._control.aim(TargetState(message.target))
        elif isinstance(message, Stop):
            self._control.stop()
        elif isinstance(message, Cancel):
            self._control.cancel()
            self._asking.over.set()
        elif isinstance(message, Answer):
            self._asking.answered(message)
        elif isinstance(message, Reshare):
            with self._sharing:
                self._share = (message.member, message.members)
                if self._consumer is not None:
                    self._consumer.reshare(message.member, message.members)

    def run(self) -> bool:
        """Until it is stopped or fails. A failure to put it together is the task's FAILED."""
        parts = Workbench(self._run, self._places, self._control, self._tell, self._asking)
        try:
            loop = parts.loop()
            with self._sharing:
                self._consumer = parts.consumer
                if self._consumer is not None and self._share is not None:
                    self._consumer.reshare(*self._share)
            loop.run()
        finally:
            try:
                parts.close()
            finally:
                self._places.close()
        return False

    def _tell(self, event: events.Event) -> None:
        if isinstance(event, events.StateChanged):
            why = None if event.trace is None else _failure(event.trace)
            self._end.tell(StateChanged(event.state.value, why))
        elif isinstance(event, events.TopicSeen):
            self._end.tell(TopicSeen(event.topic))
        elif isinstance(event, events.Counted):
            self._end.tell(Counted(dict(event.values)))
        else:
            self._end.tell(Progressed(event.done, event.total, event.unit, event.of))


class Workbench:
    """Puts one task together, in Java's order (Worker.startTask), so that the first thing wrong is the same one."""

    def __init__(self, run: RunTask, places: Places, control: Control, tell: events.Tell, asking: Asking) -> None:
        self._run = run
        self._control = control
        self._tell = tell
        self._asking = asking
        self._places = places
        self._clock = SystemClock()
        self._id = TaskId(run.connector, run.task)
        self._broker: Broker | None = None
        self._offsets: TaskOffsets | None = None
        self.consumer: Consumer | None = None

    def loop(self) -> SourceTaskLoop | SinkTaskLoop:
        connector = self._places.resolved(self._run.connector_settings)
        self._check_count(connector)
        plugin = plugin_class(self._run.plugin)
        task = plugin.task_class
        config = parsed(
            task.config_class or plugin.config_class, self._places.resolved(self._run.settings), self._run.settings
        )
        composer = Composer(self._places, connector, tuple(self._run.around.disabled))
        pipeline = self._pipeline(connector, composer, issubclass(plugin, SinkConnector))
        self._broker = open_broker(bootstrap(self._places), text(self._places.worker), at_once=False)
        if isinstance(pipeline, SinkPipeline):
            return SinkTaskLoop(self._sink(connector, lambda context: task(config, context), pipeline))
        return SourceTaskLoop(self._source(connector, task, config, pipeline))

    def close(self) -> None:
        """Let go of the log; the loop has closed its clients."""
        if self._offsets is not None:
            self._offsets.close()
        if self._broker is not None:
            self._broker.close()

    def _check_count(self, connector: Mapping[str, str | None]) -> None:
        allowed, count = number(connector, "tasks.max", 1), self._run.task_count
        if count > allowed and flag(connector, "tasks.max.enforce", True):
            raise TooManyTasksError(too_many_tasks(self._run.connector, count, allowed))

    def _pipeline(
        self, connector: Mapping[str, str | None], composer: Composer, sink: bool
    ) -> SourcePipeline | SinkPipeline:
        converters = composer.converters()
        tolerance = Tolerance(
            (connector.get("errors.tolerance") or "none").strip().lower() == "all",
            number(connector, "errors.retry.timeout", 0),
            number(connector, "errors.retry.delay.max.ms", 60_000),
        )
        handling = Handling(tolerance, self._clock, self._control.wait)
        self._counters = Counters()
        reporters = []
        if flag(connector, "errors.log.enable"):
            include = flag(connector, "errors.log.include.messages")
            reporters.append(LogReporter(str(self._id), include, self._counters))
        if sink and (connector.get(DEAD_LETTERS) or "").strip():
            raise ConfigError({DEAD_LETTERS: NO_DEAD_LETTERS})
        reporting = Reporting(reporters, self._counters)
        kind = SinkPipeline if sink else SourcePipeline
        return kind(composer.chain(), converters, handling, reporting)

    def _source(
        self, connector: Mapping[str, str | None], task: type[SourceTask[Any]], config: Any, pipeline: SourcePipeline
    ) -> SourceParts:
        broker = self._opened()
        creation, warnings = self._creation(text(connector))
        for warning in warnings:
            log.warning("%s", warning)
        producer = broker.producer(
            ProducerSettings(
                client_id=f"connector-producer-{self._id}",
                report_each=task.commit_record is not SourceTask.commit_record,
                epoch=self._run.around.epoch or None,
                overrides=self._overrides("producer", connector),
                queue_bytes=self._run.around.queue_bytes,
            )
        )
        admin = AdminSettings(f"connector-adminclient-{self._id}", self._overrides("admin", connector))
        reader: AskedOffsets | TaskOffsets
        if is_embedded(self._places):
            reader = rows = self._offsets = TaskOffsets(self._run.connector, broker, self._places, self._asking.over)
            writer = None
        else:
            reader = writer = AskedOffsets(self._asking)
            rows = None
        return SourceParts(
            id=self._id,
            plugin=lambda context: task(config, context),
            pipeline=pipeline,
            producer=producer,
            admin=broker.admin(admin),
            reader=reader,
            control=self._control,
            tell=self._tell,
            clock=self._clock,
            rows=rows,
            writer=writer,
            new_topic=creation.new_topic if creation is not None else None,
            settings=self._source_settings(connector),
            measuring=self._measuring(),
            errors=self._counters.values,
            failpoint=failpoints.from_environment(),
        )

    def _creation(self, connector: Mapping[str, str]) -> tuple[TopicCreation | None, Sequence[str]]:
        if flag(self._places.worker, "topic.creation.enable", True):
            return topic_creation(connector)
        ignored = sorted(key for key in connector if key.startswith(PREFIX))
        if not ignored:
            return None, ()
        return None, [
            f"{', '.join(ignored)}: ignored, as topic.creation.enable=false in the worker; its brokers make missing "
            "topics (auto.create.topics.enable), or nobody does"
        ]

    def _source_settings(self, connector: Mapping[str, str | None]) -> SourceSettings:
        worker = self._places.worker
        boundary = (connector.get("transaction.boundary") or "poll").strip().lower()
        if boundary not in BOUNDARIES:
            raise ConfigError({"transaction.boundary": f"transaction.boundary is {boundary!r}: expected one of "
                                                       f"{', '.join(BOUNDARIES)}"})  # fmt: skip
        if boundary != "poll" and not is_embedded(self._places) and self._run.task == 0:
            sentence = (
                "transaction.boundary=%s is not followed: this worker has no transactions on Kafka, and writes at "
                "least once; offsets are stored every offset.flush.interval.ms"
            )
            log.warning(sentence, boundary)
        interval = connector.get("transaction.boundary.interval.ms")
        return SourceSettings(
            offset_flush_interval_ms=_flush_interval_ms(self._places),
            offset_flush_timeout_ms=number(worker, "offset.flush.timeout.ms", 5_000),
            tolerate_failures=(connector.get("errors.tolerance") or "none").strip().lower() == "all",
            boundary=boundary,  # type: ignore[arg-type]  # one of BOUNDARIES
            boundary_interval_ms=number(connector, "transaction.boundary.interval.ms", 0) if interval else None,
            overlapped=bootstrap(self._places).startswith("sqlite:") and self._opened().shared,
            own_offsets_topic=offset_topic(self._places.worker),
            own_topics=(CONFIGS, STATUSES),
        )

    def _sink(self, connector: Mapping[str, str | None], plugin: Any, pipeline: SinkPipeline) -> SinkParts:
        overrides = self._overrides("consumer", connector)
        consumer = self._opened().consumer(
            ConsumerSettings(
                client_id=f"connector-consumer-{self._id}",
                group=group_of(self._run.connector, connector, self._places.worker),
                reset=_reset(overrides, "consumer.override.auto.offset.reset" in connector),
                share=(self._run.member, self._run.members),
                epoch=self._run.around.epoch or None,
                overrides=overrides,
                queue_bytes=self._run.around.queue_bytes,
            )
        )
        self.consumer = consumer
        return SinkParts(
            id=self._id,
            plugin=plugin,
            pipeline=pipeline,
            consumer=consumer,
            control=self._control,
            tell=self._tell,
            clock=self._clock,
            settings=self._sink_settings(connector, overrides),
            measuring=self._measuring(),
            errors=self._counters.values,
            failpoint=failpoints.from_environment(),
        )

    def _sink_settings(self, connector: Mapping[str, str | None], overrides: Mapping[str, str]) -> SinkSettings:
        topics, regex = listed(connector.get("topics")), (connector.get("topics.regex") or "").strip()
        if bool(topics) == bool(regex):
            sentence = (
                "topics and topics.regex are mutually exclusive options, but both are set."
                if topics
                else "Must configure one of topics or topics.regex"
            )
            raise ConfigError({"topics": sentence, "topics.regex": sentence})
        return SinkSettings(
            topics=list(dict.fromkeys(topics)) or None,
            pattern=_pattern(regex) if regex else None,
            offset_flush_interval_ms=_flush_interval_ms(self._places),
            offset_flush_timeout_ms=number(self._places.worker, "offset.flush.timeout.ms", 5_000),
            max_poll_rows=number(overrides, "max.poll.records", 500),
        )

    def _opened(self) -> Broker:
        assert self._broker is not None
        return self._broker

    def _measuring(self) -> Measuring:
        worker = self._places.worker
        window = number(worker, "metrics.sample.window.ms", 30_000)
        return Measuring(self._clock, window, number(worker, "metrics.num.samples", 2))

    def _overrides(self, client: Client, connector: Mapping[str, str | None]) -> dict[str, str]:
        """The worker's `producer.*` or `consumer.*`, then the connector's `*.override.*` (§2.4)."""
        own = under(f"{client}.override.", connector)
        composed = text({**of_worker(client, self._places.worker), **own})
        if own and is_embedded(self._places):  # brokers' clients look at them by themselves
            from millstream.settings.embedded import check_client, not_followed

            names = {name: f"{client}.override.{name}" for name, value in own.items() if (value or "").strip()}
            check_client(client, composed, names)
            for sentence in not_followed(names.items()) if self._run.task == 0 else ():
                log.warning("%s", sentence)
        return composed


def _flush_interval_ms(places: Places) -> int:
    unset = EMBEDDED_INTERVAL_MS if is_embedded(places) else KAFKA_INTERVAL_MS
    return number(places.worker, "offset.flush.interval.ms", unset)


def _reset(overrides: Mapping[str, str], own: bool) -> Literal["earliest", "latest", "none"]:
    """own: whether it is the connector's, else the worker's, or nobody's."""
    try:
        return offset_reset(overrides.get("auto.offset.reset", "earliest"))
    except ConfigError as error:
        prefix = "consumer.override." if own else "consumer."
        raise ConfigError([(prefix + name, prefix + problem) for name, problem in error.found]) from None


def _pattern(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        problem = f"topics.regex is {regex!r}, which is no regular expression: {error}"
        raise ConfigError({"topics.regex": problem}) from error


def _failure(trace: str) -> Failure:
    kind, _, message = trace.partition("\n")[0].partition(": ")
    return Failure(kind, message, trace)

"""Connect's way: one record, one operation at a time (RetryWithToleranceOperator.java, spec/runtime.md §6.2).

Shares nothing with the pipeline but the three numbers of a `Tolerance`.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from exactness.cases import Case, Seen, link_name, plugins_of, raw_headers, raw_key, raw_value, shown, text
from exactness.converters import SCHEMAS, HeaderSpell, key_bytes, read_key, read_value, value_bytes
from exactness.plugins import Asked, BatchOnly, ColumnsOnly, Tried
from millstream.errors import RetriableError
from millstream_api import Header, Record


class EndOfTask(Exception):
    pass


class Skipped(Exception):
    pass


class Model:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.seen = Seen()
        self.links = plugins_of(case, self.seen.calls)
        self.header = HeaderSpell(self.seen.calls)
        self.number = 0
        self.link = -1

    def execute(self, stage: str, executing: str, operation: Callable[[], Any]) -> Any:
        tolerance, counts = self.case.tolerance, self.seen.counts
        waited, attempt = 0, 0
        while True:
            attempt += 1
            try:
                return operation()
            except RetriableError as error:
                counts["FAILURE"] += 1
                again = tolerance.retry_timeout_ms < 0 or waited < tolerance.retry_timeout_ms
                counts["RETRY"] += again
                if not again or self.case.stopping:
                    counts["SKIP"] += 1
                    self.report(stage, executing, error)
                    raise Skipped from None
                delay = 300 * 2 ** (attempt - 1)
                if delay > tolerance.retry_delay_max_ms:
                    delay = tolerance.retry_delay_max_ms // 2
                delay = min(delay, tolerance.retry_timeout_ms - waited)
                waited += delay
                self.seen.waited_ms += delay
            except Exception as error:
                counts["FAILURE"] += 1
                self.report(stage, executing, error)
                if not tolerance.all:
                    self.fail(text(error))
                counts["SKIP"] += 1
                raise Skipped from None

    def fail(self, why: str) -> NoReturn:
        self.seen.failed, self.seen.failed_link = (self.number, why), self.link
        raise EndOfTask from None

    def report(self, stage: str, executing: str, error: Exception) -> None:
        self.seen.counts["ERROR"] += 1
        self.seen.reports.append((self.number, stage, executing, text(error)))

    def chain(self, record: Record) -> Record | None:
        current: Any = record
        for at, (transformation, predicate, negate) in enumerate(self.links):
            given, self.link = current, at

            def operation(
                transformation: Tried = transformation,
                predicate: Asked | None = predicate,
                negate: bool = negate,
                given: Any = given,
            ) -> Any:
                try:
                    if predicate is not None:
                        ask = predicate.scalar if isinstance(predicate, ColumnsOnly) else predicate.test
                        if bool(ask(given)) is negate:
                            return given
                    apply = transformation.scalar if isinstance(transformation, BatchOnly) else transformation.apply
                    result = apply(given)
                except StopIteration:
                    raise RuntimeError("stop") from None
                if not (result is None or isinstance(result, Record)):
                    raise TypeError("stranger")
                return result

            current = self.execute("TRANSFORMATION", link_name(at), operation)
            if current is None:
                return None
        self.link = len(self.links)
        return current  # type: ignore[no-any-return]

    def each(self, step: Callable[[Any], None], items: Sequence[Any]) -> Seen:
        for self.number, item in enumerate(items):
            try:
                step(item)
            except Skipped:
                pass
            except EndOfTask:
                break
            if item.columns and item.boundary:
                self.seen.boundaries.append((item.id + 1, "commit" if item.boundary == "empty" else item.boundary))
        return self.seen

    def stamp(self, stamp: int | None) -> int | None:
        if stamp is not None and stamp < -1:
            self.fail(f"DataError: Invalid record timestamp {stamp}")
        return None if stamp == -1 else stamp

    def source(self, row: SimpleNamespace) -> None:
        record = self.chain(
            Record(
                row.topic, row.value, SCHEMAS[row.schema], row.key, row.key_schema, row.kafka_partition, row.stamp,
                row.headers,
            )
        )  # fmt: skip
        if record is None:
            return
        r = record

        def headers() -> list[tuple[str, Any]]:
            return [(h.name, self.header.to_bytes(r.topic, h.name, h.value, h.schema)) for h in r.headers]

        done = self.execute("HEADER_CONVERTER", "header", headers)
        key, some = self.execute("KEY_CONVERTER", "key", lambda: key_bytes(r.topic, r.key_schema, r.key))
        value, more = self.execute("VALUE_CONVERTER", "value", lambda: value_bytes(r.topic, r.value_schema, r.value))
        stamp = self.stamp(r.timestamp)
        done = [*done, *((h.name, h.value) for h in (*some, *more))]
        self.seen.sent[r.topic].append((row.id, key, value, r.partition, stamp, done))
        self.seen.offsets[str(row.place)] = {"at": row.id}

    def sink(self, row: SimpleNamespace) -> None:
        self.link = -1
        key_schema, key = self.execute("KEY_CONVERTER", "key", lambda: read_key(raw_key(row)))
        schema, value = self.execute("VALUE_CONVERTER", "value", lambda: read_value(raw_value(row)))

        def read_headers() -> list[Header]:
            out = []
            for name, raw in raw_headers(row):
                read = self.header.from_bytes(row.topic, name, raw)
                out.append(Header(name, read[1], read[0]))
            return out

        headers = self.execute("HEADER_CONVERTER", "header", read_headers)
        stamp = self.stamp(-1 if row.stamp is None else row.stamp)
        record = self.chain(Record(row.topic, value, schema, key, key_schema, row.place, stamp, headers))
        if record is not None:
            self.seen.sent["put"].append((row.id, shown(record)))

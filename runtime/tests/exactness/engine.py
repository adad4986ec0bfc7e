"""The row engine, run on a case and observed."""

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from exactness.cases import SLICE, Case, Seen, link_name, plugins_of, raw_headers, raw_key, raw_value, shown, text
from exactness.converters import SCHEMAS, HeaderSpell, Spell, key_bytes, value_bytes
from millstream.broker.ports import Incoming
from millstream.lifecycle import ManualClock
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Consumed, Reporting
from millstream.pipeline.tolerance import Event, Handling
from millstream_api import SourceBatch, SourceRecord

NAMES = {"FAILURE": "total-record-failures", "ERROR": "total-record-errors"}
PLACES = ({"p": 0}, {"p": 1}, {"p": 2})  # a plain plugin has one dict for all records of a partition
NAMES |= {"SKIP": "total-records-skipped", "RETRY": "total-retries"}


class Listener:
    """A reporter that notes what it hears."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def report(self, event: Event, original: SourceRecord | Consumed) -> None:
        number = original.source_offset["at"] if isinstance(original, SourceRecord) else original.offset  # type: ignore[index]
        assert event.error is not None
        self.seen.reports.append((number, event.site.stage.value, event.site.class_name, text(event.error)))


class Engine:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.seen = Seen()
        self.clock = ManualClock()
        links = plugins_of(case, self.seen.calls)
        self.chain = Chain([Link(t, p, negate, link_name(at)) for at, (t, p, negate) in enumerate(links)])
        header = HeaderSpell(self.seen.calls)
        self.converters = Converters(Spell(key_bytes), Spell(value_bytes), header, ("key", "value", "header"))
        wait: Callable[[float], bool] = (lambda _: True) if case.stopping else self.clock.wait
        self.handling = Handling(case.tolerance, self.clock, wait, lambda below: below // 2)
        self.reporting = Reporting([Listener(self.seen)])

    def _finish(self) -> Seen:
        values = self.reporting.counters.values()
        self.seen.counts = {kind: values[name] for kind, name in NAMES.items() if values[name]}
        self.seen.waited_ms = round(self.clock.monotonic() * 1000)
        return self.seen

    def source(self) -> Seen:
        seen, start = self.seen, 0
        pipeline = SourcePipeline(self.chain, self.converters, self.handling, self.reporting)
        for part in pipeline.slices(list(poll_of(self.case))):
            assert part.rows <= SLICE
            survivors: list[int] = []
            for routed in part.outgoing:
                out = routed.batch
                assert list(routed.rows) == sorted(routed.rows)
                survivors.extend(routed.rows)
                for at, row in enumerate(routed.rows):
                    key = None if out.keys is None else out.keys[at]
                    stamp = None if out.timestamps is None else out.timestamps[at]
                    partition = None if out.partitions is None else out.partitions[at]
                    headers = [] if out.headers is None else list(out.headers[at])
                    seen.sent[out.topic].append((start + row, key, out.values[at], partition, stamp, headers))
            for place, rows in part.ledger.split(sorted(survivors)):
                assert place is not None
                assert all(part.ledger.place(row)[0] == place for row in rows)
                seen.offsets[str(place["p"])] = part.ledger.place(rows[-1])[1]
            for row in range(part.rows):
                polled, given = part.record(row), self.case.rows[start + row]
                assert (polled.value, polled.key, polled.topic) == (given.value, given.key, given.topic)
            if part.failure is not None:
                seen.failed = (start + (part.failed_row or 0), text(part.failure.__cause__ or part.failure))
            start += part.rows
            if part.boundary is not None:
                seen.boundaries.append((start, part.boundary))
        return self._finish()

    def sink(self) -> Seen:
        seen, case = self.seen, self.case
        pipeline = SinkPipeline(self.chain, self.converters, self.handling, self.reporting)
        for start in range(0, len(case.rows), SLICE):
            rows = case.rows[start : start + SLICE]
            poll = pipeline.batch(incoming_of(rows))
            assert poll.read == len(rows)
            assert poll.topics == list(dict.fromkeys(row.topic for row in rows))
            assert poll.positions == {(row.topic, row.place): row.id + 1 for row in rows}
            assert list(range(len(poll.batch))) == sorted(i for group in poll.batch.groups for i in group.rows)
            for at, record in enumerate(poll.batch):
                assert record.row == at
                origin = case.rows[record.origin.offset]
                assert (record.origin.topic, record.origin.partition) == (origin.topic, origin.place)
                assert poll.batch.origins[at] == record.origin
                seen.sent["put"].append((record.origin.offset, shown(record)))
            if poll.failure is not None:
                seen.failed = (start + (poll.failed_row or 0), text(poll.failure.__cause__ or poll.failure))
                break
        return self._finish()


def poll_of(case: Case) -> Iterator[SourceRecord | SourceBatch]:
    """The rows in order, neighbours that are alike as a batch if they want to."""
    rows: list[SimpleNamespace] = []
    for row, after in itertools.zip_longest(case.rows, case.rows[1:]):
        rows.append(row)
        if after is None or not row.columns or row.boundary or likeness(row) != likeness(after):
            yield from items_of(rows)
            rows = []


def likeness(row: SimpleNamespace) -> tuple[Any, ...]:
    return row.columns, row.topic, row.schema, row.place, row.key_schema


def items_of(rows: list[SimpleNamespace]) -> Iterator[SourceRecord | SourceBatch]:
    first = rows[0]
    place, schema = PLACES[first.place] if first.place else {"p": 0}, SCHEMAS[first.schema]
    if not first.columns:
        yield SourceRecord(
            first.topic, first.value, place, {"at": first.id}, schema, first.key, first.key_schema,
            first.kafka_partition, first.stamp, first.headers,
        )  # fmt: skip
        return
    batch = SourceBatch(
        topic=first.topic,
        values=[row.value for row in rows],
        source_partition=place,
        offset_at=lambda at: {"at": rows[at].id},
        value_schema=schema,
        key_schema=first.key_schema,
    )
    batch.keys = unless_empty([row.key for row in rows])
    batch.timestamps = [row.stamp for row in rows]
    batch.partitions = unless_empty([row.kafka_partition for row in rows])
    batch.headers = [row.headers for row in rows] if any(row.headers for row in rows) else None
    if rows[-1].boundary in ("commit", "abort"):
        batch.boundary = rows[-1].boundary
    yield batch
    if rows[-1].boundary == "empty":
        empty = SourceBatch("nowhere", None, [], source_partition=None, offset_at=lambda _: None)
        empty.boundary = "commit"
        yield empty


def unless_empty(column: list[Any]) -> list[Any] | None:
    return column if any(value is not None for value in column) else None


def incoming_of(rows: list[SimpleNamespace]) -> list[Incoming]:
    out = []
    for (topic, place), group in itertools.groupby(rows, lambda row: (row.topic, row.place)):
        some = list(group)
        headers = [raw_headers(row) for row in some]
        out.append(
            Incoming(
                topic, place, [row.id for row in some], [raw_value(row) for row in some],
                [-1 if row.stamp is None else row.stamp for row in some],
                unless_empty([raw_key(row) for row in some]), headers if any(headers) else None,
            )
        )  # fmt: skip
    return out

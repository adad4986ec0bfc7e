"""What JSON costs a value, in batches of 500: strings and structs of eight fields, in their envelopes and without.

    python benchmarks/convert.py

Nanoseconds of CPU, the best of fifteen runs, beside what orjson alone takes for the payloads. Results in
benchmarks/results/convert.json.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from machine import keep, machine, said
from pipeline import settle_memory

from millstream_api import Field, Schema, Subject, Type
from millstream_json.converter import JsonConverter, JsonConverterConfig

ROWS, TURNS, RUNS = 500, 40, 15
STRING = Schema(Type.STRING)
FIELDS = {
    **{"id": Type.INT64, "name": Type.STRING, "price": Type.FLOAT64, "at": Type.INT64},
    **{"ratio": Type.FLOAT64, "count": Type.INT32, "flag": Type.BOOLEAN, "text": Type.STRING},
}
STRUCT = Schema(Type.STRUCT, fields=[Field(name, n, Schema(kind)) for n, (name, kind) in enumerate(FIELDS.items())])
LINES = [f"{number:08d} {'abcdefghij' * 9}" for number in range(ROWS)]
ROW = {"price": 0.37, "at": 1_704_067_200_123, "ratio": 0.5, "flag": True}
STRUCTS = [
    {"id": n, "name": f"name-{n}", **ROW, "count": n % 1000, "text": f"some text for row number {n}"}
    for n in range(ROWS)
]
STRUCTS = [{name: row[name] for name in FIELDS} for row in STRUCTS]


def converter(envelope: bool) -> JsonConverter:
    enabled = "true" if envelope else "false"
    return JsonConverter(JsonConverterConfig.parse({"converter.type": "value", "schemas.enable": enabled}))


def cases() -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """(name, the converter's way, orjson's alone)."""
    for name, schema, values in (("string", STRING, LINES), ("struct of 8 fields", STRUCT, STRUCTS)):
        for envelope in (True, False):
            both = converter(envelope)
            encode = both.encoder(Subject("t", schema, "value"))
            decode = both.decoder(Subject("t", None, "value"))
            messages: Any = encode(values, None)
            payloads = [orjson.dumps(value) for value in values]
            found: Any = decode(messages, None)
            assert list(found[0].values) == list(values)
            form = f"{name}, {'envelope' if envelope else 'no schema'}"
            yield f"write {form}", bound(encode, values), bound(each_dumped, values)
            yield f"read {form}", bound(decode, messages), bound(each_loaded, payloads)


def bound(convert: Callable[..., object], *given: Any) -> Callable[[], object]:
    if len(given) == 1 and convert not in (each_dumped, each_loaded):
        given = (*given, None)
    return lambda: convert(*given)


def each_dumped(values: Sequence[Any]) -> object:
    dumps = orjson.dumps
    return [dumps(value) for value in values]


def each_loaded(texts: Sequence[bytes]) -> object:
    loads = orjson.loads
    return [loads(text) for text in texts]


def nanoseconds(run: Callable[[], object]) -> float:
    run()
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        for _ in range(TURNS):
            run()
        best = min(best, time.process_time() - start)
    return best / TURNS / ROWS * 1e9


def main() -> None:
    settle_memory()
    around = machine()
    print(said(around))
    print(f"{'ns a value':<44}{'converter':>10}{'orjson alone':>14}{'load':>7}")
    rows = []
    for name, ours, alone in cases():
        found, floor, load = nanoseconds(ours), nanoseconds(alone), os.getloadavg()[0]
        print(f"{name:<44}{found:>10.0f}{floor:>14.0f}{load:>7.2f}", flush=True)
        rows.append({"what": name, "ns": round(found, 1), "orjson_ns": round(floor, 1), "load": round(load, 2)})
    keep("convert", around, rows=rows)


if __name__ == "__main__":
    main()

"""The suites of converters, transformations and predicates, on right plugins and on plugins with one thing wrong."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import Wrong, fails_there, named, passes, run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy

PLUGIN = '''
import json, threading
from base64 import b64decode, b64encode
from millstream_api import *
from millstream_api.logical import from_logical

KEPT = []
NAMES = {}

def scratch(value):
    """What is kept aside for a moment, as if this were one thread's."""
    KEPT[:] = [value]
    return KEPT[0]

class Tagged(Converter[Config]):
    """JSON behind the number of its schema."""
    def encoder(self, subject):
        tag = b"%d " % NAMES.setdefault(subject.schema, len(NAMES))
        def encode(values, headers):
            return [None if value is None and subject.schema is None else tag + write(subject.schema, value)
                    for value in values]
        return encode
    def decoder(self, subject):
        def decode(data, headers):
            groups = {}
            for at, one in enumerate(data):
                schema, value = (None, None) if one is None else read(one)
                rows, column = groups.setdefault(schema, ([], []))
                rows.append(at), column.append(value)
            return [Decoded(schema, rows, column) for schema, (rows, column) in groups.items()]
        return decode

def write(schema, value):
    return json.dumps(value).encode()

def read(data):
    tag, _, text = data.partition(b" ")
    try:
        schema = {number: schema for schema, number in NAMES.items()}[int(tag)]
        return schema, json.loads(text)
    except (ValueError, KeyError) as error:
        raise DataError("these bytes are not of this converter") from error

class Upper(Transformation[Config]):
    """The name in capitals."""
    def apply(self, record):
        if record.value is None:
            return record
        value = {**record.value, "name": record.value["name"].upper()}
        return record.replace(value=value)
    def apply_batch(self, batch):
        values = [None if value is None else {**value, "name": value["name"].upper()} for value in batch.values]
        return [batch.replace(values=values)]

class Even(Transformation[Config]):
    """Drops records of odd id."""
    def apply(self, record):
        return record if record.value is not None and record.value["id"] % 2 == 0 else None

class Odd(Predicate[Config]):
    """Whether the id is odd; a tombstone's is not."""
    def test(self, record):
        return record.value is not None and record.value["id"] % 2 == 1
    def test_batch(self, batch):
        return [value is not None and value["id"] % 2 == 1 for value in batch.values]
'''
CONVERTER = """
from millstream_conformance import ConverterConformance

class TestTagged(ConverterConformance):
    converter = "data:Tagged"
    carries = frozenset({"int8", "int64", "float64", "boolean", "string", "array", "map", "struct"})
"""
TRANSFORMATION = """
from millstream_conformance import TransformationConformance

class TestUpper(TransformationConformance):
    transformation = "data:Upper"
"""
DROPPING = """
from millstream_conformance import TransformationConformance

class TestEven(TransformationConformance):
    transformation = "data:Even"
    drops = True
"""
PREDICATE = """
from millstream_conformance import PredicateConformance

class TestOdd(PredicateConformance):
    predicate = "data:Odd"
"""
SUITES = {"converter": CONVERTER, "transformation": TRANSFORMATION, "dropping": DROPPING, "predicate": PREDICATE}

BACK = "test_values_of_every_type_come_back"
COLUMN = "test_a_column_is_the_same_as_its_rows_one_by_one"
READ = "test_reading_a_column_is_the_same_as_reading_its_rows_and_changes_nothing"
FOREIGN = "test_foreign_bytes_are_a_data_error"
THREADS = "test_a_function_is_pure_across_threads"
NOTHING = "test_nothing_is_nothing_both_ways"
PRINTED = "test_nothing_is_printed"
CHANGED = "test_a_record_or_nothing_comes_back_and_the_input_stays_as_it_was"
TOMBSTONE = "test_a_tombstone_passes_or_is_refused_as_data"
TOMBSTONES = "test_the_batch_form_takes_a_tombstone_as_the_record_form_does"
SAME = "test_the_batch_form_does_what_the_record_form_does"
PURE = "test_the_batch_form_is_pure"
LEFT = "test_the_batch_form_leaves_the_batch_as_it_was"
ANSWER = "test_it_answers_yes_or_no_and_the_input_stays_as_it_was"
SAYS = "test_the_batch_form_says_what_the_record_form_says"
DOCUMENTED = "test_every_setting_is_documented"

UPPERED = 'value = {**record.value, "name": record.value["name"].upper()}\n'
BATCH = "return [batch.replace(values=values)]"
ODDS = 'return [value is not None and value["id"] % 2 == 1 for value in batch.values]'
ROW_IS_ODD = 'return record.value is not None and record.value["id"] % 2 == 1'
COUNTED = "self.calls = getattr(self, 'calls', 0) + 1; "
WRONG: list[Wrong] = [
    # a converter that changes what it is given, in writing and in reading
    (CONVERTER, "    return json.dumps", "    if isinstance(value, list): value.clear()\n    return json.dumps",
     BACK),
    (CONVERTER, "            return [Decoded",
     "            data[:] = [b'0 0'] * len(data)\n            return [Decoded", READ),
    # that loses optional, the schema, digits, a row
    (CONVERTER, "[int(tag)]\n", "[int(tag)]; schema = schema and schema.replace(optional=False)\n", BACK),
    (CONVERTER, "        return schema, json", "        return None, json", BACK),
    (CONVERTER, "json.loads(text)", "json.loads(text, parse_float=lambda text: float(text[:5]))", BACK),
    (CONVERTER, "            return [Decoded",
     "            [rows.pop() for rows, _ in groups.values() if rows[2:]]\n            return [Decoded", BACK),
    # that takes bytes of others for its own, or is surprised by them
    (CONVERTER, "raise DataError(", "return None, None\n        raise DataError(", FOREIGN),
    (CONVERTER, "except (ValueError, KeyError)", "except KeyError", FOREIGN),
    # whose column is not its rows, in writing and in reading
    (CONVERTER, "for value in values]\n", "for value in (sorted(values, key=repr) if len(values) > 1 else values)]\n",
     COLUMN),
    (CONVERTER, "column.append(value)", "column.append(value if len(data) == 1 or at else None)", READ),
    # that keeps something aside, in writing and in reading
    (CONVERTER, "tag + write(subject.schema, value)", "tag + write(subject.schema, scratch(value))", THREADS),
    (CONVERTER, "else read(one)", "else read(scratch(one))", THREADS),
    (CONVERTER, "tag = b", "print('encoding'); tag = b", PRINTED),
    (CONVERTER, "None if value is None and subject.schema is None else ", "", NOTHING),
    (CONVERTER, "(None, None) if one is None else", "", NOTHING),
    (CONVERTER, "json.loads(text)\n", "json.loads(text) if schema else str(json.loads(text))\n",
     "test_values_without_a_schema_come_back"),
    # a transformation that changes the record, its offset, its value by way of a copy, or gives something else
    (TRANSFORMATION, UPPERED, 'value = record.value; value["name"] = value["name"].upper()\n', CHANGED),
    (TRANSFORMATION, "return record.replace(value=value)",
     'return SourceRecord(record.topic, value, {}, {"o": 0}, record.value_schema, record.key)', CHANGED),
    (TRANSFORMATION, "return record.replace(value=value)", "return value", CHANGED),
    (TRANSFORMATION, "return record.replace(value=value)", "return None", "test_every_record_passes"),
    # that drops tombstones, or stumbles over them
    (TRANSFORMATION, "            return record\n", "            return None\n", TOMBSTONE),
    (TRANSFORMATION, "        if record.value is None:\n            return record\n", "", TOMBSTONE),
    (TRANSFORMATION, BATCH,
     "return [batch.replace(values=values).take([at for at, value in enumerate(values) if value])]", TOMBSTONES),
    # whose batch form does something else, drops a row, numbers rows anew, forgets the headers' schema
    (TRANSFORMATION, BATCH, BATCH.replace("values=values", "values=batch.values"), SAME),
    (TRANSFORMATION, BATCH, BATCH.replace(")]", ").take([0, 2])]"), SAME),
    (TRANSFORMATION, BATCH, "return [RecordBatch(batch.topic, batch.value_schema, values, batch.key_schema, "
     "batch.keys, batch.partitions, batch.timestamps, batch.headers, rows=range(len(batch), 0, -1))]", SAME),
    (TRANSFORMATION, BATCH, BATCH.replace("values=values", "values=values, keys=None"), SAME),
    # whose batch form changes the batch, keeps state, keeps something aside
    (TRANSFORMATION, BATCH, "batch.values[:] = values; return [batch]", LEFT),
    (TRANSFORMATION, BATCH, f"{COUNTED}return [batch.replace(values=values)][: self.calls < 2]", PURE),
    (TRANSFORMATION, "for value in batch.values]", "for value in scratch(batch).values]", PURE),
    (TRANSFORMATION, BATCH, f"print(len(batch)); {BATCH}", PRINTED),
    (TRANSFORMATION, UPPERED, f"print(record.topic); {UPPERED}", PRINTED),
    (DROPPING, "record.value is not None and record.value", "record.value", TOMBSTONE),
    # a predicate that answers something else, changes the record, stumbles over tombstones
    (PREDICATE, ROW_IS_ODD, ROW_IS_ODD.replace(" == 1", "").replace("record.value is not None and", "record.value and"),
     ANSWER),
    (PREDICATE, ROW_IS_ODD, f"record.value and record.value.pop('name', None); {ROW_IS_ODD}", ANSWER),
    (PREDICATE, ROW_IS_ODD, ROW_IS_ODD.replace("record.value is not None and ", ""), ANSWER),
    # whose batch form says something else, changes the batch, keeps state, keeps something aside
    (PREDICATE, ODDS, ODDS.replace("== 1", "== 0"), SAYS),
    (PREDICATE, ODDS, "return True", SAYS),
    (PREDICATE, ODDS, ODDS.replace("]", "][1:]").replace('["id"][1:]', '["id"]'), SAYS),
    (PREDICATE, ODDS, f"[value.pop('name') for value in batch.values if value]; {ODDS}", SAYS),
    (PREDICATE, ODDS, f"{COUNTED}{ODDS} if self.calls < 2 else [False] * len(batch)", PURE),
    (PREDICATE, ODDS, ODDS.replace("batch.values", "scratch(batch).values"), PURE),
    (PREDICATE, ODDS, ODDS.replace("value is not None and value", "value is None or value"), TOMBSTONES),
    (PREDICATE, ODDS, f"print('asked'); {ODDS}", PRINTED),
    (PREDICATE, "class Odd(Predicate[Config]):", "class OddConfig(Config):\n    field: str = key('id')\n\n"
     "class Odd(Predicate[OddConfig]):\n    config_class = OddConfig", DOCUMENTED),
]  # fmt: skip


@pytest.mark.parametrize("kind", SUITES)
def test_a_plugin_that_does_it_right_passes(pytester: pytest.Pytester, kind: str) -> None:
    passes(pytester, PLUGIN, SUITES[kind], "data")


@named(WRONG)
def test_a_plugin_that_is_wrong_fails_where_it_is_wrong(pytester: pytest.Pytester, row: Wrong) -> None:
    fails_there(pytester, PLUGIN, row, "data")


HANGS = [
    (CONVERTER, "        def encode(values, headers):\n", "the function of the converter's encoder"),
    (CONVERTER, "    def encoder(self, subject):\n", "the converter's encoder"),
    (CONVERTER, "        def decode(data, headers):\n", "the function of the converter's decoder"),
    (TRANSFORMATION, "    def apply(self, record):\n", "the transformation's apply"),
    (PREDICATE, "    def test(self, record):\n", "the predicate's test"),
]


@pytest.mark.parametrize(("suite", "begin", "told"), HANGS, ids=[told for *_, told in HANGS])
def test_a_call_that_does_not_return_fails_its_test_and_is_not_made_again(
    pytester: pytest.Pytester, suite: str, begin: str, told: str
) -> None:
    assert begin in PLUGIN
    indent = " " * (len(begin) - len(begin.lstrip()) + 4)
    hanging = PLUGIN.replace(begin, f"{begin}{indent}__import__('time').sleep(3600)\n", 1)
    result = run(pytester, hanging, suite + "\n    patience_s = 3\n", "data")
    result.stdout.fnmatch_lines_random([f"*{told} did not return within 3 s", f"*{told} is not called again: *"])


def test_a_converter_that_locks_what_it_keeps_aside_passes(pytester: pytest.Pytester) -> None:
    aside = "    KEPT[:] = [value]\n    return KEPT[0]"
    locked = "    with LOCK:\n        KEPT[:] = [value]\n        return KEPT[0]"
    plugin = PLUGIN.replace("tag + write(subject.schema, value)", "tag + write(subject.schema, scratch(value))")
    assert aside in plugin
    passes(
        pytester,
        plugin.replace(aside, locked).replace("KEPT = []", "KEPT, LOCK = [], threading.Lock()"),
        CONVERTER,
        "data",
    )

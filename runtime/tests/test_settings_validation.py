"""The answer of validate against 73 recorded ones of Java 4.3.1 (`validate.json`: those of `rest.jsonl`, pooled)."""

import json
from pathlib import Path

import pytest

from millstream.inventory.inventory import Inventory, Plugin
from millstream.settings.client import client_definitions, validated_clients
from millstream.settings.framework import Surroundings
from millstream.settings.guarantees import boundary_problems, exactly_once_problems
from millstream.settings.plugins import Kind
from millstream.settings.validation import (
    Answer,
    Part,
    Parts,
    converter_part,
    framework_part,
    java_hash_order,
    merge,
    override_part,
    with_problems,
)
from millstream_api.config import (
    ConfigType,
    Definition,
    Importance,
    Validated,
    Width,
    at_least,
    one_of,
    valid_regex,
    validate_all,
)
from millstream_api.connector import Support

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "validate.json").read_text())
# the definitions of plugins that need not be installed here, as `tests/golden` has them recorded
CONFIGDEFS = json.loads((Path(__file__).parents[2] / "tests/golden/configdefs-runtime.json").read_text())
CONNECT = "org.apache.kafka.connect"

GOLDEN_SOURCE = (
    Definition(name="topic", type=ConfigType.STRING, importance=Importance.HIGH),
    Definition(name="count", type=ConfigType.INT, default=3, valid=at_least(0)),
    Definition(
        name="mode",
        type=ConfigType.STRING,
        default="typed",
        importance=Importance.LOW,
        valid=one_of("typed", "map", "string", "null"),
    ),
    Definition(name="fail", type=ConfigType.STRING, default="none", importance=Importance.LOW),
    Definition(name="boundary", type=ConfigType.BOOLEAN, default=False, importance=Importance.LOW),
)


def plugin(kind, java, version="4.3.1"):
    return Plugin(kind, f"code:{java.rpartition('.')[2].replace('$', '_')}", (java,), "dist", version, version)


def inventory():
    """The plugins of the worker that was recorded."""
    by_length = sorted(RECORDED["values"], key=lambda value: len(value["recommended_values"]))
    offered = {value["name"]: value["recommended_values"] for value in by_length}
    transforms, predicates = offered["transforms.a.type"], offered["predicates.p.type"]
    rows = [plugin(Kind.CONVERTER, name) for name in offered["key.converter"]]
    rows += [plugin(Kind.HEADER_CONVERTER, name) for name in offered["header.converter"]]
    rows += [plugin(Kind.TRANSFORMATION, name) for name in transforms]
    rows += [plugin(Kind.PREDICATE, name) for name in predicates]
    rows.append(plugin(Kind.SOURCE, f"{CONNECT}.file.FileStreamSourceConnector"))
    rows.append(plugin(Kind.SINK, f"{CONNECT}.file.FileStreamSinkConnector"))
    rows.append(plugin(Kind.SOURCE, "golden.GoldenSource", "1.0-golden"))
    return Inventory(tuple(rows))


def recorded_definition(told):
    """A definition as it was recorded, with those validators that the exchanges reach."""
    return Definition(
        name=told["name"],
        documentation="As recorded.",
        type=ConfigType(told["type"]),
        importance=Importance(told["importance"]),
        group=told["group"],
        order=told["order_in_group"],
        width=Width(told["width"]),
        display_name=told["display_name"],
        valid=valid_regex() if (told["validator"] or "").endswith("valid regex") else None,
        **({} if told.get("required") else {"default": told["default"]}),
    )


def own_definitions(row):
    if row.name == "golden.GoldenSource":
        return GOLDEN_SOURCE
    return [recorded_definition(told) for told in CONFIGDEFS.get(f"{row.name}Config") or CONFIGDEFS[row.name]]


PLUGINS = inventory()
JSON = f"{CONNECT}.json.JsonConverter"
WORKER = {
    "key.converter": JSON,
    "value.converter": JSON,
    "header.converter": f"{CONNECT}.storage.SimpleHeaderConverter",
}
AT = Surroundings(PLUGINS, WORKER, own_definitions)


def text(value):
    return value if value is None or isinstance(value, str) else json.dumps(value)


def answer(request):
    """What a worker makes of its parts, with every plugin's code replaced by its recorded definitions."""
    settings = {name: text(value) for name, value in request.items()}
    row = PLUGINS.find_connector(settings["connector.class"])
    framework = framework_part(row.kind.value, settings, AT)
    if "connector.plugin.version" in settings:
        return merge(Parts(settings["connector.class"], framework))
    if row.kind is Kind.SOURCE:
        framework = with_problems(framework, exactly_once_problems(settings, False, Support.SUPPORTED))
        framework = with_problems(framework, boundary_problems(settings, Support.UNSUPPORTED))
    own = own_definitions(row)
    overrides = {
        f"{client}.override.": override_part(f"{client}.override.", settings, client_definitions(client), ())
        for client in validated_clients(row.kind.value, settings, False)
    }
    wrong = {value.name for value in framework.values if value.errors}
    converters = {}
    for role in ("header", "key", "value"):
        name = f"{role}.converter"
        if name in settings and name not in wrong:
            kind = Kind.HEADER_CONVERTER if role == "header" else Kind.CONVERTER
            definitions = own_definitions(PLUGINS.find(kind, settings[name]))
            converters[f"{name}."] = converter_part(role, settings, definitions)
    connector = Part(own, validate_all(own, settings))
    return merge(Parts(settings["connector.class"], framework, connector, overrides, converters))


DIFFERENT = {
    "validate converter not a converter": "java.lang.String is no class here, so that it could not be found",
    "validate transform not a transform": "java.lang.String is no class here, so that it could not be found",
    "validate predicate not a predicate": "java.lang.String is no class here, so that it could not be found",
    "validate transform alias": "InsertField$Value resolves here, on purpose",
}
FIRST_WORDS = ("Invalid regex: ", "available versions: ")
"""Where sentences may go on in another way: what re says of a pattern, and what mends a version."""


def recorded(exchange):
    definitions, values = RECORDED["definitions"], RECORDED["values"]
    configs = [
        {"definition": None if d is None else definitions[d], "value": None if v is None else values[v]}
        for d, v in exchange["configs"]
    ]
    return {k: exchange[k] for k in ("name", "error_count", "groups")} | {"configs": configs}


def comparable(body):
    for config in body["configs"]:
        if config["definition"] is not None:
            config["definition"] = config["definition"] | {"documentation": "$DOCUMENTATION"}
        for words in FIRST_WORDS:
            errors = [
                error.partition(words)[0] + words if words in error else error for error in config["value"]["errors"]
            ]
            config["value"] = config["value"] | {"errors": errors}
    return body


STEPS = {exchange["step"]: exchange for exchange in RECORDED["exchanges"]}


@pytest.mark.parametrize("step", [step for step in STEPS if step not in DIFFERENT])
def test_the_answer_is_that_of_java_field_by_field(step):
    ours = json.loads(json.dumps(answer(STEPS[step]["request"]).to_json()))
    assert comparable(ours) == comparable(recorded(STEPS[step]))


@pytest.mark.parametrize("step", ["validate source ok", "validate converter bad option", "validate predicate ok"])
def test_a_change_of_any_one_field_of_a_recorded_answer_is_found(step):
    ours = comparable(json.loads(json.dumps(answer(STEPS[step]["request"]).to_json())))
    theirs = comparable(recorded(STEPS[step]))
    for number, config in enumerate(theirs["configs"]):
        for half in ("definition", "value"):
            for name in (config[half] or {}).keys() - {"documentation"}:
                changed = json.loads(json.dumps(theirs))
                changed["configs"][number][half][name] = "changed"
                assert ours != changed


@pytest.mark.parametrize(
    ("step", "setting", "errors"),
    [
        (
            "validate converter not a converter",
            "value.converter",
            [
                "Invalid value java.lang.String for configuration value.converter: Class java.lang.String could not be"
                " found."
            ],
        ),
        ("validate transform alias", "transforms.a.type", []),
    ],
)
def test_where_ours_differs_it_says_so(step, setting, errors):
    said = {config["value"]["name"]: config["value"] for config in answer(STEPS[step]["request"]).configs}
    assert said[setting]["errors"] == errors


def framework(kind="source", at=AT, **settings):
    part = framework_part(kind, {name.replace("__", "."): value for name, value in settings.items()}, at)
    return {value.name: value for value in part.values}


def test_a_class_of_another_kind_is_refused_by_its_interface():
    said = framework(name="n", connector__class="FileStreamSource", key__converter="RegexRouter")
    assert said["key.converter"].errors == (
        "Class class org.apache.kafka.connect.transforms.RegexRouter does not implement the Converter interface",
    )
    said = framework(name="n", connector__class="x", transforms="a", transforms__a__type="FileStreamSink")
    assert said["transforms.a.type"].errors == (
        "Class class org.apache.kafka.connect.file.FileStreamSinkConnector does not implement the Transformation"
        " interface",
    )


def test_a_class_that_is_not_there_has_what_is_known_of_it_behind_the_words_of_java():
    at = Surroundings(Inventory(), {}, lambda row: [])
    mask = f"{CONNECT}.transforms.MaskField$Value"
    said = framework(at=at, name="n", connector__class="x", transforms="a", transforms__a__type=mask)
    assert said["transforms.a.type"].errors == (
        f"Invalid value {mask} for configuration transforms.a.type: Class {mask} could not be found;"
        " millstream-transforms is to have it, and is not built yet",
    )
    said = framework(name="n", connector__class="x", value__converter="JsonConvertor")
    assert said["value.converter"].errors == (
        "Invalid value JsonConvertor for configuration value.converter: Class JsonConvertor could not be found;"
        " did you mean JsonConverter?",
    )


def test_a_transformation_whose_definitions_cannot_be_had_has_the_reason_on_its_type():
    def broken(row):
        raise ImportError("no module named driver")

    at = Surroundings(PLUGINS, WORKER, broken)
    said = framework(at=at, name="n", connector__class="x", transforms="a", transforms__a__type="RegexRouter")
    assert said["transforms.a.type"].errors == (
        "Error getting config definition from Transformation: no module named driver",
    )
    assert "transforms.a.regex" not in said


def test_a_version_of_a_transformation_that_is_not_installed_is_refused_on_type_and_version():
    said = framework(
        name="n",
        connector__class="x",
        transforms="a",
        transforms__a__type="RegexRouter",
        **{"transforms.a.plugin.version": "9.9"},
    )
    for name in ("transforms.a.type", "transforms.a.plugin.version"):
        assert "not found that matches the version range [9.9,9.9], available versions: [4.3.1]" in said[name].errors[0]


def test_a_condition_masks_the_keys_of_a_transformation_by_the_same_names():
    own = [
        Definition(name="predicate", type=ConfigType.INT, default=1),
        Definition(name="size", type=ConfigType.INT, default=1),
    ]
    at = Surroundings(PLUGINS, WORKER, lambda row: own)
    part = framework_part("source", {"name": "n", "transforms": "a,a", "transforms.a.type": "RegexRouter"}, at)
    found = {one.name: one for one in part.definitions if one.name.startswith("transforms.a.")}
    assert list(found)[:2] == ["transforms.a.type", "transforms.a.plugin.version"]
    assert sorted(found)[1:] == [
        "transforms.a.plugin.version",
        "transforms.a.predicate",
        "transforms.a.size",
        "transforms.a.type",
    ]
    assert found["transforms.a.predicate"].type is ConfigType.STRING


def test_a_worker_converter_that_is_not_installed_is_no_default():
    said = framework(at=Surroundings(PLUGINS, {"key.converter": "gone.Converter"}, own_definitions), name="n")
    assert said["key.converter"].value is None
    assert said["key.converter.plugin.version"].visible is False


def test_a_null_of_an_unknown_setting_stands_first_without_a_definition():
    body = answer({"connector.class": "FileStreamSource", "name": "n", "topic": "t", "strange": None}).to_json()
    assert body["configs"][0] == {
        "definition": None,
        "value": {
            "name": "strange",
            "value": None,
            "recommended_values": [],
            "errors": ["Null value can not be supplied as the configuration value."],
            "visible": True,
        },
    }
    assert body["error_count"] == 1


def test_the_main_part_counts_messages_and_the_others_settings_that_have_any():
    number = Definition(name="n", type=ConfigType.INT, default=1)
    two = Part([number], [Validated("n", None, (), ("one", "two"))])
    assert merge(Parts("c", two)).error_count == 2
    assert merge(Parts("c", Part(), two)).error_count == 2
    assert merge(Parts("c", Part(), overrides={"producer.override.": two})).error_count == 1
    assert merge(Parts("c", Part(), converters={"key.converter.": two})).error_count == 1


def test_what_the_connector_says_replaces_what_the_runtime_said():
    number = Definition(name="n", type=ConfigType.INT, default=1, group="A")
    other = Definition(name="n", type=ConfigType.LONG, default=1, group="B")
    merged = merge(
        Parts("c", Part([number], [Validated("n", "1", (), ("wrong",))]), Part([other], [Validated("n", "2")]))
    )
    assert isinstance(merged, Answer)
    assert (merged.error_count, merged.groups) == (0, ["A", "B"])
    (config,) = merged.configs
    assert (config["definition"]["type"], config["value"]["value"]) == ("LONG", "2")


def test_parts_stand_in_order_whatever_order_they_are_given_in():
    def part(name):
        return Part([Definition(name=name, type=ConfigType.INT, default=1)], [Validated(name, "1")])

    merged = merge(
        Parts(
            "c",
            Part(),
            overrides={f"{name}.override.": part("o") for name in ("admin", "consumer", "producer")},
            converters={f"{name}.converter.": part("c") for name in ("value", "key", "header")},
        )
    )
    assert [config["value"]["name"] for config in merged.configs] == [
        *("producer.override.o", "consumer.override.o", "admin.override.o"),
        *("header.converter.c", "key.converter.c", "value.converter.c"),
    ]


def test_secrets_among_overrides_are_hidden_and_refusals_stand_at_their_setting():
    settings = {"producer.override.sasl.jaas.config": "password=hunter2", "producer.override.acks": "1"}
    refusal = ("acks", "The 'None' policy does not allow 'acks' to be overridden in the connector configuration.")
    part = override_part("producer.override.", settings, client_definitions("producer"), [refusal])
    body = merge(Parts("c", Part(), overrides={"producer.override.": part})).to_json()
    said = {config["value"]["name"]: config["value"] for config in body["configs"]}
    assert said["producer.override.sasl.jaas.config"]["value"] == "[hidden]"
    assert said["producer.override.acks"]["errors"] == [refusal[1]]
    assert "hunter2" not in json.dumps(body)
    assert body["error_count"] == 1


def test_values_of_a_part_stand_in_the_order_of_a_java_hash_map():
    assert [value.name for value in java_hash_order([Validated(name) for name in ("BB", "Aa")])] == ["BB", "Aa"]
    assert [value.name for value in java_hash_order([Validated(name) for name in "cab"])] == ["a", "b", "c"]


def test_the_worker_asks_for_what_it_can_do_and_the_connector_for_the_rest():
    required = {"exactly.once.support": "Required"}
    said = {
        answer: [problem.sentence for problem in exactly_once_problems(required, True, answer)]
        for answer in (None, Support.SUPPORTED, Support.UNSUPPORTED)
    }
    assert said[None][0].startswith(
        "The connector does not implement the API required for preflight validation of exactly-once source support."
    )
    assert said[Support.SUPPORTED] == []
    assert said[Support.UNSUPPORTED] == [
        "The connector does not support exactly-once semantics with the provided configuration."
    ]
    (raised,) = exactly_once_problems(required, True, ValueError("no route"))
    assert raised.sentence == "An unexpected error occurred during validation: no route"
    (silent,) = exactly_once_problems(required, True, ValueError())
    assert (
        silent.sentence
        == "An unexpected error occurred during validation; please see the worker logs for more details."
    )
    assert list(exactly_once_problems({}, False, None)) == []


def test_a_connector_that_cannot_end_transactions_is_not_asked_to():
    wanted = {"transaction.boundary": "CONNECTOR"}
    assert list(boundary_problems(wanted, Support.SUPPORTED)) == []
    assert list(boundary_problems({}, None)) == []
    assert len(list(boundary_problems(wanted, None))) == 1
    (raised,) = boundary_problems(wanted, ValueError("x"))
    assert raised == ("transaction.boundary", "An unexpected error occurred during validation: x")

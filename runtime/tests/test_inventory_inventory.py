import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from millstream.errors import PluginError
from millstream.inventory.hints import FIRST_PARTY
from millstream.inventory.inventory import CONNECTORS, LISTED, Inventory, Plugin, prune
from millstream.inventory.versions import compare, parse_range, plainly_within, range_text, satisfied
from millstream.settings.plugins import Kind

FILE = "org.apache.kafka.connect.file"


def plugin(kind, target, *aliases, stands_for=None, dist="dist"):
    return Plugin(kind, target, aliases, dist, "0.1.0", stands_for)


SOURCE = plugin(Kind.SOURCE, "f.source:FileSource", f"{FILE}.FileStreamSourceConnector", stands_for="4.3.1")
SINK = plugin(Kind.SINK, "f.sink:FileSink", f"{FILE}.FileStreamSinkConnector", stands_for="4.3.1")
JSON = plugin(Kind.CONVERTER, "j:JsonConverter", "org.apache.kafka.connect.json.JsonConverter", stands_for="4.3.1")
JSON_HEADERS = plugin(Kind.HEADER_CONVERTER, JSON.target, *JSON.aliases, stands_for="4.3.1")
SIMPLE = plugin(Kind.HEADER_CONVERTER, "b:Simple", "org.apache.kafka.connect.storage.SimpleHeaderConverter")
ALL = plugin(Kind.CLIENT_POLICY, "b:All", "x.AllConnectorClientConfigOverridePolicy")
INSERT_KEY = plugin(Kind.TRANSFORMATION, "t:InsertKey", "x.InsertField$Key")
INSERT_VALUE = plugin(Kind.TRANSFORMATION, "t:InsertValue", "x.InsertField$Value")
CAST_VALUE = plugin(Kind.TRANSFORMATION, "t:CastValue", "x.Cast$Value")
TOMBSTONE = plugin(Kind.PREDICATE, "t:RecordIsTombstone", "x.RecordIsTombstone")
TWIN_ONE = plugin(Kind.SOURCE, "one:TwinConnector", "golden.one.TwinConnector")
TWIN_TWO = plugin(Kind.SOURCE, "two:TwinConnector", "golden.two.TwinConnector")
OURS = plugin(Kind.SOURCE, "millstream_heartbeat:HeartbeatSource")
EVERY = (
    *(SOURCE, SINK, JSON, JSON_HEADERS, SIMPLE, ALL, INSERT_KEY, INSERT_VALUE, CAST_VALUE, TOMBSTONE),
    *(TWIN_ONE, TWIN_TWO, OURS),
)
INVENTORY = Inventory(EVERY)


@pytest.mark.parametrize(
    ("simple", "kind", "pruned"),
    [
        ("FileStreamSourceConnector", Kind.SOURCE, "FileStreamSource"),
        ("JsonConverter", Kind.CONVERTER, "Json"),
        ("JsonConverter", Kind.HEADER_CONVERTER, "JsonConverter"),
        ("SimpleHeaderConverter", Kind.HEADER_CONVERTER, "Simple"),
        ("AllConnectorClientConfigOverridePolicy", Kind.CLIENT_POLICY, "All"),
        ("FileConfigProvider", Kind.CONFIG_PROVIDER, "File"),
        ("MyPredicateOfMine", Kind.PREDICATE, "My"),
        ("Connector", Kind.SINK, "Connector"),
        ("ConnectorConnector", Kind.SINK, "Connector"),
    ],
)
def test_a_simple_name_is_cut_before_the_last_word_of_its_kind(simple, kind, pruned):
    assert prune(simple, kind) == pruned


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        (Kind.SOURCE, f"{FILE}.FileStreamSourceConnector", SOURCE),
        (Kind.SOURCE, "FileStreamSourceConnector", SOURCE),
        (Kind.SOURCE, "FileStreamSource", SOURCE),
        (Kind.SOURCE, "f.source:FileSource", SOURCE),
        (Kind.SOURCE, " FileStreamSource ", SOURCE),
        (Kind.CONVERTER, "Json", JSON),
        (Kind.HEADER_CONVERTER, "Json", JSON_HEADERS),
        (Kind.HEADER_CONVERTER, "JsonConverter", JSON_HEADERS),
        (Kind.HEADER_CONVERTER, "Simple", SIMPLE),
        (Kind.CLIENT_POLICY, "All", ALL),
        (Kind.TRANSFORMATION, "InsertField$Value", INSERT_VALUE),
        (Kind.TRANSFORMATION, "InsertField$Key", INSERT_KEY),
        (Kind.TRANSFORMATION, "Key", INSERT_KEY),
        (Kind.PREDICATE, "RecordIsTombstone", TOMBSTONE),
        (Kind.SOURCE, "golden.one.TwinConnector", TWIN_ONE),
        (Kind.SOURCE, "millstream_heartbeat:HeartbeatSource", OURS),
        (Kind.SOURCE, "HeartbeatSource", OURS),
    ],
)
def test_a_name_denotes_a_plugin(kind, name, found):
    assert INVENTORY.find(kind, name) is found


def test_the_reported_name_is_the_java_class_and_the_reported_version_what_it_stands_for():
    assert (SOURCE.name, SOURCE.reported_version) == (f"{FILE}.FileStreamSourceConnector", "4.3.1")
    assert (OURS.name, OURS.reported_version) == ("millstream_heartbeat:HeartbeatSource", "0.1.0")


def test_plugins_are_listed_kind_by_kind_and_by_name():
    names = [(plugin.kind.value, plugin.name.rpartition(".")[2]) for plugin in INVENTORY.of(*LISTED)]
    assert names == [
        ("sink", "FileStreamSinkConnector"),
        ("source", "TwinConnector"),
        ("source", "TwinConnector"),
        ("source", "millstream_heartbeat:HeartbeatSource"),
        ("source", "FileStreamSourceConnector"),
        ("transformation", "Cast$Value"),
        ("transformation", "InsertField$Key"),
        ("transformation", "InsertField$Value"),
        ("predicate", "RecordIsTombstone"),
        ("converter", "JsonConverter"),
        ("header_converter", "JsonConverter"),
        ("header_converter", "SimpleHeaderConverter"),
    ]
    assert INVENTORY.names(Kind.CONVERTER) == [JSON.name]
    assert INVENTORY.of(*CONNECTORS)[0] is SINK


def test_a_class_of_two_kinds_is_found_once_for_each():
    assert INVENTORY.lookup("JsonConverter") == [JSON, JSON_HEADERS]
    assert INVENTORY.lookup("Value") == []
    assert INVENTORY.lookup("Nope") == []


def test_an_unknown_connector_lists_what_is_there_and_says_what_is_known_of_it():
    inventory = Inventory((SOURCE, OURS), {"broken 1.0": ValueError("x")})
    with pytest.raises(PluginError) as caught:
        inventory.find_connector("JdbcSource")
    assert str(caught.value) == (
        "Failed to find any class that implements Connector and which name matches JdbcSource, available connectors"
        " are: millstream_heartbeat:HeartbeatSource (source, 0.1.0),"
        " org.apache.kafka.connect.file.FileStreamSourceConnector (source, 4.3.1);"
        " millstream-jdbc is to have it, and is not built yet;"
        " could not be used: broken 1.0 (`millstream plugins list` says why)"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Kind.HEADER_CONVERTER, "HeaderConverter and which name matches X, available header converters are: none"),
        (Kind.CONVERTER, "Converter and which name matches X, available converters are: none"),
        (Kind.TRANSFORMATION, "Transformation and which name matches X, available transformations are: none"),
    ],
)
def test_an_unknown_plugin_of_another_kind_says_so(kind, message):
    with pytest.raises(PluginError) as caught:
        Inventory().find(kind, "X")
    assert str(caught.value) == f"Failed to find any class that implements {message}"


def test_an_ambiguous_short_name_names_the_classes_it_could_mean():
    with pytest.raises(PluginError) as caught:
        INVENTORY.find_connector("Twin")
    assert str(caught.value) == (
        "More than one connector matches alias Twin. Please use full package and class name instead. Classes found:"
        " golden.one.TwinConnector (source 0.1.0 of dist 0.1.0), golden.two.TwinConnector (source 0.1.0 of dist 0.1.0)"
    )


def test_a_class_of_another_kind_is_refused_as_such():
    with pytest.raises(PluginError) as caught:
        INVENTORY.find_connector("JsonConverter")
    said = str(caught.value)
    assert said.startswith(
        "Failed to find any class that implements Connector and which name matches JsonConverter, available connectors"
    )
    assert "'JsonConverter' is org.apache.kafka.connect.json.JsonConverter (converter 4.3.1 of dist 0.1.0)" in said
    with pytest.raises(PluginError) as caught:
        INVENTORY.find(Kind.CONVERTER, f"{FILE}.FileStreamSinkConnector")
    assert str(caught.value) == (
        f"Requested class: {FILE}.FileStreamSinkConnector does not extend Converter; it is "
        f"{FILE}.FileStreamSinkConnector (sink 4.3.1 of dist 0.1.0)"
    )


def test_a_full_name_that_two_distributions_claim_denotes_neither_and_each_keeps_its_own(caplog):
    first = plugin(Kind.SOURCE, "a:Jdbc", "io.confluent.connect.jdbc.JdbcSourceConnector", dist="a")
    second = plugin(Kind.SOURCE, "b:Jdbc2", "io.confluent.connect.jdbc.JdbcSourceConnector", dist="b")
    with caplog.at_level(logging.WARNING):
        inventory = Inventory((first, second))
    (warning,) = caplog.records
    assert warning.getMessage() == (
        "io.confluent.connect.jdbc.JdbcSourceConnector is claimed by a:Jdbc of a 0.1.0 and by b:Jdbc2 of b 0.1.0: it"
        " denotes neither; write module:Class, or leave one out by plugins.disabled"
    )
    assert inventory.find_connector("a:Jdbc") is first
    assert inventory.find_connector("b:Jdbc2") is second
    with pytest.raises(PluginError) as caught:
        inventory.find_connector("io.confluent.connect.jdbc.JdbcSourceConnector")
    assert str(caught.value).endswith(
        "; 'io.confluent.connect.jdbc.JdbcSourceConnector' is claimed by a:Jdbc and b:Jdbc2: use one of these names"
    )


def said_of(distribution):
    """There is one folder a package, wherever it lies."""
    root = Path(__file__).parents[2]
    short = distribution.removeprefix("millstream-")
    built = any((root / room / short / "pyproject.toml").exists() for room in ("plugins", "converters"))
    return (
        f"{distribution} has it: pip install {distribution}"
        if built
        else (f"{distribution} is to have it, and is not built yet")
    )


@pytest.mark.parametrize(("distribution", "classes"), FIRST_PARTY.items())
def test_each_first_party_class_says_which_distribution_brings_it_or_is_to(distribution, classes):
    for full in classes:
        for name in (full, full.rpartition(".")[2]):
            with pytest.raises(PluginError) as caught:
                Inventory().find_connector(name)
            assert str(caught.value).endswith(f"; {said_of(distribution)}")
    with pytest.raises(PluginError, match=f"; {said_of(distribution)}"):
        Inventory().find_connector(distribution.replace("-", "_") + ".x:Y")


@pytest.mark.parametrize(
    ("kind", "wanted", "meant"),
    [
        (Kind.SOURCE, "FileStreamSorce", "FileStreamSource"),
        (Kind.SOURCE, f"{FILE}.FileStreamSourceConector", f"{FILE}.FileStreamSourceConnector"),
        (Kind.SOURCE, "millstream_heartbeat.HeartbeatSource", "millstream_heartbeat:HeartbeatSource"),
        (Kind.CONVERTER, "JsonConvertor", "JsonConverter"),
    ],
)
def test_a_name_that_is_nearly_one_of_those_there_are_is_asked_about(kind, wanted, meant):
    with pytest.raises(PluginError) as caught:
        INVENTORY.find(kind, wanted)
    assert str(caught.value).endswith(f"; did you mean {meant}?")


def test_nobody_is_sent_for_a_distribution_that_is_installed():
    ours = plugin(Kind.SOURCE, "millstream_file.source:FileStreamSource", dist="millstream-file")
    with pytest.raises(PluginError) as caught:
        Inventory((ours,)).find_connector("millstream_file:FileStreamSource")
    assert str(caught.value).endswith("; did you mean millstream_file.source:FileStreamSource?")


def test_a_name_that_may_be_of_a_java_class_is_said_to_need_a_plugin():
    with pytest.raises(PluginError) as caught:
        INVENTORY.find_connector("io.debezium.connector.mysql.MySqlConnector")
    assert str(caught.value).endswith(
        "; if that is a Java class: it cannot run here, a Python plugin has to stand for it"
    )
    with pytest.raises(PluginError) as caught:
        INVENTORY.find_connector("no_such_module:Source")
    assert "Java" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["4.3.1", "0.1.0", "latest", "[4.0,5.0)", "[0.1,0.2)", "(,1.0]", "[9,),[4.3.1]"])
def test_a_version_is_that_of_the_java_class_or_ours(wanted):
    assert INVENTORY.version_problem(SOURCE, wanted) is None


@pytest.mark.parametrize(
    ("wanted", "range_shown", "exact"),
    [("9.9", "[9.9,9.9]", "9.9"), ("[5.0,6.0)", "[5.0,6.0)", "<version>"), ("(4.3.1,)", "(4.3.1,)", "<version>")],
)
def test_a_version_that_is_not_installed_is_refused_with_the_command_that_would_bring_it(wanted, range_shown, exact):
    assert INVENTORY.version_problem(SOURCE, wanted) == (
        f"Plugin {FILE}.FileStreamSourceConnector not found that matches the version range {range_shown}, available"
        f" versions: [4.3.1, 0.1.0]; this environment has dist 0.1.0, and can hold one version only: pip install"
        f" 'dist=={exact}', or remove the setting"
    )


def test_an_empty_version_matches_nothing_as_in_java():
    problem = INVENTORY.version_problem(OURS, "")
    assert problem == f"Plugin {OURS.name} not found that matches the version range [,], available versions: [0.1.0]"


@pytest.mark.parametrize("wanted", ["[1.0", "1.0]", "(1.0)", "[]", "1.0 2.0", "[1,2,3]"])
def test_what_is_no_version_is_refused_with_examples(wanted):
    assert INVENTORY.version_problem(OURS, wanted) == (
        f"{wanted!r} is neither a version such as '4.3.1', nor a range such as '[4.0,5.0)', nor 'latest', for plugin"
        f" {OURS.name}"
    )


def test_versions_are_ordered_by_number_and_then_by_word():
    assert compare("1.10", "1.9") > 0
    assert compare("1.0", "1.0.0") == 0
    assert compare("1.0-golden", "1.0-golden") == 0
    assert compare("1.0-golden", "1.1-golden") < 0
    assert satisfied("1.0-golden", ["1.0-golden"])
    assert not satisfied("1.0", [])
    assert parse_range("latest") is None
    assert range_text("latest") == "latest"


PLAIN = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda numbers: ".".join(map(str, numbers)))
CLAUSES = st.lists(st.tuples(st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]), PLAIN).map("".join), max_size=3)


@given(PLAIN, PLAIN)
def test_plain_versions_are_ordered_as_pep_440_orders_them(left, right):
    assert compare(left, right) == (Version(left) > Version(right)) - (Version(left) < Version(right))


@given(CLAUSES, PLAIN, st.sampled_from(["{}", " {} ", "({})"]))
def test_plain_ranges_hold_what_pep_440_says(clauses, version, form):
    text = ",".join(clauses)
    assert plainly_within(form.format(text), version) == SpecifierSet(text).contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("specifier", "version"),
    [(">=0.1", "0.2rc1"), ("~=0.1", "0.1.5"), ("==0.*", "0.1"), (">=0.1; extra == 'x'", "0.2"), ("((", "0.1")],
)
def test_what_takes_pep_440_is_not_judged_plainly(specifier, version):
    assert not plainly_within(specifier, version)

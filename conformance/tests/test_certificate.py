"""Waivers, replaced tests, and what a certificate says and refuses to say."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import PLUGIN, SOURCE, SUITE, certificate, failures, installed, run, run_apart

from millstream_conformance import ConfigProviderConformance
from millstream_conformance.suite import Conformance

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy

ALSO_A_SINK = """
@hookimpl
def register_sinks():
    yield PluginRef("counting.connectors:Keeping")
"""
MIXED = SOURCE.replace(
    "class TestCounting(", "class Mine:\n    def test_nothing_is_printed(self): pass\n\nclass TestCounting(Mine, "
)
JSON = "org.apache.kafka.connect.json.JsonConverter"
INSTEAD = "waive a test by name and reason in `waived` instead"


@pytest.fixture
def distribution(pytester: pytest.Pytester) -> pytest.Pytester:
    """An installed distribution with one source, and its suite."""
    return installed(pytester)


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        (SOURCE + "\n    def test_nothing_is_printed(self):\n        pass\n", "TestCounting replaces"),
        (MIXED, "TestCounting replaces test_nothing_is_printed, by its base Mine"),
        (SOURCE + "\nTestCounting.test_nothing_is_printed = lambda self: None\n", "TestCounting replaces"),
        (SOURCE + '\n    waived = {"test_the_moon": "it is far"}\n', "waives 'test_the_moon', which is no test"),
    ],
    ids=["itself", "by a mixin", "afterwards", "a waiver of nothing"],
)  # fmt: skip
def test_a_kit_test_cannot_be_replaced(pytester: pytest.Pytester, suite: str, told: str) -> None:
    result = run(pytester, PLUGIN, suite)
    assert result.ret != 0
    text = "\n".join([*result.outlines, *result.errlines])
    assert told in text
    assert INSTEAD in text or "no test of the kit" in text


def test_a_waived_test_is_an_expected_failure(pytester: pytest.Pytester) -> None:
    waiver = '\n    waived = {"test_nothing_is_printed": "it greets"}\n'
    printing = PLUGIN.replace("        self.count += 1\n", "        self.count += 1; print('hello')\n")
    assert run(pytester, printing, SOURCE + waiver).ret == 0


def test_a_mended_bug_forces_the_waiver_out(pytester: pytest.Pytester) -> None:
    waiver = '\n    waived = {"test_nothing_is_printed": "it greets"}\n'
    assert failures(run(pytester, PLUGIN, SOURCE + waiver)) == {"test_nothing_is_printed"}


def test_a_distribution_is_certified_when_the_suite_of_each_plugin_passed(distribution: pytest.Pytester) -> None:
    result = run_apart(distribution, "--certify=counting")
    assert result.ret == 0, result.outlines
    found = certificate(distribution)
    assert found["certified"] is True
    assert found["objections"] == []
    assert found["version"] == "1.2.3"
    assert found["covered"] == {"source": {"counting.connectors:Counting": ["TestCounting"]}}
    assert any("test_listing_imports_only_the_plugin_itself" in node for node in found["passed"])
    assert "the plugin has no secret setting" in str(found["not_applicable"])
    result.stdout.fnmatch_lines(
        ["counting 1.2.3 is certified, kit *", "  source counting.connectors:Counting: TestCounting"]
    )


def test_without_the_suite_of_a_plugin_it_is_not_certified_though_all_tests_pass(
    distribution: pytest.Pytester,
) -> None:
    with (distribution.path / "counting" / "plugin.py").open("a") as hooks:
        hooks.write(ALSO_A_SINK)
    result = run_apart(distribution, "--certify=counting")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=0, passed=result.parseoutcomes()["passed"], skipped=result.parseoutcomes()["skipped"])
    found = certificate(distribution)
    assert found["certified"] is False
    sentence = "no suite ran for the sink counting.connectors:Keeping: make a subclass of SinkConformance for it"
    assert found["objections"] == [sentence]
    result.stdout.fnmatch_lines(["counting 1.2.3 is NOT certified*", f"  - {sentence}"])


def test_the_packaging_tests_alone_certify_nothing(distribution: pytest.Pytester) -> None:
    (distribution.path / "test_suite.py").unlink()
    assert run_apart(distribution, "--certify=counting").ret == pytest.ExitCode.TESTS_FAILED
    assert certificate(distribution)["certified"] is False


def test_deselected_or_skipped_tests_are_no_certificate(distribution: pytest.Pytester) -> None:
    assert run_apart(distribution, "--certify=counting", "-k", "not printed").ret != 0
    assert "1 tests of the kit were deselected" in str(certificate(distribution)["objections"])
    skipping = SUITE.replace("class Test", "import pytest\n\n@pytest.mark.skip(reason='no time')\nclass Test")
    (distribution.path / "test_suite.py").write_text(skipping)
    assert run_apart(distribution, "--certify=counting").ret != 0
    assert "tests were skipped by their author" in str(certificate(distribution)["objections"])


@pytest.mark.parametrize(
    ("file", "right", "wrong", "test"),
    [
        ("plugin.py", "@hookimpl\n", "", "test_every_hook_is_marked_and_known_to_the_api"),
        ("plugin.py", "def register_sources", "def register_sorces", "test_every_hook_is_marked_and_known_to_the_api"),
        ("plugin.py", "Counting", "Counted", "test_every_reference_is_a_class_of_its_kind"),
        ("plugin.py", "import PluginRef", "import PluginRef; import pytest; from millstream_api import PluginRef",
         "test_listing_imports_only_the_plugin_itself"),
        ("plugin.py", '"counting.connectors:Counting"', '"counting.connectors:Counting", ("' + JSON + '",)',
         "test_no_alias_is_claimed_by_another"),
        ("METADATA", "millstream-api<1,>=0.1", "millstream-api", "test_it_declares_the_api_it_was_made_for"),
        ("py.typed", None, None, "test_it_is_typed"),
    ],
    ids=["not marked", "misspelt", "no such class", "imports", "alias", "range", "untyped"],
)  # fmt: skip
def test_a_distribution_that_is_wrong_fails_where_it_is_wrong(
    distribution: pytest.Pytester, file: str, right: str | None, wrong: str, test: str
) -> None:
    folder = "counting-1.2.3.dist-info" if file == "METADATA" else "counting"
    path = distribution.path / folder / file
    if right is None:
        path.unlink()
    else:
        assert right in path.read_text()
        path.write_text(path.read_text().replace(right, wrong))
    (distribution.path / "test_suite.py").unlink()
    assert test in failures(run_apart(distribution, "--certify=counting"))


def test_an_unknown_distribution_is_said_to_be_missing(pytester: pytest.Pytester) -> None:
    result = run_apart(pytester, "--certify=no-such-thing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no distribution is called 'no-such-thing' here*with plugins: *millstream-json*"])


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        ("", "TestMine.connector is None; name the class of the source: 'module:Class'"),
        ("connector = 'Counting'", "TestMine.connector is 'Counting'; name the class of the source: 'module:Class'"),
        ("connector = 'counting:Countin'", "the module 'counting' has no class 'Countin'; it has Counting, CountingC"),
        ("connector = 'counting:Keeping'", "TestMine.connector: counting:Keeping is no SourceConnector"),
    ],
)
def test_a_suite_that_does_not_name_its_plugin_says_what_is_right(
    pytester: pytest.Pytester, suite: str, told: str
) -> None:
    lines = (
        "from millstream_conformance import SourceConformance\nclass TestMine(SourceConformance):\n    config = {}\n"
    )
    result = run(pytester, PLUGIN, f"{lines}    {suite}\n")
    assert result.ret != 0
    assert told in "\n".join(result.outlines)


def test_what_an_author_left_out_of_a_suite_is_named() -> None:
    class Mine(ConfigProviderConformance):
        provider = "counting:Keys"

    class Bare(Conformance):
        """Of no kind of plugin."""

    with pytest.raises(NotImplementedError, match="Mine must override known: what the provider finds under `path`"):
        Mine().known()
    with pytest.raises(
        TypeError, match="Bare is no suite for a kind of plugin: derive it from SourceConformance, Sink"
    ):
        Bare.plugin_class()


def test_a_start_of_pytest_without_a_suite_imports_neither_the_api_nor_the_suites(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            ours = {name for name in sys.modules if name.startswith("millstream")}
            assert ours == {"millstream_conformance", "millstream_conformance.pytest_plugin"}
        """
    )
    assert run_apart(pytester).ret == 0


def test_all_suites_can_be_had_from_the_package() -> None:
    import millstream_conformance

    for name in millstream_conformance.__all__:
        assert getattr(millstream_conformance, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'SorceConformance'; it has Capability"):
        millstream_conformance.SorceConformance  # noqa: B018
    assert dir(millstream_conformance) == millstream_conformance.__all__

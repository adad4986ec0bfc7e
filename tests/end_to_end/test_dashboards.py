"""Every documented metric is told, and docs/how-to/keep-a-dashboard.md makes of them the names that dashboards ask for.

`exporter_names.json`: the names that Kafka Connect 4.3.1 had under jmx_prometheus_javaagent 1.0.1, with one source and
one sink, without rules, with Strimzi's and with those of Confluent's jmx-monitoring-stacks.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import WorkerProcess, until

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RECORDED = json.loads(Path(__file__).with_name("exporter_names.json").read_text())
#: in no group of Kafka Connect's own: the table "What has no equal"
WITHOUT_EQUAL = re.compile(r"kafka_connect_(app(_info.*)?|kafka_metrics_count_count)")
SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? \S+")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
RULE = re.compile(
    r"- source_labels: \[(?P<sources>[^\]]*)\]\n\s+regex: (?P<regex>\S+)\n\s+target_label: (?P<target>\w+)\n"
    r"\s+replacement: (?P<replacement>\S+)\n"
)
Sample = dict[str, str]


@dataclass(frozen=True)
class Rule:
    """Prometheus's `replace`: the sources joined by `;`, matched as a whole."""

    sources: list[str]
    regex: re.Pattern[str]
    target: str
    replacement: str

    def applied(self, sample: Sample) -> Sample:
        match = self.regex.fullmatch(";".join(sample.get(source, "") for source in self.sources))
        if match is None:
            return sample
        return {**sample, self.target: re.sub(r"\$\{(\d)\}", lambda of: match[int(of[1])], self.replacement)}


def rules_of(file: str) -> list[Rule]:
    page = (DOCS / "how-to" / "keep-a-dashboard.md").read_text()
    _, found, rest = page.partition(f"<!-- file {file} -->\n```yaml\n")
    assert found, f"the page has no {file}"
    block = rest.partition("```\n")[0]
    rules = [
        Rule(m["sources"].split(", "), re.compile(m["regex"]), m["target"], m["replacement"])
        for m in RULE.finditer(block)
    ]
    assert len(rules) == block.count("source_labels"), "a rule is not understood"
    return rules


def samples_of(text: str) -> list[Sample]:
    matches = [SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    return [{"__name__": m["name"], **dict(LABEL.findall(m["labels"] or ""))} for m in matches if m is not None]


def relabelled(samples: list[Sample], rules: list[Rule]) -> list[Sample]:
    for rule in rules:
        samples = [rule.applied(sample) for sample in samples]
    return samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sample]]:
    """What a worker says that runs a source and a sink, under the short names of their classes."""
    documented = set(re.findall(r"^\| `(kafka_connect_\w+)` \|", (DOCS / "reference" / "metrics.md").read_text(), re.M))
    assert len(documented) > 60
    worker = WorkerProcess(tmp_path_factory.mktemp("dashboards") / "worker").start()
    try:
        (worker.folder / "in.txt").write_text("one\n")
        worker.create("load", **{"connector.class": "FileStreamSource", "file": "in.txt", "topic": "lines"})
        worker.create("copy", **{"connector.class": "FileStreamSink", "file": "out.txt", "topics": "lines"})

        def told() -> set[str]:
            return {sample["__name__"] for sample in samples_of(worker.call("GET", "/metrics").text)}

        until(lambda: documented <= told(), "every documented metric")
        yield samples_of(worker.call("GET", "/metrics").text)
    finally:
        worker.stop()


@pytest.mark.parametrize("file", ["strimzi.yml", "confluent.yml"])
def test_a_dashboard_finds_every_name_that_java_had_under_the_same_rules(samples: list[Sample], file: str) -> None:
    made = {sample["__name__"] for sample in relabelled(samples, rules_of(file))}
    recorded = {name for name in RECORDED[file.removesuffix(".yml")] if not WITHOUT_EQUAL.fullmatch(name)}
    assert len(recorded) > 50
    assert recorded <= made


def test_without_rules_only_the_ending_of_totals_is_to_be_taken_away(samples: list[Sample]) -> None:
    made = {sample["__name__"] for sample in relabelled(samples, rules_of("confluent.yml")[-1:])}
    recorded = {name for name in RECORDED["without rules"] if not WITHOUT_EQUAL.fullmatch(name)}
    assert len(recorded) > 50
    assert recorded <= made


@pytest.mark.parametrize("file", ["strimzi.yml", "confluent.yml"])
def test_no_two_samples_become_one(samples: list[Sample], file: str) -> None:
    assert len({tuple(sorted(s.items())) for s in relabelled(samples, rules_of(file))}) == len(samples)


@pytest.mark.parametrize(
    ("file", "sample"),
    [
        ("strimzi.yml", {"__name__": "kafka_connect_worker_connector_count"}),
        ("strimzi.yml", {"__name__": "kafka_connect_connector_task_status", "connector": "load", "task": "0"}),
        (
            "confluent.yml",
            {"__name__": "kafka_connect_connect_worker_metrics_connector_count", "connector": "aggregate"},
        ),
        ("confluent.yml", {"__name__": "kafka_connect_connector_metrics", "connector": "load", "status": "running"}),
        (
            "confluent.yml",
            {
                "__name__": "kafka_connect_connector_metrics",
                "connector": "load",
                "connector_class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            },
        ),
    ],
)
def test_labels_are_as_under_those_rules(samples: list[Sample], file: str, sample: Sample) -> None:
    assert any(sample.items() <= made.items() for made in relabelled(samples, rules_of(file)))

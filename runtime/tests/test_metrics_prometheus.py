import json
import math

from millstream.identity import State, TaskId
from millstream.lifecycle import ManualClock
from millstream.metrics import names
from millstream.metrics.prometheus import metric_name, render
from millstream.metrics.readings import Measuring, WorkerMetrics, connector_reading, task_readings
from millstream.metrics.snapshot import Reading


def test_a_reading_crosses_a_pipe_as_json_with_every_number():
    reading = Reading("g", {"connector": "c"}, {"a": 1, "b": 1.5, "c": "x", "d": math.inf, "e": -math.inf})
    line = json.dumps(reading.to_json(), allow_nan=False)
    assert Reading.from_json(json.loads(line)) == reading
    nan = Reading.from_json(json.loads(json.dumps(Reading("g", {}, {"a": math.nan}).to_json(), allow_nan=False)))
    assert math.isnan(nan.values["a"])


def test_names_are_those_of_the_jmx_exporter():
    assert metric_name(names.SOURCE_TASK, "source-record-poll-total") == (
        "kafka_connect_source_task_metrics_source_record_poll_total"
    )


def test_samples_of_one_metric_stand_together_with_help_and_type():
    values = {"source-record-poll-total": 7, "source-record-poll-rate": 0.5, "batch-size-max": math.nan}
    text = render(
        [
            *task_readings(TaskId("orders", 0), State.RUNNING, values),
            *task_readings(TaskId("orders", 1), State.FAILED, {"source-record-poll-total": 9}),
        ]
    )
    assert text == (
        "# HELP kafka_connect_connector_task_metrics_status State of the task: unassigned, running, paused, failed,"
        " restarting or destroyed.\n"
        "# TYPE kafka_connect_connector_task_metrics_status gauge\n"
        'kafka_connect_connector_task_metrics_status{connector="orders",task="0",status="running"} 1\n'
        'kafka_connect_connector_task_metrics_status{connector="orders",task="1",status="failed"} 1\n'
        "# HELP kafka_connect_connector_task_metrics_batch_size_max Most records in one batch.\n"
        "# TYPE kafka_connect_connector_task_metrics_batch_size_max gauge\n"
        'kafka_connect_connector_task_metrics_batch_size_max{connector="orders",task="0"} NaN\n'
        "# HELP kafka_connect_source_task_metrics_source_record_poll_total Records that poll returned, before"
        " transformations.\n"
        "# TYPE kafka_connect_source_task_metrics_source_record_poll_total counter\n"
        'kafka_connect_source_task_metrics_source_record_poll_total{connector="orders",task="0"} 7\n'
        'kafka_connect_source_task_metrics_source_record_poll_total{connector="orders",task="1"} 9\n'
        "# HELP kafka_connect_source_task_metrics_source_record_poll_rate Records a second that poll returned, before"
        " transformations.\n"
        "# TYPE kafka_connect_source_task_metrics_source_record_poll_rate gauge\n"
        'kafka_connect_source_task_metrics_source_record_poll_rate{connector="orders",task="0"} 0.5\n'
    )


def test_labels_are_escaped_and_nothing_is_an_empty_text():
    text = render([Reading("g", {"connector": 'a"b\\c\nd'}, {"x": math.inf, "y": -math.inf, "z": True})])
    assert 'kafka_connect_g_x{connector="a\\"b\\\\c\\nd"} +Inf\n' in text
    assert text.splitlines()[3].endswith(" -Inf")
    assert text.splitlines()[5].endswith(" 1")
    assert render([]) == ""


def test_a_task_that_told_nothing_has_its_state_and_unknown_names_are_left_out():
    (reading,) = task_readings(TaskId("c", 2), State.PAUSED, {"of-the-future": 1, "status": "lies"})
    assert reading == Reading(names.TASK, {"connector": "c", "task": "2"}, {"status": "paused"})


def test_connectors_show_state_kind_class_and_version():
    text = render([connector_reading("c", State.RUNNING, "source", "org.example.S", "1.0")])
    assert 'kafka_connect_connector_metrics_connector_class{connector="c",connector_class="org.example.S"} 1' in text
    assert 'kafka_connect_connector_metrics_status{connector="c",status="running"} 1' in text


def test_the_worker_counts_starts_and_the_tasks_of_each_connector():
    clock = ManualClock()
    metrics = WorkerMetrics(Measuring(clock))
    (idle,) = metrics.readings(0, {})
    assert idle.values["task-startup-success-percentage"] == 0.0
    for success in (True, True, True, False):
        metrics.tasks.ended(success)
    metrics.connectors.ended(True)
    worker, connector = metrics.readings(2, {"a": [State.RUNNING, State.FAILED, State.RUNNING], "b": []})
    assert worker.values == {
        "connector-count": 2,
        "task-count": 3,
        "connector-startup-attempts-total": 1,
        "connector-startup-success-total": 1,
        "connector-startup-failure-total": 0,
        "connector-startup-success-percentage": 1.0,
        "connector-startup-failure-percentage": 0.0,
        "task-startup-attempts-total": 4,
        "task-startup-success-total": 3,
        "task-startup-failure-total": 1,
        "task-startup-success-percentage": 0.75,
        "task-startup-failure-percentage": 0.25,
    }
    assert connector.tags == {"connector": "a"}
    assert connector.values["connector-total-task-count"] == 3
    assert connector.values["connector-running-task-count"] == 2
    assert connector.values["connector-failed-task-count"] == 1
    assert {name for group, name in names.METRICS if group == names.WORKER} == {*worker.values, *connector.values}
    clock.advance(3600)
    assert metrics.readings(0, {})[0].values["task-startup-success-percentage"] == 0.0


def test_every_metric_has_a_sentence_and_a_kind():
    assert all(metric.about.endswith(".") for metric in names.METRICS.values())
    totals = {m.name for m in names.METRICS.values() if m.is_total}
    assert {"sink-record-read-total", "total-retries", "deadletterqueue-produce-failures"} <= totals
    assert not {"last-error-timestamp", "batch-size-max", "connector-total-task-count"} & totals

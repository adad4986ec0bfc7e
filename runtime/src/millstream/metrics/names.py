"""The metrics there are: group, name and what it says. Source: ConnectMetricsRegistry.java, Kafka 4.3."""

from dataclasses import dataclass

CONNECTOR = "connector-metrics"
TASK = "connector-task-metrics"
SOURCE_TASK = "source-task-metrics"
SINK_TASK = "sink-task-metrics"
TASK_ERROR = "task-error-metrics"
WORKER = "connect-worker-metrics"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a group; a total only grows until its connector or task is closed, anything else is a gauge."""

    group: str
    name: str
    about: str

    @property
    def is_total(self) -> bool:
        return self.name.endswith("-total") or (self.group == TASK_ERROR and self.name.startswith(("total-", "dead")))


TABLE: tuple[tuple[str, str, str], ...] = (
    (CONNECTOR, "status", "State of the connector: unassigned, running, paused, stopped, failed or restarting."),
    (CONNECTOR, "connector-type", "Kind of the connector: source or sink."),
    (CONNECTOR, "connector-class", "Class of the connector."),
    (CONNECTOR, "connector-version", "Version of the connector's class."),
    (TASK, "status", "State of the task: unassigned, running, paused, failed, restarting or destroyed."),
    (TASK, "running-ratio", "Share of its time, 0 to 1, that the task has been running."),
    (TASK, "pause-ratio", "Share of its time, 0 to 1, that the task has been paused."),
    (TASK, "offset-commit-max-time-ms", "Longest commit of offsets, in milliseconds."),
    (TASK, "offset-commit-avg-time-ms", "Mean duration of a commit of offsets, in milliseconds."),
    (TASK, "offset-commit-failure-percentage", "Share, 0 to 1, of the commits of offsets that failed."),
    (TASK, "offset-commit-success-percentage", "Share, 0 to 1, of the commits of offsets that succeeded."),
    (TASK, "batch-size-max", "Most records in one batch."),
    (TASK, "batch-size-avg", "Mean number of records in a batch."),
    (SOURCE_TASK, "source-record-poll-rate", "Records a second that poll returned, before transformations."),
    (SOURCE_TASK, "source-record-poll-total", "Records that poll returned, before transformations."),
    (SOURCE_TASK, "source-record-write-rate", "Records a second written to the log of records and acknowledged."),
    (SOURCE_TASK, "source-record-write-total", "Records written to the log of records and acknowledged."),
    (SOURCE_TASK, "poll-batch-max-time-ms", "Longest poll, in milliseconds."),
    (SOURCE_TASK, "poll-batch-avg-time-ms", "Mean duration of a poll, in milliseconds."),
    (SOURCE_TASK, "source-record-active-count", "Records polled and not yet written or skipped."),
    (SOURCE_TASK, "source-record-active-count-max", "Most records that were polled and not yet written or skipped."),
    (SOURCE_TASK, "source-record-active-count-avg", "Mean of the records polled and not yet written or skipped."),
    (SOURCE_TASK, "transaction-size-min", "Fewest records in a transaction."),
    (SOURCE_TASK, "transaction-size-max", "Most records in a transaction."),
    (SOURCE_TASK, "transaction-size-avg", "Mean number of records in a transaction."),
    (SINK_TASK, "sink-record-read-rate", "Records a second consumed, before transformations."),
    (SINK_TASK, "sink-record-read-total", "Records consumed, before transformations."),
    (SINK_TASK, "sink-record-send-rate", "Records a second given to put, after transformations."),
    (SINK_TASK, "sink-record-send-total", "Records given to put, after transformations."),
    (SINK_TASK, "partition-count", "Partitions assigned to the task."),
    (SINK_TASK, "offset-commit-seq-no", "Number of the latest commit of offsets."),
    (SINK_TASK, "offset-commit-completion-rate", "Commits of offsets a second that succeeded."),
    (SINK_TASK, "offset-commit-completion-total", "Commits of offsets that succeeded."),
    (SINK_TASK, "offset-commit-skip-rate", "Commits of offsets a second that ended too late to count."),
    (SINK_TASK, "offset-commit-skip-total", "Commits of offsets that ended too late to count."),
    (SINK_TASK, "put-batch-max-time-ms", "Longest put, in milliseconds."),
    (SINK_TASK, "put-batch-avg-time-ms", "Mean duration of a put, in milliseconds."),
    (SINK_TASK, "sink-record-active-count", "Records consumed whose offsets are not yet committed."),
    (SINK_TASK, "sink-record-active-count-max", "Most records consumed whose offsets were not yet committed."),
    (SINK_TASK, "sink-record-active-count-avg", "Mean of the records consumed whose offsets are not yet committed."),
    (TASK_ERROR, "total-record-failures", "Attempts to process a record that failed."),
    (TASK_ERROR, "total-record-errors", "Records that could not be processed."),
    (TASK_ERROR, "total-records-skipped", "Records left out because of errors."),
    (TASK_ERROR, "total-retries", "Attempts that were made again."),
    (TASK_ERROR, "total-errors-logged", "Errors that were logged."),
    (TASK_ERROR, "deadletterqueue-produce-requests", "Records that were to be written to the dead letter queue."),
    (TASK_ERROR, "deadletterqueue-produce-failures", "Records that could not be written to the dead letter queue."),
    (TASK_ERROR, "last-error-timestamp", "When the task last met an error, in milliseconds since 1970; 0 before."),
    (WORKER, "connector-count", "Connectors that this worker runs."),
    (WORKER, "task-count", "Tasks that this worker runs."),
    (WORKER, "connector-startup-attempts-total", "Starts of connectors that this worker tried."),
    (WORKER, "connector-startup-success-total", "Starts of connectors that succeeded."),
    (WORKER, "connector-startup-failure-total", "Starts of connectors that failed."),
    (WORKER, "connector-startup-success-percentage", "Share, 0 to 1, of the starts of connectors that succeeded."),
    (WORKER, "connector-startup-failure-percentage", "Share, 0 to 1, of the starts of connectors that failed."),
    (WORKER, "task-startup-attempts-total", "Starts of tasks that this worker tried."),
    (WORKER, "task-startup-success-total", "Starts of tasks that succeeded."),
    (WORKER, "task-startup-failure-total", "Starts of tasks that failed."),
    (WORKER, "task-startup-success-percentage", "Share, 0 to 1, of the starts of tasks that succeeded."),
    (WORKER, "task-startup-failure-percentage", "Share, 0 to 1, of the starts of tasks that failed."),
    (WORKER, "connector-total-task-count", "Tasks of the connector on this worker."),
    (WORKER, "connector-running-task-count", "Running tasks of the connector on this worker."),
    (WORKER, "connector-paused-task-count", "Paused tasks of the connector on this worker."),
    (WORKER, "connector-failed-task-count", "Failed tasks of the connector on this worker."),
    (WORKER, "connector-unassigned-task-count", "Unassigned tasks of the connector on this worker."),
    (WORKER, "connector-destroyed-task-count", "Destroyed tasks of the connector on this worker."),
    (WORKER, "connector-restarting-task-count", "Restarting tasks of the connector on this worker."),
)

METRICS: dict[tuple[str, str], Metric] = {(group, name): Metric(group, name, about) for group, name, about in TABLE}
"""Every metric by group and name."""

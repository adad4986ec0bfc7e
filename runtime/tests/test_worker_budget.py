from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.worker.budget import (
    MB,
    TEMPLATE_SHARE,
    WORKER_SHARE,
    Budget,
    Needs,
    Share,
    Taken,
    needs_of_connector,
    needs_of_task,
    taken_by,
)
from millstream.worker.limits import Limits

SOURCE, SINK = needs_of_task("source", {}, {}, 3), needs_of_task("sink", {}, {}, 3)
LARGE = Limits(1_000_000 * MB)


def started(budget: Budget, wanted: list[Needs]) -> tuple[list[Needs], str | None]:
    """One after the other until one is refused."""
    running: list[Needs] = []
    for needs in wanted:
        share = budget.share(taken_by(running), needs)
        if share.refusal is not None:
            return running, share.refusal
        running.append(replace(needs, queue=share.queue_bytes))
    return running, None


@given(st.integers(0, 64_000), st.lists(st.sampled_from([SOURCE, SINK]), max_size=300))
def test_queues_are_between_four_and_sixty_four_megabytes_and_all_tasks_fit_together(megabytes, wanted):
    budget = Budget.of(Limits(megabytes * MB), None)
    running, refusal = started(budget, wanted)
    assert all(4 * MB <= needs.queue <= 64 * MB for needs in running)
    if running:
        assert WORKER_SHARE + taken_by(running).memory <= megabytes * MB * 7 // 10
    if refusal is not None:
        least = wanted[len(running)].rest + 4 * MB
        assert WORKER_SHARE + taken_by(running).memory + least > megabytes * MB * 7 // 10


def test_an_early_task_leaves_as_much_as_it_takes_to_a_hundred_others():
    budget = Budget.of(LARGE, WORKER_SHARE + 3_000 * MB)
    assert budget.share(Taken(), SOURCE).queue_bytes == 21 * MB
    running, refusal = started(budget, [SOURCE] * 100)
    assert refusal is None
    assert {needs.queue for needs in running} == {21 * MB}


def test_a_task_beyond_the_memory_is_refused_with_the_sum():
    budget = Budget.of(Limits(1024 * MB, memory_from="memory.max of cgroup /sys/fs/cgroup"), None)
    running, refusal = started(budget, [SOURCE] * 60)
    assert len(running) == 45
    assert refusal == (
        "no memory for one more task: 120 MB for the worker, 585 MB for those that run (45), and 9 MB and a queue of "
        "4 MB for this one are 718 MB; worker.memory.limit is 716 MB of 1024 MB (memory.max of cgroup /sys/fs/cgroup); "
        "raise worker.memory.limit or the container's memory, lower tasks.max, or run fewer tasks on this worker"
    )


def test_what_a_stopped_task_had_is_there_for_another():
    budget = Budget.of(LARGE, WORKER_SHARE + 3 * 13 * MB)
    running, refusal = started(budget, [SOURCE] * 4)
    assert len(running) == 3
    assert refusal is not None
    assert budget.share(taken_by(running[1:]), SOURCE) == Share(4 * MB)


def test_a_task_beyond_the_pid_limit_is_refused_with_the_sum():
    limits = Limits(64_000 * MB, 100, processes_from="pids.max of cgroup /sys/fs/cgroup", others=5)
    running, refusal = started(Budget.of(limits, None, 3), [SOURCE] * 20)
    assert len(running) == 6
    assert refusal == (
        "no processes for one more task: 27 for the worker, 5 of others, 60 of those that run (6), and 10 for this one "
        "are 102; threads count, and the limit is 100 (pids.max of cgroup /sys/fs/cgroup); raise that limit, lower "
        "tasks.max, or run fewer tasks on this worker"
    )


def test_templates_and_the_children_that_they_keep_ahead_are_counted_in_the_pid_limit():
    budget = Budget.of(Limits(64_000 * MB, 47), None, 3)
    assert budget.share(Taken(1, 0, 0, templates=6, spares=5), SOURCE).refusal == (
        "no processes for one more task: 27 for the worker, 11 for templates and children ahead, 0 of those that run "
        "(1), and 10 for this one are 48; threads count, and the limit is 47 (); raise that limit, lower tasks.max, or "
        "run fewer tasks on this worker"
    )
    assert budget.share(Taken(1, 0, 0, templates=5, spares=4), SOURCE).refusal is None


def test_templates_of_many_distributions_take_memory_beyond_the_workers_share():
    budget = Budget.of(LARGE, WORKER_SHARE + 2 * TEMPLATE_SHARE + 13 * MB)
    assert budget.share(Taken(templates=7, spares=6), SOURCE).refusal is None
    assert "148 MB for the worker" in budget.share(Taken(0, 1, 0, templates=7, spares=6), SOURCE).refusal
    assert "162 MB for the worker" in budget.share(Taken(templates=8, spares=7), SOURCE).refusal


def test_threads_of_a_task_follow_the_number_of_brokers():
    assert [needs_of_task(kind, {}, {}, threads).threads for kind in ("source", "sink") for threads in (0, 3, 13)] == [
        *(3, 10, 30),
        *(3, 6, 16),
    ]


@pytest.mark.parametrize(
    ("settings", "worker", "queue"),
    [
        ({}, {}, None),
        ({"producer.override.buffer.memory": "1000000"}, {"producer.buffer.memory": "5"}, 1_000_000),
        ({}, {"producer.buffer.memory": " 33554432 "}, 33_554_432),
        ({"producer.override.buffer.memory": "${file:a:b}"}, {}, None),
        ({"consumer.override.fetch.max.bytes": "77"}, {"consumer.fetch.max.bytes": "5"}, None),
    ],
)
def test_a_buffer_that_an_operator_set_is_the_queue_that_is_counted(settings, worker, queue):
    needs = needs_of_task("source", settings, worker, 3)
    assert needs.queue == queue
    if queue is not None:
        assert Budget.of(LARGE, None).share(Taken(), needs) == Share(queue)


def test_what_an_operator_lets_a_consumer_fetch_at_once_is_counted_beside_its_queue():
    fetching = needs_of_task("sink", {"consumer.override.fetch.max.bytes": "50000000"}, {}, 3)
    assert fetching.rest == SINK.rest + 50_000_000
    assert needs_of_task("sink", {}, {"consumer.max.partition.fetch.bytes": "3000"}, 3).rest == SINK.rest + 3_000


def test_a_connector_that_has_a_process_is_counted():
    assert taken_by([needs_of_connector(), replace(SINK, queue=MB)]) == Taken(2, 15 * MB, 10)

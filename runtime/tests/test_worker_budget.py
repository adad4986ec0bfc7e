import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.worker.budget import MB, Limits, parse_size, read_limits, share


@given(st.integers(0, 64_000), st.integers(1, 500))
def test_queues_are_between_one_and_sixty_four_megabytes_and_fit_together(megabytes, tasks):
    given = share(Limits(megabytes * MB), tasks)
    if given.refusal is None:
        assert MB <= given.queue_bytes <= 64 * MB
        assert 120 * MB + tasks * (6 * MB + given.queue_bytes) <= megabytes * MB * 7 // 10
    else:
        assert given.queue_bytes == 0


def test_a_task_beyond_the_budget_is_refused_with_the_sum():
    assert share(Limits(512 * MB), 40).refusal == (
        "no memory for task number 40: 120 MB for the worker and 40 times 7 MB are 400 MB, and worker.memory.limit is "
        "358 MB of 512 MB; raise it, or run fewer tasks on this worker"
    )
    assert share(Limits(512 * MB), 30).refusal is None
    assert share(Limits(64_000 * MB), 30, memory_limit=130 * MB).refusal is not None


def test_a_task_beyond_the_pid_limit_is_refused_with_the_sum():
    assert share(Limits(64_000 * MB, processes=100), 18).refusal == (
        "no processes for task number 18: 32 for the worker and 18 times 4 are more than the pid limit of 100; raise "
        "it, or run fewer tasks on this worker"
    )


def test_limits_come_from_the_cgroup_when_it_allows_less_than_the_machine(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nMemFree: 5 kB\n")
    assert read_limits(str(tmp_path)) == Limits(1_024_000, None)
    (tmp_path / "sys/fs/cgroup/pids").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("500000\n")
    (tmp_path / "sys/fs/cgroup/pids.max").write_text("max\n")
    (tmp_path / "sys/fs/cgroup/pids/pids.max").write_text("77\n")
    assert read_limits(str(tmp_path)) == Limits(500_000, 77)


@pytest.mark.parametrize(("text", "bytes_"), [("70%", 700), ("512m", 512 * MB), ("2G", 2048 * MB), ("1000", 1000)])
def test_a_memory_limit_is_read_in_every_form(text, bytes_):
    assert parse_size(text, 1_000) == bytes_


def test_a_memory_limit_in_no_form_is_refused_with_the_forms():
    with pytest.raises(ValueError, match=r"worker\.memory\.limit is 'much': expected bytes, a size such as 512m or 2g"):
        parse_size("much", 1)

"""What the suites ask of sources and sinks with an outside: outages, secrets, bad records, what is left as it was."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit_bench import Wrong, fails_there, named, passes

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each is a run of pytest, on a machine that may be busy

PLUGIN = '''
import logging, os, signal, threading, time
from pathlib import Path
from millstream_api import *

log = logging.getLogger("outsides")

class BoxConfig(Config):
    file: str = key("box.txt", doc="Where the lines are.")
    token: Secret = key(doc="Opens the box.")

class LinesTask(SourceTask[BoxConfig]):
    """Gives the lines of a file, blocks in a wait of its own while there is none; a missing file is an outage."""
    def start(self):
        self.partition = {"file": self.config.file}
        stored = self.context.offset(self.partition)
        self.at = stored["line"] if stored else 0
        self.woken = threading.Event()
        log.debug("reads %s", self.config)

    def poll(self):
        try:
            lines = Path(self.config.file).read_text().splitlines()[self.at:][:2]
        except OSError as error:
            raise RetriableError("the box is away") from error
        if not lines:
            self.woken.wait(60 if self.context._blocking else 0)
            return []
        records = []
        for line in lines:
            self.at += 1
            records.append(SourceRecord("lines", {"text": line}, self.partition, {"line": self.at}))
        return records

    def cancel(self):
        self.woken.set()

class Lines(SourceConnector[BoxConfig]):
    config_class = BoxConfig
    task_class = LinesTask

    def probe(self):
        if not Path(self.config.file).exists():
            yield Problem("file", "there is no such box")

    def monitor(self):
        while not self.context.wait(1):
            pass

    def alter_offsets(self, offsets):
        for partition, offset in offsets:
            if offset is not None and "line" not in offset:
                raise DataError("an offset has a line")
        return True

class BoxTask(SinkTask[BoxConfig]):
    def put(self, batch):
        if Path("away").exists():
            raise RetriableError("the box is away")
        log.debug("writes %s", self.config)
        with open(self.config.file, "a") as out:
            for record in batch:
                if record.value == "unfit":
                    error = DataError("it does not fit")
                    if self.context.report is None:
                        raise error
                    self.context.report(record, error)
                    continue
                out.write(f"{record.value}\\n")

class Box(SinkConnector[BoxConfig]):
    config_class = BoxConfig
    task_class = BoxTask

    def alter_offsets(self, offsets):
        return any(partition["kafka_partition"] >= 0 for partition, _ in offsets)
'''
FRESH = """
import pytest
from contextlib import contextmanager
from pathlib import Path
from millstream_conformance import Capability, SinkConformance, SourceConformance

class Fresh:
    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("box.txt").touch()
"""
SOURCE = f"""{FRESH}
class TestLines(Fresh, SourceConformance):
    connector = "outsides:Lines"
    config = {{"token": "open sesame"}}
    capabilities = frozenset({{Capability.CANCEL}})

    def feed(self, n):
        with open("box.txt", "a") as box:
            box.writelines(f"line {{number}}\\n" for number in range(n))

    @contextmanager
    def away(self):
        Path("box.txt").rename("hidden.txt")
        yield
        Path("hidden.txt").rename("box.txt")
"""
SINK = f"""{FRESH}
class TestBox(Fresh, SinkConformance):
    connector = "outsides:Box"
    config = {{"token": "open sesame"}}
    unfit = "unfit"

    def read_back(self):
        return Path("box.txt").read_text().splitlines()

    @contextmanager
    def away(self):
        Path("away").touch()
        yield
        Path("away").unlink()
"""
HASTY = "\n    patience_s = 0.3\n"
AWAY = 'raise RetriableError("the box is away") from error'
NO_RETRY = "test_while_the_outside_is_away_poll_raises_retriable_error_and_then_goes_on"
BAD_ONE = "test_one_bad_record_goes_to_the_errant_reporter_and_the_others_arrive"
UNHEARD = "test_one_bad_record_fails_the_task_when_nobody_hears_of_it"
PROBED = "test_probe_has_no_objection_to_the_settings_it_runs_with"
PROBED_AWAY = "test_probe_says_while_the_outside_is_away_which_settings_lead_there_or_nothing"
MONITORED = "test_monitor_ends_within_a_second_when_it_is_time_to_stop"
SET, FORGOTTEN = (
    "test_offsets_that_an_operator_sets_are_gone_on_from",
    "test_offsets_that_an_operator_forgets_are_forgotten",
)
STRANGE = "test_offsets_of_another_connector_are_refused_in_words_or_taken"
AS_IT_WAS = "test_the_process_stays_as_it_was"
MISSING = "if not Path(self.config.file).exists():"
REFUSES = 'raise DataError("an offset has a line")'
EXAMINES = 'if offset is not None and "line" not in offset:'
WATCHES = """        while not self.context.wait(1):
            pass
"""
CHANGES_THE_LAST = """\
        for record in getattr(self, "last", ()):
            record.value.clear()
        records = self.last = []
"""
WRONG: list[Wrong] = [
    (SOURCE, AWAY, "raise", NO_RETRY),
    (SOURCE, AWAY, "lines = []", NO_RETRY),
    (SOURCE, '{"line": self.at}', '{"line": self.at - 1}', "test_restarted_behind_everything_it_gives_nothing_again"),
    (SOURCE, '"reads %s", self.config', '"reads %s", self.config.token.value',
     "test_secrets_are_in_no_log_output_or_record"),
    (SOURCE, '{"text": line}', '{"text": line, "by": self.config.token.value}',
     "test_secrets_are_in_no_log_output_or_record"),
    (SOURCE, 'stored["line"]', 'stored.pop("line")', "test_stored_offsets_are_not_changed"),
    (SOURCE, "        records = []\n", CHANGES_THE_LAST, "test_what_was_polled_is_not_changed_afterwards"),
    (SOURCE, "self.partition, {", "self.partition, None and {", "test_partitions_and_offsets_are_json_clean"),
    (SOURCE, "self.woken.set()", "pass", "test_cancel_alone_ends_a_blocked_poll_within_a_second"),
    (SOURCE, "self.at = stored", "print('hello'); self.at = stored", "test_nothing_is_printed"),
    (SOURCE, "self.at = stored", "os.chdir('/'); self.at = stored", AS_IT_WAS),
    (SOURCE, MISSING, "if True:", PROBED),
    (SOURCE, MISSING, "open(self.config.file).close()\n        if False:", PROBED_AWAY),
    (SOURCE, 'Problem("file"', 'Problem("fiel"', PROBED_AWAY),
    (SOURCE, '"there is no such box"', '""', PROBED_AWAY),
    (SOURCE, '"there is no such box"', '"no box for " + self.config.token.value', PROBED_AWAY),
    (SOURCE, WATCHES, "        threading.Event().wait(60)\n", MONITORED),
    (SOURCE, WATCHES, "        raise OSError('the box is away')\n", MONITORED),
    (SOURCE, WATCHES, "        self.context.fail(OSError('the box is away'))\n", MONITORED),
    (SOURCE, EXAMINES, 'if offset["line"] < 0:', STRANGE),
    (SOURCE, EXAMINES, 'if offset is None or "line" not in offset:\n                offset["line"]', FORGOTTEN),
    (SOURCE, REFUSES, "raise DataError('')", STRANGE),
    (SOURCE, EXAMINES, 'if offset and not offset.pop("line"):', SET),
    (SOURCE, "        return True\n", "        return None\n", SET),
    (SOURCE + HASTY, "self.at = stored", "time.sleep(60); self.at = stored", "test_values_fit_their_schemas"),
    (SOURCE + HASTY, MISSING, "time.sleep(60)\n        if False:", PROBED),
    (SINK + HASTY, '        log.debug("writes', '        time.sleep(60); log.debug("writes',
     "test_an_empty_batch_is_taken"),
    (SINK, '        log.debug("writes', '        signal.signal(signal.SIGUSR1, signal.SIG_IGN); log.debug("writes',
     AS_IT_WAS),
    (SINK, "return any(", "any(", "test_offsets_that_an_operator_sets_or_forgets_are_taken"),
    (SINK, 'raise RetriableError("the', 'raise OSError("the',
     "test_while_the_outside_is_away_put_raises_retriable_error_and_takes_the_same_batch_later"),
    (SINK, 'raise RetriableError("the box is away")', "return",
     "test_while_the_outside_is_away_put_raises_retriable_error_and_takes_the_same_batch_later"),
    (SINK, "                    self.context.report(record, error)\n", "", BAD_ONE),
    (SINK, "self.context.report(record, error)", "[self.context.report(each, error) for each in batch]", BAD_ONE),
    (SINK, "                    continue", "                    break", BAD_ONE),
    (SINK, "                        raise error", "                        continue", UNHEARD),
    (SINK, "                        raise error", "                        raise RetriableError('later')", UNHEARD),
    (SINK, '"writes %s", self.config', '"writes %s", self.config.token.value', "test_secrets_are_in_no_log_or_output"),
    (SINK, "log.debug(\"writes", "print('hello'); log.debug(\"writes", "test_nothing_is_printed"),
    (SINK, "            for record in batch:", "            for record in batch[:-1]:",
     "test_records_that_come_again_after_a_restart_are_taken_and_none_is_lost"),
    (SINK, '        log.debug("writes', '        [g.values.append(None) for g in batch.groups]; log.debug("writes',
     "test_what_is_put_is_not_changed"),
    (SINK, '        log.debug("writes', '        batch[0]; log.debug("writes', "test_an_empty_batch_is_taken"),
    (SINK, '        log.debug("writes', '        [record.key.upper() for record in batch]; log.debug("writes',
     "test_null_keys_and_keys_are_taken"),
]  # fmt: skip


@pytest.mark.parametrize("suite", [SOURCE, SINK], ids=["source", "sink"])
def test_a_connector_that_does_it_right_passes(pytester: pytest.Pytester, suite: str) -> None:
    passes(pytester, PLUGIN, suite, "outsides")


@named(WRONG)
def test_a_connector_that_is_wrong_fails_where_it_is_wrong(pytester: pytest.Pytester, row: Wrong) -> None:
    fails_there(pytester, PLUGIN, row, "outsides")

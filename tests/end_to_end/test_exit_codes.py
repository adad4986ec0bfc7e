"""Exit codes and streams of every command, as docs/reference/command-line.md promises them."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import begun, connectors, ended, leaves
from running import BIN, PATIENCE_S, PROPERTIES, WorkerProcess

from millstream.cli.main import main

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
NOBODY = "http://127.0.0.1:1"
NO_LOG = ("--bootstrap", "sqlite:no/such.db")
WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

FAILING: dict[tuple[str, ...], tuple[int, Sequence[str]]] = {
    ("run",): (2, ("run", "broken.properties")),
    ("validate",): (1, ("validate", "broken.properties")),
    ("topics",): (1, ("topics", *NO_LOG)),
    ("consume",): (1, ("consume", "t", *NO_LOG)),
    ("produce",): (1, ("produce", "t", "--bootstrap", "nowhere.invalid:1")),
    ("log", "compact"): (1, ("log", "compact", *NO_LOG)),
    **{words: (1, arguments) for words, arguments in connectors(NOBODY).items()},
}
"""Every command with arguments that are sound, and with which it fails."""
CANNOT_FAIL = {("plugins", "list")}  # but for its output, in test_interrupted.py


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broken.properties").write_text("name=c\na=\\u00zz\n")
    (tmp_path / "c.json").write_text(json.dumps({"name": "c", "config": {"connector.class": "NoSuch"}}))
    return tmp_path


def test_every_command_is_in_the_table() -> None:
    assert set(FAILING) | CANNOT_FAIL == set(leaves())


def test_the_codes_of_the_reference_are_those_that_the_tests_here_and_of_interruptions_know() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", REFERENCE.read_text(), re.MULTILINE)
    assert [int(code) for row in rows for code in row.split(",")] == [0, 1, 2, 3, 130, 143, 129]


@pytest.mark.parametrize("words", sorted(FAILING), ids=" ".join)
def test_a_command_that_fails_says_why_in_a_sentence_and_nothing_on_standard_output(
    folder: Path, words: tuple[str, ...]
) -> None:
    code, arguments = FAILING[words]
    flags = {option for each in leaves()[words].params for option in each.opts}
    for more in [(), ("--json",)] if "--json" in flags else [()]:
        done = ended(folder, *arguments, *more)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert done.stderr.startswith("millstream: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", sorted(leaves()), ids=" ".join)
def test_a_command_line_that_is_wrong_ends_with_2_and_the_usage(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "--no-such-option"], prog_name="millstream")
    assert (done.exit_code, done.stdout) == (2, ""), done
    assert done.stderr.startswith("Usage: millstream " + " ".join(words))
    assert "No such option" in done.stderr


@pytest.mark.parametrize("words", sorted(leaves()), ids=" ".join)
def test_help_of_a_command_ends_with_0(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "-h"], prog_name="millstream")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: millstream " + " ".join(words))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("connect-standalone",), 1),
        (("connect-distributed",), 1),
        (("connect-distributed", "a", "b"), 1),
        (("connect-standalone", "worker.properties", "--help"), 1),
        (("connect-distributed", "--help", "worker.properties"), 1),
        (("connect-standalone", "missing.properties"), 2),
        (("connect-distributed", "missing.properties"), 2),
        (("run", "c.json"), 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_scripts_end_with_the_codes_of_java_s(folder: Path, arguments: Sequence[str], code: int) -> None:
    (folder / "worker.properties").write_text("listeners=http://127.0.0.1:0\n")
    done = ended(folder, *arguments)
    assert done.returncode == code, done
    assert done.stderr.startswith("USAGE: connect-") is (code == 1)
    assert "Traceback" not in done.stderr


def test_an_option_of_the_scripts_around_a_jvm_is_named(folder: Path) -> None:
    done = ended(
        folder, "connect-standalone", "-daemon", "-Djavax.net.ssl.trustStorePassword=of-ours", "missing.properties"
    )
    assert done.returncode == 2
    told, refused = done.stderr.splitlines()
    options = "-daemon -Djavax.net.ssl.trustStorePassword"
    assert told == f"millstream: {options}: not followed, as there is no JVM; the worker stays in the foreground"
    assert refused.startswith("millstream: missing.properties: the worker file cannot be read")


def test_files_in_another_order_are_said_to_be(folder: Path) -> None:
    (folder / "c.properties").write_text("name=c\nconnector.class=FileStreamSource\ntopic=t\n")
    (folder / "worker.properties").write_text("listeners=http://127.0.0.1:0\n")
    for arguments in [("c.properties", "worker.properties"), ("c.properties",)]:
        done = ended(folder, "connect-standalone", *arguments)
        assert done.returncode == 2
        assert done.stderr.endswith(
            ". c.properties has connector.class, as a connector's file has: the worker's properties file comes first\n"
        )


def test_a_distributed_worker_without_a_group_is_refused_and_not_run_alone(folder: Path) -> None:
    (folder / "worker.properties").write_text("listeners=http://127.0.0.1:0\n")
    done = ended(folder, "connect-distributed", "worker.properties")
    assert (done.returncode, done.stdout) == (2, "")
    missing = 'Missing required configuration "group.id" which has no default value; distributed mode is not built yet'
    assert done.stderr.startswith(f"millstream: worker.properties: group.id: {missing}")
    assert not (folder / "millstream-data").exists()


def test_a_command_that_is_spelled_wrong_is_told_its_name(folder: Path) -> None:
    done = ended(folder, "topic")
    assert done.returncode == 2
    assert "No such command 'topic'. Did you mean 'topics'?" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_worker_that_is_told_to_stop_ends_with_0(worker: WorkerProcess, number: signal.Signals) -> None:
    worker.start()
    assert worker.process is not None
    worker.process.send_signal(number)
    assert worker.process.wait(PATIENCE_S) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc: run it on Linux")
@pytest.mark.parametrize("program", [("millstream", "run"), ("connect-standalone",)], ids=lambda words: words[0])
def test_a_worker_under_nohup_outlives_its_terminal(worker: WorkerProcess, program: tuple[str, ...]) -> None:
    worker.prefix, worker.program = ["nohup"], program
    worker.start()
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    ignored = int(re.findall(r"^SigIgn:\s(\w+)", status, re.MULTILINE)[0], 16)
    assert ignored & 1 << signal.SIGHUP - 1
    worker.process.send_signal(signal.SIGHUP)
    assert worker.call("GET", "/connectors").status == 200
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (
            "produce t --bootstrap sqlite:log.db <&-",
            1,
            "millstream: standard input is closed; a record is a line of it\n",
        ),
        ("plugins list >&-", 0, ""),
        ("topics --bootstrap sqlite:no.db 2>&-", 1, ""),
        ("topics --bootstrap sqlite:no.db 2>/dev/full", 1, ""),
        ("plugins list <&- >&- 2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(folder: Path, command: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {BIN}/millstream {command}"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("topics", "--bootstrap="), "--bootstrap is empty; expected sqlite:PATH"),
        (("log", "compact", "--bootstrap="), "--bootstrap is empty; expected sqlite:PATH"),
        (("produce", "t", "--key-separator="), "'--key-separator': it is empty; leave the option out for records"),
        (("consume", "t", "--max", "0"), "0 is not in the range x>=1"),
        (("consume", "t", "--max", "-1"), "-1 is not in the range x>=1"),
        (("connectors", "--timeout", "0", "list"), "0.0 is not in the range x>0"),
    ],
)
def test_a_value_that_means_nothing_is_a_wrong_command_line(folder: Path, arguments: Sequence[str], said: str) -> None:
    done = ended(folder, *arguments)
    assert done.returncode == 2, done
    assert said in done.stderr
    assert list(folder.glob("*.db")) == []


def test_a_home_folder_stands_for_itself_in_an_option_as_in_a_file(folder: Path) -> None:
    (folder / "home").mkdir()
    assert ended(folder, "produce", "t", "--bootstrap", "sqlite:~/log.db", HOME=str(folder / "home")).returncode == 0
    assert (folder / "home" / "log.db").exists()
    done = ended(folder, "produce", "t", "--bootstrap", "sqlite:~no-such-user/log.db")
    assert done.returncode == 1
    said = "bootstrap.servers: there is no user whose home '~no-such-user/log.db' would mean; write the whole path"
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(("topics",), 1), (("produce", "t"), 1), (("run",), 2), (("connect-standalone", "{}"), 2)]
)
def test_a_working_folder_that_is_gone_is_said_to_be(folder: Path, arguments: Sequence[str], code: int) -> None:
    settings = {name: text for name, text in PROPERTIES.items() if name != "bootstrap.servers"}
    (folder / "worker.properties").write_text("".join(f"{name}={text}\n" for name, text in settings.items()))
    gone = folder / "gone"
    gone.mkdir()
    told = [each.format(folder / "worker.properties") for each in arguments]
    here = Path.cwd()
    os.chdir(gone)
    gone.rmdir()
    try:
        done = ended(Path("/proc/self/cwd"), *told)
    finally:
        os.chdir(here)
    assert done.returncode == code, done
    assert "the working folder does not exist any more" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
@pytest.mark.parametrize(
    ("bootstrap", "said"),
    [
        ("closed/log.db", "cannot open '{}/closed/log.db.lock': Permission denied; the folder of the log must be wri"),
        ("closed/deep/log.db", "cannot make the folder '{}/closed/deep' for the log: Permission denied; let bootstrap"),
    ],
)
def test_a_log_in_a_folder_without_rights_is_named_with_the_setting(folder: Path, bootstrap: str, said: str) -> None:
    (folder / "closed").mkdir(0o555)
    prefix = WITHOUT_RIGHTS if os.getuid() == 0 else []
    with begun(folder, ["produce", "t", "--bootstrap", f"sqlite:{bootstrap}"], prefix=prefix) as process:
        out, err = process.communicate("a\n", timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert said.format(folder) in err
    assert "bootstrap.servers=sqlite:<path>" in err

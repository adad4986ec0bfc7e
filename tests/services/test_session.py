"""How pytest has its services: begun together, skipped or failed when they cannot be had, their logs with a failure."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from services.errors import Unavailable
from services.fixtures import available
from services.session import REQUIRED, Session

TESTS = Path(__file__).resolve().parent.parent

CONFTEST = """
import pytest
from services import fixtures

fixtures.CATALOGUE.update(fake="fake:Fake", absent="fake:Absent")
pytest_plugins = ["services.fixtures"]

@pytest.fixture
def fake(request):
    return fixtures.service(request, "fake")

@pytest.fixture
def absent(request):
    return fixtures.service(request, "absent")
"""
FAKE = """
from pathlib import Path
from services.errors import Unavailable

class Fake:
    @classmethod
    def of_session(cls, session):
        Path("starts.txt").open("a").write("started ")
        Path("fake.log").write_text("before the test\\n")
        return cls()

    @property
    def logs(self):
        return {"fake": Path("fake.log")}

    def stop(self):
        Path("starts.txt").open("a").write("stopped")

class Absent:
    @classmethod
    def of_session(cls, session):
        raise Unavailable("fake is not there: install it")
"""
TEST = """
def test_one(fake):
    pass

def test_two(fake):
    with fake.logs["fake"].open("a") as log:
        log.write("in the test\\n")
    assert False

def test_three(absent):
    pass
"""


def run(folder: Path, **environment: str) -> str:
    """What an inner pytest says of three tests with a service that is there and one that is not."""
    for name, text in {"conftest.py": CONFTEST, "fake.py": FAKE, "test_inner.py": TEST}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-rA", "-W", "ignore", "-p", "no:cacheprovider"]
    variables = {name: value for name, value in os.environ.items() if name != REQUIRED} | environment
    variables["PYTHONPATH"] = f"{folder}{os.pathsep}{TESTS}"
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
    return done.stdout + done.stderr


def test_a_service_starts_once_and_its_log_of_the_test_is_shown_when_the_test_fails(tmp_path: Path) -> None:
    said = run(tmp_path)
    assert (tmp_path / "starts.txt").read_text() == "started stopped"
    assert "log of fake during this test" in said
    assert "in the test" in said.partition("log of fake")[2]
    assert "before the test" not in said
    assert "SKIPPED [1]" in said
    assert "fake is not there: install it" in said
    assert "1 failed, 1 passed, 1 skipped" in said


def test_nothing_is_skipped_where_services_are_required(tmp_path: Path) -> None:
    said = run(tmp_path, **{REQUIRED: "1"})
    assert f"fake is not there: install it ({REQUIRED} is set: nothing is skipped)" in said
    assert "1 failed, 1 passed, 1 error" in said


def test_without_a_python_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "")
    session = Session({"lost": "services.no_such_module:Nothing"})
    with pytest.raises(pytest.skip.Exception, match=r"pip install -r requirements/services\.txt"):
        available(lambda: session.get("lost"))
    with pytest.raises(Unavailable):
        session.get("lost")
    session.stop()


def test_a_service_that_needs_another_one_is_waited_for_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    soon = threading.Event()

    def of_session(name: str, session: Session) -> SimpleNamespace:
        begun.append(name)
        if name == "needing":
            soon.wait()
            session.get("needed")
        return SimpleNamespace(stop=lambda: None)

    services = {
        name: SimpleNamespace(of_session=lambda session, name=name: of_session(name, session))
        for name in ("needing", "needed")
    }
    monkeypatch.setitem(sys.modules, "of_this_test", cast(ModuleType, SimpleNamespace(**services)))
    monkeypatch.setattr("services.session._swept", lambda: None)
    session = Session({name: f"of_this_test:{name}" for name in services})
    session.begin(["needing"])
    threading.Timer(0.1, soon.set).start()  # most likely while `wait` waits
    session.wait()
    assert begun == ["needing", "needed"]
    assert len(session.up()) == 2
    session.stop()


def test_the_plugin_needs_nothing_that_an_environment_may_lack() -> None:
    told = "import sys, services.fixtures as f; print(*{name.partition('.')[0] for name in sys.modules})"
    variables = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, "-c", told], env=variables, capture_output=True, text=True, check=True)
    assert not {"psutil", "cryptography", "docker", "testcontainers", "confluent_kafka"} & set(done.stdout.split())

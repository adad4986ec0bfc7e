"""The main job, watched: a file, through a topic, into a file, by a running worker and its REST API.

    python examples/file-to-file/run.py [FOLDER]

Works in FOLDER, or in a new temporary one that is left behind to look at. Needs nothing but what `pip install` brought.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE, SINK = "load-kafka-config", "dump-kafka-config"
PATIENCE_S = 60.0


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="millstream-"))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "config", folder / "config", dirs_exist_ok=True)
    for name in (SOURCE, SINK):
        shutil.copy(HERE / f"{name}.json", folder)
    (folder / "worker.properties").write_text(
        "listeners=http://127.0.0.1:0\n"
        f"bootstrap.servers=sqlite:{folder / 'log.db'}\n"
        "key.converter=org.apache.kafka.connect.json.JsonConverter\n"
        "value.converter=org.apache.kafka.connect.json.JsonConverter\n"
    )
    started = time.monotonic()
    command = [str(Path(sys.executable).with_name("millstream")), "run", "worker.properties"]
    show(f"$ cd {folder}\n$ millstream run worker.properties &")
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = address(worker, folder / "worker.log")
        show(f"# the worker answers on {url} after {time.monotonic() - started:.2f} s")
        return job(url, folder)
    finally:
        worker.terminate()
        worker.wait(PATIENCE_S)


def job(url: str, folder: Path) -> int:
    original, copy = folder / "config" / "server.properties", folder / "copy-of-server.properties"
    for name in (SOURCE, SINK):
        body = (folder / f"{name}.json").read_bytes()
        show(f"$ curl -d @{name}.json {url}/connectors")
        show(json.dumps(call(url, "POST", "/connectors", body)))
    until(lambda: copy.exists() and copy.read_bytes() == original.read_bytes(), f"{copy} to equal {original}")
    topic = [
        "consume",
        "kafka-config-topic",
        "--from-beginning",
        "--max",
        "3",
        "--bootstrap",
        f"sqlite:{folder}/log.db",
    ]
    show("$ millstream " + " ".join(topic))
    show(
        subprocess.run(
            [Path(sys.executable).with_name("millstream"), *topic], check=True, capture_output=True, text=True
        ).stdout
    )
    show(f"$ curl {url}/connectors/{SINK}/status")
    show(json.dumps(call(url, "GET", f"/connectors/{SINK}/status")))
    show(f"$ cmp {original.relative_to(folder)} {copy.relative_to(folder)}")
    same = original.read_bytes() == copy.read_bytes()
    for name in (SOURCE, SINK):
        show(f"$ curl -X DELETE {url}/connectors/{name}")
        call(url, "DELETE", f"/connectors/{name}")
    lines = len(original.read_text().splitlines())
    verdict = "identical" if same else "NOT identical"
    show(f"# {lines} lines went file → topic → file; the two files are {verdict}: {folder}")
    return 0 if same else 1


def address(worker: subprocess.Popen[bytes], log: Path) -> str:
    """The worker's URL, from the one line in which it says where it listens."""

    def said() -> str | None:
        if worker.poll() is not None:
            sys.exit(f"the worker ended with {worker.returncode}:\n{log.read_text()}")
        found = [word for word in log.read_text().split() if word.startswith("http://127.0.0.1:")]
        return found[0].rstrip("/.,;") if found else None

    url = str(until(said, "the worker to say where it listens"))
    until(lambda: answers(url), f"{url}/health to answer")
    return url


def answers(url: str) -> bool:
    try:
        call(url, "GET", "/health")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def call(url: str, method: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url + path, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def until(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    sys.exit(f"waited {PATIENCE_S:.0f} s for {what}")


def show(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""`millstream connectors …`: the REST API of any Connect worker, Millstream's or Java's, from the command line."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
import httpx

from millstream.cli.output import fail, json_option, print_json, print_table

Found = TypeVar("Found")
ADDRESS = "is --url the address of a Connect worker?"
PASSWORD = re.compile(r"//[^/@]*@")
TIMEOUT_S = 95.0  # a worker answers within 90 s, or says what it waits for


class ConnectClient:
    """The REST API at one URL. An error answer or no answer ends the command with the reason."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._told = PASSWORD.sub("//[hidden]@", self._url)
        self._client = httpx.Client(timeout=TIMEOUT_S)

    def call(self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON, None when it has no body."""
        try:
            answer = self._client.request(method, self._url + path, json=body, params=dict(query or {}))
        except (httpx.RequestError, httpx.InvalidURL) as error:
            why = str(error).rstrip(".")
            fail(f"no worker answered at {self._told!r}: {why}. Is it running, and {ADDRESS}")
        if answer.is_error:
            fail(f"{method} {path}: {answer.status_code}: {_reason(answer)}")
        if not answer.is_success:
            fail(f"{self._told!r} answered {answer.status_code} to {method} {path}; {ADDRESS}")
        try:
            return answer.json() if answer.content else None
        except ValueError:
            fail(f"{self._told!r} answered {method} {path} with something that is not JSON; {ADDRESS}")

    def shown(
        self, path: str, query: Mapping[str, str] | None = None, method: str = "GET", body: object = None
    ) -> "Shown":
        """Ask for an object of which some fields will be shown."""
        return Shown(self.call(method, path, body, query), f"{self._told!r} answered {method} {path}")


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer, and where it came from: who shows a field that is not there ends with that."""

    answer: Any
    source: str

    def table(self, columns: Sequence[str], rows: Callable[[Any], Sequence[Sequence[object]]]) -> None:
        """Print a table."""
        print_table(columns, self.found(rows))

    def found(self, read: Callable[[Any], Found]) -> Found:
        """What `read` makes of the answer; what it does not find there no Connect worker left out."""
        try:
            return read(self.answer)
        except (LookupError, TypeError, AttributeError):
            fail(f"{self.source} with JSON of another form than Connect's; {ADDRESS}")


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip() or answer.reason_phrase


def path_of(name: str, *rest: str) -> str:
    """`/connectors/NAME/…`, whatever characters the name has."""
    return "/".join(["/connectors", quote(name, safe=""), *rest])


@click.group()
@click.option(
    "--url", default="http://127.0.0.1:8083", show_default=True, envvar="MILLSTREAM_URL", help="The worker's REST API."
)
@click.pass_context
def connectors(ctx: click.Context, url: str) -> None:
    """List, create, pause … over the REST API of any Connect worker."""
    ctx.obj = ConnectClient(url)


@connectors.command("list")
@json_option
@click.pass_obj
def list_(client: ConnectClient, as_json: bool) -> None:
    """Every connector with its state and its tasks'."""
    shown = client.shown("/connectors", {"expand": "status"})
    if as_json:
        print_json(shown.answer)
    else:
        shown.table(
            ["name", "type", "state", "tasks", "worker"],
            lambda found: [_row(name, found[name]["status"]) for name in sorted(found)],
        )


def _row(name: str, status: Mapping[str, Any]) -> Sequence[str]:
    states = [task["state"] for task in status["tasks"]]
    tasks = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"
    return name, status["type"], status["connector"]["state"], tasks, status["connector"]["worker_id"]


@connectors.command()
@click.argument("name")
@json_option
@click.pass_obj
def status(client: ConnectClient, name: str, as_json: bool) -> None:
    """State of a connector and each task, with the first line of a failure."""
    shown = client.shown(path_of(name, "status"))
    if as_json:
        print_json(shown.answer)
    else:
        shown.table(["", "state", "worker", "failure"], _parts)


def _parts(found: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    parts = [("connector", found["connector"])] + [(f"task {task['id']}", task) for task in found["tasks"]]
    return [(label, part["state"], part["worker_id"], _first_line(part.get("trace"))) for label, part in parts]


def _first_line(trace: str | None) -> str:
    return trace.splitlines()[0] if trace else ""


@connectors.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def create(client: ConnectClient, file: Path, as_json: bool) -> None:
    """Create the connector of FILE: {"name": …, "config": {…}}, or a flat map with a name."""
    try:
        body = json.loads(file.read_bytes())
    except ValueError as error:
        fail(f"{file}: not JSON: {error}")
    if isinstance(body, dict) and "config" not in body and "name" in body:
        body = {"name": body["name"], "config": body}
    shown = client.shown("/connectors", method="POST", body=body)
    if as_json:
        print_json(shown.answer)
    else:
        click.echo(shown.found(lambda made: f"created {made['type']} {made['name']}"))


@connectors.command()
@click.argument("name")
@click.pass_obj
def delete(client: ConnectClient, name: str) -> None:
    """Remove a connector. Its topics, files and offsets stay."""
    client.call("DELETE", path_of(name))
    click.echo(f"deleted {name}")


@connectors.command()
@click.argument("name")
@click.pass_obj
def pause(client: ConnectClient, name: str) -> None:
    """Keep the tasks, move no records."""
    client.call("PUT", path_of(name, "pause"))
    click.echo(f"pausing {name}")


@connectors.command()
@click.argument("name")
@click.pass_obj
def resume(client: ConnectClient, name: str) -> None:
    """Go on after pause or stop."""
    client.call("PUT", path_of(name, "resume"))
    click.echo(f"resuming {name}")


@connectors.command()
@click.argument("name")
@click.pass_obj
def stop(client: ConnectClient, name: str) -> None:
    """End the tasks, keep the connector; needed before its offsets can be changed."""
    client.call("PUT", path_of(name, "stop"))
    click.echo(f"stopping {name}")


@connectors.command()
@click.argument("name")
@click.option("--tasks", "include_tasks", is_flag=True, help="Its tasks, too.")
@click.option("--only-failed", is_flag=True, help="Only what has failed.")
@click.pass_obj
def restart(client: ConnectClient, name: str, include_tasks: bool, only_failed: bool) -> None:
    """Start a connector again, and its tasks with --tasks."""
    query = {"includeTasks": str(include_tasks).lower(), "onlyFailed": str(only_failed).lower()}
    client.call("POST", path_of(name, "restart"), query=query)
    click.echo(f"restarting {name}")


@connectors.command()
@click.argument("name")
@click.option("--reset", is_flag=True, help="Forget them all (the connector must be stopped).")
@click.option(
    "--alter", type=click.Path(exists=True, dir_okay=False, path_type=Path), help='Set those in FILE: {"offsets": […]}.'
)
@json_option
@click.pass_obj
def offsets(client: ConnectClient, name: str, reset: bool, alter: Path | None, as_json: bool) -> None:
    """Where a connector is, and to move it while it is stopped."""
    if reset and alter:
        raise click.UsageError("--reset and --alter exclude each other")
    if reset:
        _tell(client.call("DELETE", path_of(name, "offsets")), as_json)
        return
    if alter:
        try:
            body = json.loads(alter.read_bytes())
        except ValueError as error:
            fail(f"{alter}: not JSON: {error}")
        _tell(client.call("PATCH", path_of(name, "offsets"), body), as_json)
        return
    shown = client.shown(path_of(name, "offsets"))
    if as_json:
        print_json(shown.answer)
    else:
        shown.table(
            ["partition", "offset"],
            lambda found: [(json.dumps(each["partition"]), json.dumps(each["offset"])) for each in found["offsets"]],
        )


def _tell(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["message"] if isinstance(answer, dict) and "message" in answer else "done")

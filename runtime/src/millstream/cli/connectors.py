"""`millstream connectors …`: the REST API of any Connect worker, Millstream's or Java's, from the command line."""

import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx

from millstream.cli.connector_files import connector_in, json_of_settings
from millstream.cli.output import fail, harmless, json_option, json_text, print_json, print_table, say
from millstream.errors import ConfigError, headline_of

Found = TypeVar("Found")
ADDRESS = "is --url the address of a Connect worker?"
PASSWORD = re.compile(r"//[^/@]*@")
TIMEOUT_S = 95  # a worker answers within 90 s, or says what it waits for
MAX_PAGE = 200  # characters of an answer that is no JSON


class ConnectClient:
    """The REST API at one URL. An error answer or no answer ends the command with the reason."""

    def __init__(self, url: str, timeout: float, cacert: Path | None) -> None:
        self._url = url.rstrip("/")
        self._told = hidden(self._url)
        self._timeout = timeout
        try:
            context = ssl.create_default_context(cafile=cacert)
            self._client = httpx.Client(timeout=timeout, verify=context)
        except (OSError, ValueError, httpx.InvalidURL) as error:
            what = f"--cacert {str(cacert)!r}" if cacert else "SSL_CERT_FILE, SSL_CERT_DIR or a proxy's variable"
            fail(f"{what} cannot be used: {error}")

    def call(self, method: str, path: str, content: bytes | None = None, query: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON, None when it has no body. content: the request's, in JSON."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            answer = self._client.request(
                method, self._url + path, content=content, headers=headers, params=dict(query or {})
            )
        except httpx.TimeoutException:
            fail(f"{method} {path}: {self._told!r} has not answered within {self._timeout:g} s (--timeout); {ADDRESS}")
        except (httpx.RequestError, httpx.InvalidURL) as error:
            fail(self._unanswered(str(error).rstrip(".")))
        if answer.is_error:
            fail(f"{method} {path}: {answer.status_code}: {_reason(answer)}")
        if not answer.is_success:
            fail(f"{self._told!r} answered {answer.status_code} to {method} {path}; {ADDRESS}")
        try:
            return answer.json() if answer.content else None
        except (ValueError, RecursionError):
            fail(f"{self._told!r} answered {method} {path} with something that is not JSON; {ADDRESS}")

    def _unanswered(self, why: str) -> str:
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return (
                f"the certificate of {self._told!r} is not trusted: {why}. Name it, or its authority's, with --cacert"
            )
        if "WRONG_VERSION_NUMBER" in why:
            return f"{self._told!r} does not speak TLS: {why}. Is it http, and not https?"
        return f"no worker answered at {self._told!r}: {why}. Is it running, and {ADDRESS}"

    def shown(
        self, path: str, query: Mapping[str, str] | None = None, method: str = "GET", content: bytes | None = None
    ) -> "Shown":
        """Ask for an object of which some fields will be shown."""
        return Shown(self.call(method, path, content, query), f"{self._told!r} answered {method} {path}")


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
        why = str(answer.json()["message"])
    except (ValueError, LookupError, TypeError, RecursionError):  # not of a worker: a proxy's page
        page = " ".join(answer.text.split())
        cut = page if len(page) <= MAX_PAGE else f"{page[:MAX_PAGE]}…"
        why = f"{cut or answer.reason_phrase}; {ADDRESS}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        why += " User and password are a part of it: https://user:password@host:port"
    return why


def hidden(url: str) -> str:
    """The address without its password."""
    return PASSWORD.sub("//[hidden]@", url)


def path_of(name: str, *rest: str) -> str:
    """`/connectors/NAME/…`, whatever characters the name has. Ends the command for a name that no path can hold."""
    if name in ("", ".", ".."):
        fail(f"{name!r} cannot be a connector's name in an address: it would mean another resource")
    return "/".join(["/connectors", quote(name, safe="", errors="surrogateescape"), *rest])


def _address(context: click.Context, option: click.Parameter, url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        sound = sound and url.isprintable() and not (parts.query or parts.fragment or url != url.strip())
    except ValueError:  # a port that is none, a bracket that is not closed
        sound = False
    if not sound:
        expected = "expected http://host:port or https://host:port, with a path if there is one before /connectors"
        raise click.BadParameter(f"{hidden(url)!r} is no address of a REST API; {expected}")
    return url


class OptionsFirst(click.Group):
    """Says of an option of its own that stands behind the command where it belongs."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if not any(error.option_name in option.opts for option in self.params):
                raise
            where = f"It stands before the command: {ctx.command_path} {error.option_name} …"
            raise click.NoSuchOption(error.option_name, f"{error.message} {where}", ctx=error.ctx) from None


@click.group(cls=OptionsFirst)
@click.option(
    "--url",
    default="http://127.0.0.1:8083",
    show_default=True,
    envvar="MILLSTREAM_URL",
    callback=_address,
    help="The worker's REST API, such as https://user:password@host:port; or MILLSTREAM_URL.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=TIMEOUT_S,
    show_default=True,
    help="How long an answer is waited for.",
)
@click.option(
    "--cacert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The certificates that an https address is trusted by, in PEM; else the system's.",
)
@click.pass_context
def connectors(ctx: click.Context, url: str, timeout: float, cacert: Path | None) -> None:
    """List, create, pause … over the REST API of any Connect worker."""
    ctx.obj = ConnectClient(url, timeout, cacert)


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
    """State of a connector and each task, with a failure's messages and causes."""
    shown = client.shown(path_of(name, "status"))
    if as_json:
        print_json(shown.answer)
    else:
        shown.table(["", "state", "worker", "failure"], _parts)


def _parts(found: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    parts = [("connector", found["connector"])] + [(f"task {task['id']}", task) for task in found["tasks"]]
    return [(label, part["state"], part["worker_id"], _headline(part.get("trace"))) for label, part in parts]


def _headline(trace: str | None) -> str:
    return headline_of(trace) if trace else ""


@connectors.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def create(client: ConnectClient, file: Path, as_json: bool) -> None:
    """Create the connector of FILE: {"name": …, "config": {…}}, a flat map with a name, or a properties file."""
    shown = client.shown("/connectors", method="POST", content=_creation(file))
    if as_json:
        print_json(shown.answer)
    else:
        say(shown.found(lambda made: harmless(f"created {made['type']} {made['name']}")))


def _creation(file: Path) -> bytes:
    """The body that creates the connector of a file, which is read as the worker reads it."""
    data = _bytes_in(file)
    try:
        body = json_of_settings(data)
    except (ValueError, RecursionError) as error:
        if file.suffix == ".json":
            fail(f"{file}: not JSON: {error}")
        try:
            made = connector_in(file, data)
        except ConfigError as wrong:
            fail(str(wrong))
        return json.dumps({"name": made.name, "config": dict(made.config)}).encode()
    if isinstance(body, dict) and "config" not in body and "name" in body:
        return json.dumps({"name": body["name"], "config": body}).encode()
    return _in_utf8(data)


def _json_in(file: Path) -> bytes:
    """What stands in a file, as it is spelled there. Ends the command where that is no JSON."""
    data = _bytes_in(file)
    try:
        json_of_settings(data)
    except (ValueError, RecursionError) as error:
        fail(f"{file}: not JSON: {error}")
    return _in_utf8(data)


def _in_utf8(data: bytes) -> bytes:
    return data.decode(json.detect_encoding(data)).encode()


def _bytes_in(file: Path) -> bytes:
    """Read once: a pipe, such as /dev/stdin, gives them no second time."""
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror}")


@connectors.command()
@click.argument("name")
@json_option
@click.pass_obj
def delete(client: ConnectClient, name: str, as_json: bool) -> None:
    """Remove a connector. Its topics, files and offsets stay."""
    _tell(client.call("DELETE", path_of(name)), f"deleted {name}", as_json)


@connectors.command()
@click.argument("name")
@json_option
@click.pass_obj
def pause(client: ConnectClient, name: str, as_json: bool) -> None:
    """Keep the tasks, move no records."""
    _tell(client.call("PUT", path_of(name, "pause")), f"pausing {name}", as_json)


@connectors.command()
@click.argument("name")
@json_option
@click.pass_obj
def resume(client: ConnectClient, name: str, as_json: bool) -> None:
    """Go on after pause or stop."""
    _tell(client.call("PUT", path_of(name, "resume")), f"resuming {name}", as_json)


@connectors.command()
@click.argument("name")
@json_option
@click.pass_obj
def stop(client: ConnectClient, name: str, as_json: bool) -> None:
    """End the tasks, keep the connector; needed before its offsets can be changed."""
    _tell(client.call("PUT", path_of(name, "stop")), f"stopping {name}", as_json)


@connectors.command()
@click.argument("name")
@click.option("--tasks", "include_tasks", is_flag=True, help="Its tasks, too.")
@click.option("--only-failed", is_flag=True, help="Only what has failed.")
@json_option
@click.pass_obj
def restart(client: ConnectClient, name: str, include_tasks: bool, only_failed: bool, as_json: bool) -> None:
    """Start a connector again, and its tasks with --tasks."""
    query = {"includeTasks": str(include_tasks).lower(), "onlyFailed": str(only_failed).lower()}
    _tell(client.call("POST", path_of(name, "restart"), query=query), f"restarting {name}", as_json)


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
        _tell(client.call("DELETE", path_of(name, "offsets")), "done", as_json)
        return
    if alter:
        _tell(client.call("PATCH", path_of(name, "offsets"), _json_in(alter)), "done", as_json)
        return
    shown = client.shown(path_of(name, "offsets"))
    if as_json:
        print_json(shown.answer)
    else:
        shown.table(
            ["partition", "offset"],
            lambda found: [(json_text(each["partition"]), json_text(each["offset"])) for each in found["offsets"]],
        )


def _tell(answer: Any, done: str, as_json: bool) -> None:
    """done: what is said when the answer has nothing to say; with `--json` as the message of an object."""
    if as_json:
        print_json({"message": done} if answer is None else answer)
    else:
        say(harmless(str(answer["message"]) if isinstance(answer, dict) and "message" in answer else done))

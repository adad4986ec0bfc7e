"""Where the worker listens: the forms of `listeners`, the sockets, and the URL it tells others."""

import errno
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from millstream.errors import ConfigError, WorkerError

#: Source: RestServer.LISTENER_PATTERN
FORM = re.compile(r"^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)")
BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Listener:
    """scheme: http | https.   host: empty means every interface.   port: 0 lets the system choose."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def shown(self) -> str:
        """For people: an address that can be opened."""
        return str(self) if self.host else f"{replace(self, host=socket.gethostname())} (on every interface)"


@dataclass(frozen=True, slots=True)
class Advertised:
    """What other workers and clients are told; None: as the first listener of the scheme has it."""

    host: str | None = None
    port: int | None = None
    scheme: str | None = None


def parse_listener(text: str, setting: str = "listeners") -> Listener:
    """Read one listener. Raises ConfigError in Java's words."""
    match = FORM.match(text.strip())
    if match is None:
        raise ConfigError(
            {
                setting: f"Invalid value {text} for configuration {setting}: Listener doesn't have the right format"
                " (protocol://hostname:port)."
            }
        )
    scheme = match[1].lower()
    if scheme not in ("http", "https"):
        raise ConfigError(
            {
                setting: f"Invalid value {text} for configuration {setting}:"
                ' Listener protocol must be either "http" or "https".'
            }
        )
    port = int(match[3])
    if not 0 <= port <= 65535:
        raise ConfigError({setting: f"Invalid value {text} for configuration {setting}: the port must be 0 to 65535"})
    return Listener(scheme, match[2], port)


ELSEWHERE = (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL)
"""Of a host that is no address of this machine, or that nobody knows: `create_server` keeps the numbers of both."""


def bind(listener: Listener, setting: str = "listeners") -> socket.socket:
    """Open the socket and listen. Raises WorkerError that names the setting and says what to do."""
    both = not listener.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in listener.host else socket.AF_INET
    try:
        sock = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
        # inherited by each connection; asyncio sets it only where a socket was made with its protocol's number, and
        # without it the body of an answer waits 40 ms for the acknowledgement of its headers on a kept connection
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    except OSError as error:
        said = f"could not listen on {str(listener)!r} ({setting}): {error.strerror or error}"
        raise WorkerError(f"{said}. {_instead(listener, setting, error)}") from error


def _instead(listener: Listener, setting: str, error: OSError) -> str:
    """What to do about a socket that could not be had."""
    if error.errno in ELSEWHERE:
        all_of_them = f"{setting}={listener.scheme}://0.0.0.0:{listener.port}"
        return f"Is {listener.host!r} an address of this machine? Name one that is, or listen on all: {all_of_them}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Ports below 1024 are the system's: choose another"
    where = f"{setting}={listener.scheme}://{listener.host}:<port>"
    return f"Does another worker use port {listener.port}? Choose another with {where}, or 0 for any free one"


def bound(listener: Listener, sock: socket.socket) -> Listener:
    """The listener with the port that it really has."""
    return replace(listener, port=sock.getsockname()[1])


def advertised_url(listeners: Sequence[Listener], wanted: Advertised) -> str:
    """The URL that others are told. Source: RestServer.advertisedUrl."""
    scheme = wanted.scheme.lower() if wanted.scheme else None
    if scheme is None:
        scheme = "http" if any(each.scheme == "http" for each in listeners) else "https"
    listener = next((each for each in listeners if each.scheme == scheme), listeners[0])
    host = wanted.host or listener.host or socket.gethostname()
    port = wanted.port if wanted.port is not None else listener.port
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def settings_of(settings: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The `ssl.*` settings of a kind of listener: those below `prefix` if there is any, else the plain ones."""
    own = {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(f"{prefix}ssl.")}
    return own or {name: value for name, value in settings.items() if name.startswith("ssl.")}

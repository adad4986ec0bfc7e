"""Makes librdkafka's clients from Java's settings, and says once what of them is not followed."""

import logging
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from millstream.broker.kafka.client.failures import Watch, error_of
from millstream.broker.kafka.client.impossible import impossible
from millstream.broker.kafka.client.lines import Listening, librdkafka
from millstream.broker.kafka.client.peer import Peer
from millstream.errors import ConfigError
from millstream.settings.client import Client, client_definitions, of_worker
from millstream.settings.librdkafka import UNUSED, Translation, translate

log = logging.getLogger(__name__)

API_MS = 60_000  # default.api.timeout.ms
CERTIFICATES = ("ssl.keystore.certificate.chain", "ssl.keystore.location")
AUTHORITY = ("ssl.ca.location", "ssl.ca.pem", "ssl.endpoint.identification.algorithm")


class Making:
    """worker: the worker's settings as text, `${…}` resolved; `producer.*` and the like are read here.

    said: the notes that were logged, so that each is logged once."""

    def __init__(self, bootstrap: str, worker: Mapping[str, str]) -> None:
        self.bootstrap = bootstrap
        self.worker = worker
        self._said: set[tuple[Client, str, str]] = set()

    def settings(self, client: Client, overrides: Mapping[str, str]) -> dict[str, str]:
        """Java's settings of one client: the worker's, then `overrides` (§2.4)."""
        own = of_worker(client, self.worker)
        return {"bootstrap.servers": self.bootstrap, **self._inherited(client), **own, **overrides}

    def api_seconds(self, client: Client, overrides: Mapping[str, str]) -> float:
        """How long a question to the brokers may take, `default.api.timeout.ms`."""
        return int(self.settings(client, overrides).get("default.api.timeout.ms", API_MS)) / 1000

    def peer(self, client: Client, overrides: Mapping[str, str], group: str = "") -> Peer:
        """Whom such a client talks to. Raises ConfigError for settings of security that cannot be meant."""
        java = self.settings(client, overrides)
        names = {name: _given_as(self.worker, client, name, overrides) for name in java}
        named = names["bootstrap.servers"]
        prefix = named.removesuffix("bootstrap.servers") or ("" if client == "admin" else f"{client}.")
        found = _translated(self, client, overrides).settings
        user = found.get("sasl.username")
        shown = [name for name in CERTIFICATES if name in java and found["security.protocol"] == "SSL"]
        anonymous = not found["security.protocol"].startswith("SASL") and not shown
        return Peer(
            java["bootstrap.servers"],
            client,
            prefix,
            names,
            f"User:{user}" if user else "User:ANONYMOUS" if anonymous else "",
            names["sasl.jaas.config"] if user else names[shown[0]] if shown else "",
            group,
            {name: found[name] for name in AUTHORITY if name in found},
            _talk(java) != _talk(self.settings("admin", {})),
            found["security.protocol"] != "PLAINTEXT",
        )

    def producer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch, lines: Listening) -> Producer:
        settings = {**more, **_heard_by(lines, "metadata,topic")}
        made: Producer = self._made(Producer, "producer", self.translated("producer", java), settings, watch)
        return made

    def consumer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch, lines: Listening) -> Consumer:
        settings = {**more, **_heard_by(lines, "metadata")}
        made: Consumer = self._made(Consumer, "consumer", self.translated("consumer", java), settings, watch)
        return made

    def admin(self, java: Mapping[str, str], watch: Watch) -> AdminClient:
        made: AdminClient = self._made(AdminClient, "admin", self.translated("admin", java), {}, watch)
        return made

    def translated(self, client: Client, java: Mapping[str, str]) -> dict[str, str]:
        """librdkafka's settings; what a connector's own are not followed in is logged once. The worker's: `tell`."""
        translation = translate(client, java)
        for name, instead in translation.notes.items():
            if self.worker.get(f"{client}.{name}") != java[name]:
                self._say(client, f"{client}.override.{name}", instead)
        return translation.settings

    def tell(self) -> None:
        """Say what of the worker's settings is not followed, whether or not a client will be made."""
        for client in ("producer", "consumer", "admin"):
            for name, instead in _translated(self, client, {}).notes.items():
                self._say(client, f"{client}.{name}" if f"{client}.{name}" in self.worker else name, instead)

    def admin_of(self, client: Client, overrides: Mapping[str, str]) -> dict[str, str]:
        """Settings of an admin client that reaches the brokers as this client does."""
        known = {one.name for one in client_definitions("admin")} - UNUSED.keys()
        return {name: text for name, text in self.settings(client, overrides).items() if name in known}

    def _say(self, client: Client, name: str, instead: str) -> None:
        if (client, name, instead) not in self._said:
            self._said.add((client, name, instead))
            log.warning("%s is not followed as it is written: %s", name, instead)

    def _inherited(self, client: Client) -> dict[str, str]:
        """Of settings without prefix an admin client alone has those that are its own; Java warns of the others."""
        if client != "admin":
            return {}
        known = {one.name for one in client_definitions("admin")} - {"metric.reporters", "config.providers"}
        return {name: text for name, text in self.worker.items() if name in known and not _metric(name)}

    def _made(
        self, kind: Any, client: Client, settings: Mapping[str, str], more: Mapping[str, Any], watch: Watch
    ) -> Any:
        try:
            return kind({"logger": librdkafka, **settings, **more, "error_cb": watch.heard})
        except KafkaException as error:
            raise impossible(error_of(error).str(), replace(watch.peer, client=client), settings) from error


def _heard_by(lines: Listening, debug: str) -> dict[str, Any]:
    """debug: librdkafka's parts. Not `topic` for a consumer: with it members of a group whose topic is deleted leave,
    and one of three times they do not join again; why is not known (2.16.1, seen by tests/services/test_faults.py)."""
    return {"debug": debug, "logger": lines}


def _translated(making: Making, client: Client, overrides: Mapping[str, str]) -> Translation:
    """Raises ConfigError under the whole names: there are up to four logins in a worker's file."""
    java = making.settings(client, overrides)
    try:
        return translate(client, java)
    except ConfigError as error:
        prefix = _given_as(making.worker, client, "security.protocol", overrides).removesuffix("security.protocol")
        problems = []
        for name, problem in error.found:
            whole = _given_as(making.worker, client, name, overrides) if name in java else prefix + name
            problems.append((whole, problem.replace(name, whole, 1)))
        raise ConfigError(problems) from None


def _given_as(worker: Mapping[str, str], client: Client, name: str, overrides: Mapping[str, str]) -> str:
    """The setting that a client's `name` comes from.

    overrides: a connector's own upon the worker's, as tasks compose them.
    """
    of_worker = worker.get(f"{client}.{name}")
    if name in overrides and overrides[name] != of_worker:
        return f"{client}.override.{name}"
    return name if of_worker is None else f"{client}.{name}"


def _talk(java: Mapping[str, str]) -> tuple[str, ...]:
    """What has to be right for brokers to answer at all."""
    protocol = java.get("security.protocol", "PLAINTEXT").strip().upper()
    return java["bootstrap.servers"].strip(), protocol, java.get("sasl.mechanism", "") if "SASL" in protocol else ""


def _metric(name: str) -> bool:
    return name.startswith("metrics.")


def check_resolvable(bootstrap: str, setting: str = "bootstrap.servers") -> None:
    """Raise ConfigError when no host of `bootstrap.servers` has an address, as Java does at once.

    setting: its whole name.
    """
    problems = []
    for server in (part.strip() for part in bootstrap.split(",")):
        host, colon, port = server.rpartition("://")[2].rpartition(":")
        if not colon or not port.isdigit() or not host:
            log = ", or sqlite:<path> for the embedded log" if setting == "bootstrap.servers" else ""
            problem = f"{setting} has {server!r}; expected host:port{log}"
            raise ConfigError({setting: problem})
        try:
            socket.getaddrinfo(host.strip("[]"), int(port))
        except OSError as error:
            problems.append(f"{server} ({error.strerror})")
        else:
            return
    raise ConfigError({setting: f"No resolvable bootstrap urls given in {setting}: {', '.join(problems)}"})

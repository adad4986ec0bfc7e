"""Whom a client talks to, as whom, and which settings say so."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from millstream.settings.client import Client


@dataclass(frozen=True, slots=True)
class Peer:
    """client: producer, consumer or admin; "" where it does not matter.

    prefix:    of a setting of this client that is not there yet, such as `producer.override.`.
    names:     Java's names of the settings that are there, and the whole names that they were given under.
    principal: as the brokers know it; "" where only they do.
    shown:     the setting that it comes from, of a certificate or a login.
    authority: whom a broker's certificate may be signed by, and whether its name counts, in librdkafka's settings.
    apart:     it talks to others, or in another way, than the worker did when it started.
    secured:   whether whoever talks to them has to log in, or to encrypt.
    """

    servers: str
    client: Client | str = ""
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    principal: str = ""
    shown: str = ""
    group: str = ""
    authority: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    secured: bool = False

    def __str__(self) -> str:
        return f"{self.names.get('bootstrap.servers', 'bootstrap.servers')} {self.servers}"

    def setting(self, name: str) -> str:
        """The setting that is to be changed: as it was given, or as it would be."""
        return self.names.get(name, self.prefix + name)

    @property
    def who(self) -> str:
        """`User:eve (consumer.override.sasl.jaas.config)`; empty when it is not known."""
        if not self.principal:
            return self.shown and f"the certificate of {self.shown}"
        return f"{self.principal} ({self.shown})" if self.shown else self.principal

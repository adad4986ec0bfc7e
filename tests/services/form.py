"""Process or container: what a service runs as, and where its Java and its jars are then."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from services import engine, image
from services.container import Container
from services.errors import ServiceError, Unavailable
from services.instance import Instance, Program
from services.maven import JAVA, jars, program
from services.process import Process

FORM = "MILLSTREAM_SERVICES_FORM"


@dataclass(frozen=True)
class Installation:
    """Kafka's jars and the Java that runs them, seen from where the service runs."""

    java: str
    jars: Path
    image: str = ""


class Form(Protocol):
    name: str

    def kafka(self) -> Installation:
        """Where Kafka is; raises Unavailable when it can be had in no way."""

    def instance(self, program: Program, installation: Installation) -> Instance: ...


class AsProcess:
    name = "process"

    def kafka(self) -> Installation:
        java = program("java", *JAVA)
        return Installation(java, jars("kafka"))

    def instance(self, program: Program, installation: Installation) -> Instance:
        return Process(program)


class AsContainer:
    name = "container"

    def kafka(self) -> Installation:
        client = engine.answering()
        if client is None:
            raise Unavailable(
                "no container engine answers on a socket of this machine: start one, or have Java and Maven installed"
                f" and set {FORM}=process"
            )
        return Installation("java", image.JARS, image.kafka(client))

    def instance(self, program: Program, installation: Installation) -> Instance:
        return Container(program, installation.image)


FORMS: dict[str, Form] = {form.name: form for form in (AsContainer(), AsProcess())}


@cache
def chosen() -> Form:
    """What `MILLSTREAM_SERVICES_FORM` says; without it a container where an engine answers, else a process."""
    wanted = os.environ.get(FORM, "")
    if wanted:
        try:
            return FORMS[wanted]
        except KeyError:
            raise ServiceError(f"{FORM} is {wanted!r}; it can be {' or '.join(FORMS)}") from None
    return FORMS["container" if engine.answering() else "process"]

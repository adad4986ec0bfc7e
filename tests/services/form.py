"""Process or container: what a service runs as, and where its Java and its jars are then."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.instance import Instance, Program
from services.maven import jars, program
from services.process import Process


@dataclass(frozen=True)
class Installation:
    """Kafka's jars and the Java that runs them; `reads` are folders of this machine that a container must be shown."""

    java: str
    jars: Path
    reads: Sequence[Path] = ()


class Form(Protocol):
    name: str

    def kafka(self) -> Installation:
        """Where Kafka is; raises Unavailable when it can be had in no way."""

    def instance(self, program: Program) -> Instance: ...


class AsProcess:
    name = "process"

    def kafka(self) -> Installation:
        java = program("java", "Java 17 or newer", "openjdk-17-jdk-headless")
        return Installation(java, jars("kafka"))

    def instance(self, program: Program) -> Instance:
        return Process(program)


def chosen() -> Form:
    return AsProcess()

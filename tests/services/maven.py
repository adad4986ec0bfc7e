"""The jars of a `pom.xml`, resolved by Maven once."""

import shutil
import subprocess
from pathlib import Path

from services.cache import built
from services.errors import ServiceError, Unavailable

HERE = Path(__file__).parent
JAVA = ("Java 17 or newer with Maven", "default-jdk-headless maven")


def pom(name: str) -> Path:
    return HERE / "java" / f"{name}.pom.xml"


#: the one place that says Kafka's version is the pom
KAFKA = pom("kafka").read_text().partition("<kafka.version>")[2].partition("<")[0]


def jars(name: str) -> Path:
    """A folder with the jars that a pom asks for, and those that they ask for."""

    def build(folder: Path) -> None:
        maven = program("mvn", *JAVA)
        command = [maven, "-B", "-q", "-f", str(pom(name)), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ServiceError(f"Maven could not resolve {pom(name)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    return built(f"{name}-jars", [pom(name).read_text()], build)


def program(command: str, what: str, package: str) -> str:
    """The path of a program of this machine."""
    found = shutil.which(command)
    if found is None:
        remedy = f"install it (Debian: apt-get install {package}); CONTRIBUTING.md has other ways"
        raise Unavailable(f"{what} ({command}) is not on the PATH: {remedy}")
    return found

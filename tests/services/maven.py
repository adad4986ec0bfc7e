"""The jars of a `pom.xml`, resolved by Maven once."""

import shutil
import subprocess
from pathlib import Path

from services.cache import built
from services.errors import ServiceError, Unavailable

HERE = Path(__file__).parent


def jars(name: str) -> Path:
    """A folder with the jars that `java/<name>.pom.xml` asks for, and those that they ask for."""
    pom = HERE / "java" / f"{name}.pom.xml"

    def build(folder: Path) -> None:
        maven = program("mvn", "Maven", "maven")
        command = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ServiceError(f"Maven could not resolve {pom}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    return built(f"{name}-jars", [pom.read_text()], build)


def program(command: str, what: str, package: str) -> str:
    """The path of a program of this machine."""
    found = shutil.which(command)
    if found is None:
        raise Unavailable(f"{what} ({command}) is not on the PATH: install it (Debian: apt-get install {package})")
    return found

"""The image of Kafka: the public one, or one made here of Debian's Java and the jars that Maven resolved."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from services.cache import built
from services.errors import ServiceError, Unavailable
from services.maven import KAFKA, jars, pom, program

if TYPE_CHECKING:
    import docker

IMAGE = "MILLSTREAM_KAFKA_IMAGE"
PUBLIC = f"apache/kafka:{KAFKA}"
#: the value of the setting that has it made here
BUILD = "build"
MADE = "millstream-services/kafka"
#: where the public image has Kafka's jars, and so ours
JARS = Path("/opt/kafka/libs")
#: one more when `_archive` changes
RECIPE = "1"
JAVA = "default-jre-headless"
LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "dev")


def kafka(engine: "docker.DockerClient") -> str:
    """The name of an image that the engine has."""
    import docker.errors

    wanted = os.environ.get(IMAGE) or PUBLIC
    if wanted == BUILD:
        return made(engine)
    try:
        engine.images.get(wanted)
    except docker.errors.ImageNotFound:
        try:
            engine.images.pull(wanted)
        except docker.errors.DockerException as error:
            reason = (
                f"the image {wanted} is not there and no pull gives it: set {IMAGE} to one that can, or to {BUILD!r}"
            )
            raise Unavailable(reason) from error
    return wanted


def made(engine: "docker.DockerClient") -> str:
    """Kafka on a minimal Debian of this machine's release. Needs root, debootstrap, and a minute the first time."""
    import docker.errors

    folder = built("kafka-image", [RECIPE, JAVA, *LEFT_OUT, _debian()[0], pom("kafka").read_text()], _archive)
    tag = folder.name.rpartition("-")[2]
    try:
        engine.images.get(f"{MADE}:{tag}")
    except docker.errors.ImageNotFound:
        engine.api.import_image_from_file(str(folder / "root.tar"), repository=MADE, tag=tag)
    return f"{MADE}:{tag}"


def _archive(folder: Path) -> None:
    debootstrap = program("debootstrap", "debootstrap", "debootstrap debian-archive-keyring")
    if os.getuid() != 0:
        raise Unavailable(f"an image can be made by root alone: set {IMAGE} to one that can be pulled")
    with tempfile.TemporaryDirectory(dir=folder) as root:
        release, mirror = _debian()
        command = [debootstrap, "--variant=minbase", f"--include={JAVA}", release, root, *mirror]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise ServiceError(f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        shutil.copytree(jars("kafka"), f"{root}{JARS}")
        with tarfile.open(folder / "root.tar", "w") as archive:
            archive.add(root, ".", filter=_kept)


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    inside = any(entry.name.startswith(f"./{folder}/") for folder in LEFT_OUT)
    return None if inside else entry


def _debian() -> tuple[str, list[str]]:
    """This machine's release, and where it has its packages from."""
    facts = Path("/etc/os-release").read_text().splitlines()
    release = next(line.partition("=")[2].strip('"') for line in facts if line.startswith("VERSION_CODENAME="))
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    lines = sources.read_text().splitlines() if sources.exists() else []
    return release, [line.split()[1] for line in lines if line.startswith("URIs:")][:1]

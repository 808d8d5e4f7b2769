"""Java programs from Maven Central: pinned coordinates become a folder of jars in the user's cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_PACKAGES = {"java": "default-jdk-headless", "mvn": "maven"}
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options of a Java program that ends within minutes: a broker then needs half the CPU until it is up, as nothing is
compiled twice and no threads collect garbage beside it."""
_TIMEOUT_S = 600
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>llm.memory.graph.tests</groupId><artifactId>{name}</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""


class Unavailable(Exception):
    """A program or its jars cannot be had here; the text says which, and the way out."""


@dataclass(frozen=True)
class JarSet:
    """A program and everything it needs at run time.

    coordinates: `group:artifact:version`; what they depend on follows from them. digest: of the jars that must come
    of that, as `digest_of` computes it.
    """

    name: str
    coordinates: tuple[str, ...]
    digest: str

    @property
    def key(self) -> str:
        """Names this very set in the cache."""
        return f"{self.name}-{hashlib.sha256(' '.join((*self.coordinates, self.digest)).encode()).hexdigest()[:12]}"


def program(name: str) -> str:
    """Return the path of `java` or `mvn`; a missing Debian package is installed. Raises `Unavailable`."""
    path = shutil.which(name)
    if path is None:
        cache().mkdir(parents=True, exist_ok=True)
        with _alone(cache() / "packages.lock"):  # apt-get waits for no other one
            path = shutil.which(name)
            if path is None:
                _install(name, _PACKAGES[name])
                path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is still not in PATH after {_PACKAGES[name]} was installed; put it there")
    return path


def jars(which: JarSet) -> Path:
    """The folder of the set's jars; fetched once for all processes and runs. Raises `Unavailable`."""
    folder = cache() / "jars" / which.key
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f"{which.key}.lock"):
        if not folder.is_dir():
            _fetch(which, folder)
    return folder


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and digests of a folder's jars, in the order of their names."""
    together = hashlib.sha256()
    for jar in sorted(folder.glob("*.jar")):
        with jar.open("rb") as opened:
            together.update(f"{hashlib.file_digest(opened, 'sha256').hexdigest()}  {jar.name}\n".encode())
    return together.hexdigest()


def cache() -> Path:
    """Return the cache folder of the project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph"


def _fetch(which: JarSet, folder: Path) -> None:
    dependencies = "".join(_DEPENDENCY.format(*map(escape, each.split(":"))) for each in which.coordinates)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{which.name}-") as scratch:
        pom = Path(scratch, "pom.xml")
        pom.write_text(_POM.format(name=which.name, dependencies=dependencies))
        fetched = Path(scratch, "libs")
        done = subprocess.run(
            [program("mvn"), "-B", "-q", "-f", str(pom), COPY_DEPENDENCIES, "-DincludeScope=runtime",
             f"-DoutputDirectory={fetched}"],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            env=os.environ | {"JAVA_HOME": str(Path(program("java")).resolve().parent.parent)},
        )  # fmt: skip
        if done.returncode:
            reason = (done.stdout + done.stderr).strip().splitlines()[:1]
            raise Unavailable(f"mvn could not fetch {', '.join(which.coordinates)}: {' '.join(reason)}")
        digest = digest_of(fetched)
        if digest != which.digest:
            raise Unavailable(
                f"the jars of {which.name} are not those this project was tested with: digest {digest} instead of "
                f"{which.digest}; look at what changed, then write the new digest beside the coordinates"
            )
        fetched.rename(folder)


def _install(name: str, package: str) -> None:
    if shutil.which("apt-get") is None:
        raise Unavailable(f"{name} is missing: install the package of your system that carries it")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and shutil.which("sudo") is None:
        raise Unavailable(f"{name} is missing: run as root 'apt-get install {package}', then again")
    environment = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive"]
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
    ):
        done = subprocess.run([*environment, *command], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode:
            raise Unavailable(f"{name} is missing and apt-get could not install {package}: {done.stderr.strip()}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

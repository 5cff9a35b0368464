"""Kafka's jars, fetched once with jgo (a Maven resolver in Python) and kept in a cache."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from xml.etree import ElementTree

from ..exceptions import ConfigurationError, HostError

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

__all__ = ["KAFKA_VERSION", "cache_directory", "kafka_jars"]

KAFKA_VERSION = "4.3.1"
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
T = TypeVar("T")

_INDEX = "jars.json"
_TRIES = 4
_HTTP_TIMEOUT_SECONDS = 60


def cache_directory() -> Path:
    """Return where downloads are kept: ``$FAUST_GRPC_CACHE``, or ``~/.cache/faust-grpc``."""
    configured = os.environ.get("FAUST_GRPC_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "faust-grpc"


def kafka_jars(progress: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Return the jars that Kafka runs with; fetch them first if they are not in the cache.

    Several processes may call it at once: one fetches, the others wait. A fetch that was cut off
    goes on where it stopped.

    Arguments:
        progress: called with one line per jar that is fetched.

    Raises:
        ConfigurationError: the extra ``kafka`` is not installed.
        HostError: the jars cannot be fetched.
    """
    home = cache_directory() / f"kafka-{KAFKA_VERSION}"
    with _locked(home.with_name(home.name + ".lock")):
        jars = _complete(home)
        if jars is None:
            shutil.rmtree(home, ignore_errors=True)
            _fetch(home, progress)
            jars = _complete(home)
            assert jars is not None
        return jars


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never removed: a second file under the same name would be a second lock.
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _complete(home: Path) -> list[Path] | None:
    """Return the jars if all are there, with the sizes they were fetched with."""
    try:
        sizes: dict[str, int] = json.loads((home / _INDEX).read_text())
        jars = {home / name: size for name, size in sizes.items()}
        whole = all(jar.stat().st_size == size for jar, size in jars.items())
    except (OSError, ValueError):
        return None
    return list(jars) if whole else None


def _fetch(home: Path, progress: Callable[[str], None]) -> None:
    partial = home.with_name(home.name + ".partial")
    repository = partial / "repository"
    # The resolver writes in place, so after a cut nobody knows which of its files are whole.
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir(parents=True)
    progress(f"Kafka {KAFKA_VERSION}: finding its jars")
    artifacts = _retried(lambda: _resolve(_context(repository)))
    for number, artifact in enumerate(artifacts, 1):
        jar = partial / artifact.filename
        if not jar.exists():
            os.replace(_retried(artifact.resolve), jar)
            size = jar.stat().st_size / 1e6
            progress(f"Kafka {KAFKA_VERSION}: {number}/{len(artifacts)} {jar.name} ({size:.1f} MB)")
    shutil.rmtree(repository)
    index = {jar.name: jar.stat().st_size for jar in sorted(partial.glob("*.jar"))}
    (partial / _INDEX).write_text(json.dumps(index, indent=1))
    os.replace(partial, home)


def _context(repository: Path) -> MavenContext:
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ConfigurationError(
            f"a real Kafka needs: pip install 'faust-grpc[kafka]' ({error})"
        ) from None
    ours = {**_mirrors(), **GlobalSettings.load().repositories}
    return MavenContext(
        repo_cache=repository,
        # None leaves jgo's own default.
        remote_repos=ours or None,
        timeout=_HTTP_TIMEOUT_SECONDS,
    )


def _mirrors() -> dict[str, str]:
    """Return the mirrors that this machine's Maven settings name for the central repository."""
    try:
        root = ElementTree.parse(Path.home() / ".m2" / "settings.xml").getroot()
    except (OSError, ElementTree.ParseError):
        return {}
    mirrors = {}
    for mirror in root.iterfind(".//{*}mirror"):
        scope, url = mirror.findtext("{*}mirrorOf", ""), mirror.findtext("{*}url", "")
        if url and {"*", "external:*", "central"} & {part.strip() for part in scope.split(",")}:
            mirrors[mirror.findtext("{*}id", url)] = url.strip().rstrip("/")
    return mirrors


def _resolve(context: MavenContext) -> list[Artifact]:
    from jgo.parse import Coordinate

    wanted = [
        context.create_dependency(replace(Coordinate.parse(text), scope="compile"))
        for text in _COORDINATES
    ]
    inputs, transitive = context.resolver.resolve(wanted)
    needed = [*inputs, *(dep for dep in transitive if dep.scope in ("compile", "runtime"))]
    return [dependency.artifact for dependency in needed]


def _retried(step: Callable[[], T]) -> T:
    import requests

    for attempt in range(1, _TRIES + 1):
        try:
            return step()
        # The resolver reports a missing or damaged file as RuntimeError.
        except (OSError, RuntimeError, requests.RequestException) as error:
            if attempt == _TRIES:
                raise HostError(f"Kafka {KAFKA_VERSION} cannot be fetched: {error}") from error
            time.sleep(attempt)
    raise AssertionError("unreachable")

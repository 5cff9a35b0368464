"""The .proto files themselves, compiled when a source is declared."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from ..exceptions import SchemaError
from .files import PoolSchema

__all__ = ["ProtoFiles"]

_IMPORT = re.compile(r'^\s*import\s+(?:(?:public|weak|option)\s+)?"([^"]+)"', re.MULTILINE)
_ERROR = re.compile(r":\d+:\d+: (?!warning:)")
#: Those that come with the compiler.
_SHIPPED = "google/protobuf/"


class ProtoFiles(PoolSchema):
    """The types of .proto files. Needs ``grpcio-tools`` (the extra ``faust-grpc[proto]``).

    Imports are looked up from where they can be found: the folder given (that of a file), or the
    nearest one around it in which all of them are there.

    Arguments:
        sources: .proto files, or folders of them.
        include: more folders in which to look imports up.

    Raises:
        SchemaError: the compiler is not installed, there is no such file, or it does not compile.
    """

    def __init__(self, *sources: str | Path, include: Sequence[str | Path] = ()) -> None:
        if not sources:
            raise SchemaError("schema: ProtoFiles() of what? give .proto files, or folders of them")
        self.origin = " and ".join(str(source) for source in sources)
        if find_spec("grpc_tools") is None:
            raise SchemaError(
                f"{self.origin}: .proto files need grpcio-tools: pip install 'faust-grpc[proto]', "
                "or give a descriptor set (protoc --include_imports --descriptor_set_out=FILE)"
            )
        roots: dict[Path, None] = {}
        names: list[str] = []
        for source in sources:
            files = _proto_files(Path(source).resolve())
            root = _root(files)
            roots[root] = None
            names.extend(file.relative_to(root).as_posix() for file in files)
        folders = [*roots, *(Path(folder).resolve() for folder in include)]
        compiled = _compiled(folders, names, self.origin)
        super().__init__(compiled, origin=self.origin, remedy="give the folder of its imports")


def _proto_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise SchemaError(f"schema: {source}: no such file or directory")
    files = sorted(source.rglob("*.proto"))
    if not files:
        raise SchemaError(f"schema: {source} is a directory without .proto files")
    return files


def _root(files: Sequence[Path]) -> Path:
    own = files[0].parent
    while not all(file.is_relative_to(own) for file in files):
        own = own.parent
    imports = {
        name
        for file in files
        for name in _IMPORT.findall(file.read_text(encoding="utf-8", errors="replace"))
        if not name.startswith(_SHIPPED)
    }
    for folder in (own, *own.parents):
        if all((folder / name).is_file() for name in imports):
            return folder
    # Nowhere: the compiler says which is missing.
    return own


def _compiled(
    folders: Iterable[Path], names: Iterable[str], origin: str
) -> list[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        # A process of its own: the compiler writes its errors to the process's stderr.
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc"),
            *(f"-I{root}" for root in folders),
            *("--include_imports", "--include_source_info", f"--descriptor_set_out={out}"),
            *names,
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SchemaError(f"{origin}: {_first_error(done.stderr)}")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    located = [line for line in lines if _ERROR.search(line)]
    error = (located or lines or ["protoc failed and said nothing"])[0]
    if error.endswith("was not found or had errors."):
        missing = [line for line in lines if line.endswith(": File not found.")]
        if missing:
            return f"{error} Give its folder: ProtoFiles(..., include=[folder])"
        # The import itself is what does not compile.
        error = next((line for line in located if line != error), error)
    return error

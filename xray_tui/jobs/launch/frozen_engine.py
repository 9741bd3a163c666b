"""Runs the engine in this file's folder and no other. Every frozen engine contains a copy of this file as `run.py`.

This file imports only the standard library, because installed packages may be upgraded or removed before the job runs.
launch/freeze.py uses its functions too.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ENGINE = "engine"
RUN = "run.py"
LARGEST = 16 << 20
"""Maximum size of a frozen engine in bytes; the engine has about 256 KiB."""

HERE = Path(__file__).resolve().parent


class OwnEngine:
    """Finds `engine` in this file's folder. It must be the first finder: an editable install may add its own, and
    PYTHONPATH, the working folder or site-packages may contain another engine."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name == ENGINE:
            return PathFinder.find_spec(name, [str(HERE)])
        return PathFinder.find_spec(name, path) if name.startswith(f"{ENGINE}.") else None


def read_tree(folder: Path) -> dict[str, bytes]:
    """The contents of the files below the folder, by relative path, without bytecode and hidden files.

    Raises OSError, and ValueError in one line for a link, another special file, or more than LARGEST bytes.
    """
    files: dict[str, bytes] = {}
    left = LARGEST
    for entry in _entries(str(folder)):
        path = os.path.relpath(entry.path, folder)
        if not entry.is_file(follow_symlinks=False):
            what = "a link" if entry.is_symlink() else "a special file"
            raise ValueError(f"{entry.path}: {what}; expected only regular files in the engine")
        with open(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                files[path] = file.read(left + 1)
        left -= len(files.get(path, b""))
        if left < 0:
            raise ValueError(f"{folder}: larger than {LARGEST >> 20} MiB; expected an engine")
    return files


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__" or entry.name.endswith(".pyc"):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
            else:
                yield entry


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 of names and contents, independent of their order."""
    sha256 = hashlib.sha256()
    for name in sorted(files):
        for part in (os.fsencode(name), files[name]):
            sha256.update(len(part).to_bytes(8, "little"))  # so that different trees have different hashes
            sha256.update(part)
    return sha256.hexdigest()


def flaw(place: Path) -> str | None:
    """Why the content of the frozen engine in this folder does not match the folder's name; None if it does."""
    try:
        is_intact = digest(read_tree(place)) == place.name
    except OSError as error:
        return f"{error.filename or place}: {error.strerror or error}"
    except ValueError as error:
        return str(error)
    return None if is_intact else f"{place}: changed since it was copied"


def main() -> int:
    """Run the engine's command line with this process's arguments."""
    if (problem := flaw(HERE)) is not None:
        sys.exit(f"{problem}; launch the job again")
    command_line = import_module(f"{ENGINE}.cli")
    if not str(command_line.__file__).startswith(f"{HERE}{os.sep}"):
        sys.exit(f"{command_line.__file__}: was imported instead of the engine in {HERE}")
    return int(command_line.main())


if Path(__file__).name == RUN:  # in a frozen engine, also in spawned child processes, which import this file
    sys.meta_path.insert(0, OwnEngine)

if __name__ == "__main__":
    sys.exit(main())

"""Runs the engine that lies beside this file, and no other. A copy of it stands as `run.py` in every frozen engine.

It knows only the standard library: what is installed may be another version by the time that it runs, or gone. What it
says of a tree of files is what jobs/freeze.py goes by too.
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
"""Bytes in a tree; the engine has a quarter of one MiB."""

HERE = Path(__file__).resolve().parent


class OwnEngine:
    """Finds `engine` beside this file, before any other finder is asked: an editable install may have put one of its
    own first, and PYTHONPATH, the working folder or site-packages may hold another engine."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name == ENGINE:
            return PathFinder.find_spec(name, [str(HERE)])
        return PathFinder.find_spec(name, path) if name.startswith(f"{ENGINE}.") else None


def read_tree(folder: Path) -> dict[str, bytes]:
    """The files below the folder, by their paths from it. Bytecode and hidden files are left out.

    Raises OSError, and ValueError in one line for a link or another thing that is no file, and for too much of it.
    """
    found: dict[str, bytes] = {}
    left = LARGEST
    for entry in _entries(str(folder)):
        path = os.path.relpath(entry.path, folder)
        if not entry.is_file(follow_symlinks=False):
            what = "a link" if entry.is_symlink() else "no plain file"
            raise ValueError(f"{entry.path}: {what}; the engine's own files are copied, and they are none")
        with open(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                found[path] = file.read(left + 1)
        left -= len(found.get(path, b""))
        if left < 0:
            raise ValueError(f"{folder}: larger than {LARGEST >> 20} MiB; that is no engine")
    return found


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
    """SHA-256 of names and contents, whatever their order."""
    whole = hashlib.sha256()
    for name in sorted(files):
        for part in (os.fsencode(name), files[name]):
            whole.update(len(part).to_bytes(8, "little"))  # framed, so that no two trees look alike
            whole.update(part)
    return whole.hexdigest()


def flaw(place: Path) -> str | None:
    """Why the frozen engine in this folder is not what its name says; None where it is."""
    try:
        whole = digest(read_tree(place)) == place.name
    except OSError as error:
        return f"{error.filename or place}: {error.strerror or error}"
    except ValueError as error:
        return str(error)
    return None if whole else f"{place}: is not what was copied there"


def main() -> int:
    """Run the engine's command line with this process's arguments."""
    if (problem := flaw(HERE)) is not None:
        sys.exit(f"{problem}; launch the job again")
    command_line = import_module(f"{ENGINE}.cli")
    if not str(command_line.__file__).startswith(f"{HERE}{os.sep}"):
        sys.exit(f"{command_line.__file__}: was imported before the engine in {HERE} could be")
    return int(command_line.main())


if Path(__file__).name == RUN:  # as a copy, also where a process that it spawned reads it again
    sys.meta_path.insert(0, OwnEngine)

if __name__ == "__main__":
    sys.exit(main())

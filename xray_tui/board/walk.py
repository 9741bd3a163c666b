"""Walks the folders and files of a runs folder; shared by index, watch and check."""

# ruff: noqa: PTH112, PTH114, PTH118 - strings, because for 10,000 files Path objects take longer than the walk
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.names import CHECKPOINTS, PREDICTIONS


@dataclass(slots=True)
class Folder:
    """One visited folder. `problem` is the error if it cannot be listed."""

    path: str
    """Relative to the runs folder, with slashes; the runs folder itself is the empty string."""
    files: list[os.DirEntry[str]] = field(default_factory=list)
    """All entries that are not folders: files, pipes, broken links."""
    problem: OSError | None = None


def looked_into(name: str) -> bool:
    """Whether the walk enters folders with this name; it skips hidden folders, checkpoints and predictions."""
    return not name.startswith(".") and name not in (CHECKPOINTS, PREDICTIONS)


def reaches(path: str) -> bool:
    """Whether the walk enters every folder on this relative path."""
    return all(map(looked_into, path.split("/")))


def walk(runs: Path, start: str = "", enter: Callable[[str], None] | None = None) -> Iterator[Folder]:
    """Yield every folder from the relative path `start` downwards; nothing if the walk does not enter `start`.

    `enter` is called with the path of each folder before it is listed, so that a watch set there misses no change.
    """
    root = os.fspath(runs)
    if start and not (reaches(start) and os.path.isdir(os.path.join(root, start)) and _is_followed(root, start)):
        return
    pending = [start]
    while pending:
        folder = Folder(pending.pop())
        if enter is not None:
            enter(folder.path)
        try:
            below, folder.files = list_folder(root, folder.path)
            pending.extend(join(folder.path, entry.name) for entry in below)
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder.path:  # deleted during the walk
                continue
            folder.problem = error
        except OSError as error:
            folder.problem = error
        yield folder


def list_folder(runs: str, path: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders that the walk enters and the non-folders in the folder at a relative path. Raises OSError.

    To prevent cycles, a link to a folder is not followed inside another link, nor if its target is in the runs folder
    or contains it.
    """
    folders, files = [], []
    with os.scandir(os.path.join(runs, path)) as entries:
        for entry in entries:
            if not _is_folder(entry):
                files.append(entry)
            elif looked_into(entry.name) and (not entry.is_symlink() or _leads_outside(runs, path, entry.name)):
                folders.append(entry)
    return folders, files


def join(folder: str, name: str) -> str:
    """The relative path of an entry of a folder."""
    return f"{folder}/{name}" if folder else name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_followed(runs: str, path: str) -> bool:
    """Whether the walk follows every link on a relative path."""
    while path:
        folder, _, name = path.rpartition("/")
        if os.path.islink(os.path.join(runs, path)) and not _leads_outside(runs, folder, name):
            return False
        path = folder
    return True


def _leads_outside(runs: str, folder: str, link: str) -> bool:
    """Whether a link leads neither into the runs folder nor to a parent of it, and is not itself below a link."""
    root = os.path.realpath(runs)
    place = os.path.realpath(os.path.join(runs, folder))
    target = os.path.realpath(os.path.join(place, link))
    is_inside_link = place != os.path.normpath(os.path.join(root, folder))
    return not is_inside_link and os.path.commonpath([target, root]) not in (target, root)

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
    """Whether the walk enters every folder on this relative path of a folder."""
    return all(map(looked_into, path.split("/"))) if path else True


def walk(runs: Path, start: str = "", enter: Callable[[str], None] | None = None) -> Iterator[Folder]:
    """Yield every folder from the relative path `start` downwards; nothing if `start` is not a folder that it enters.

    `enter` is called with the path of each folder before it is listed, so that a watch set there misses no change.
    To prevent cycles, a link to a folder is not followed inside another link, nor if its target is in the runs folder
    or contains it.
    """
    if not reaches(start):
        return
    root = os.path.realpath(runs)
    top = os.path.join(runs, start) if start else os.fspath(runs)
    inside_link = False
    if start:
        parts = start.split("/")
        links = [depth for depth in range(1, len(parts) + 1) if os.path.islink(os.path.join(runs, *parts[:depth]))]
        inside_link = bool(links)
        if len(links) > 1 or (links and not _leads_outside(os.path.join(runs, *parts[: links[0]]), root)):
            return
        if not os.path.isdir(top):
            return
    pending = [(start, top, inside_link)]
    while pending:
        path, place, linked = pending.pop()
        folder = Folder(path)
        if enter is not None:
            enter(path)
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        folder.files.append(entry)
                    elif looked_into(entry.name):
                        if entry.is_symlink():
                            if linked or not _leads_outside(entry.path, root):
                                continue
                            pending.append((_join(path, entry.name), entry.path, True))
                        else:
                            pending.append((_join(path, entry.name), entry.path, linked))
        except (FileNotFoundError, NotADirectoryError) as error:
            if path:  # deleted during the walk
                continue
            folder.problem = error
        except OSError as error:
            folder.problem = error
        yield folder


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _leads_outside(link: str, root: str) -> bool:
    """Whether the target of a link is neither in the runs folder nor a parent of it."""
    target = os.path.realpath(link)
    return os.path.commonpath([target, root]) not in (target, root)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name

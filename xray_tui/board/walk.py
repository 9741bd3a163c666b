"""Which folders of a runs folder are looked into, and their files: the one walk that index, watch and check share."""

# ruff: noqa: PTH112, PTH114, PTH118 - strings: for ten thousand files Path objects would cost more than the walk
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.names import CHECKPOINTS, PREDICTIONS


@dataclass(slots=True)
class Folder:
    """One folder that is looked into; `problem` says why its content is unknown."""

    path: str
    """Relative to the runs folder, with slashes; the runs folder itself is the empty string."""
    files: list[os.DirEntry[str]] = field(default_factory=list)
    """Everything in it that is no folder: files, pipes, links to nothing."""
    problem: OSError | None = None


def looked_into(name: str) -> bool:
    """Whether folders of that name are looked into: not hidden ones, not checkpoints and predictions."""
    return not name.startswith(".") and name not in (CHECKPOINTS, PREDICTIONS)


def reaches(path: str) -> bool:
    """Whether every folder on the relative path (of a folder) is looked into."""
    return all(map(looked_into, path.split("/"))) if path else True


def walk(runs: Path, start: str = "", enter: Callable[[str], None] | None = None) -> Iterator[Folder]:
    """Every folder from `start` (relative) downwards. Nothing where `start` is gone, is no folder, or not looked into.

    `enter` is called with each folder's path before the folder is listed: who sets a watch there misses nothing.
    A link to a folder is followed once: not inside another link, not to a place inside the runs folder (which has a
    path of its own), and not to a folder that holds the runs folder. So no cycle and no explosion of links can hang it.
    """
    if not reaches(start):
        return
    root = os.path.realpath(runs)
    top = os.path.join(runs, start) if start else os.fspath(runs)
    inside_link = False
    if start:
        parts = start.split("/")
        links = [n for n in range(1, len(parts) + 1) if os.path.islink(os.path.join(runs, *parts[:n]))]
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
            if path:  # it went away while we walked
                continue
            folder.problem = error
        except OSError as error:
            folder.problem = error
        yield folder


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _leads_outside(link: str, root: str) -> bool:
    """Whether a link to a folder leads to a place that is neither in the runs folder nor around it."""
    target = os.path.realpath(link)
    return os.path.commonpath([target, root]) not in (target, root)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name

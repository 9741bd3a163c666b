"""RunIndex: what a runs folder holds, read once and then only where something changed; immutable snapshots go out."""

# ruff: noqa: PTH112, PTH114, PTH118 - strings: for ten thousand files Path objects would cost more than the reads
from __future__ import annotations

import os
import stat
import threading
from collections.abc import Collection
from pathlib import Path

from engine.contract.names import BOARD, NOTE
from engine.contract.text import clean
from xray_tui.board.artifact import excluded, read_artifact, rejected
from xray_tui.board.model import Artifact, Rejected, Snapshot
from xray_tui.board.parser import LARGEST
from xray_tui.board.rules import Rules
from xray_tui.board.unknown_metrics import misnamed_lines
from xray_tui.board.walk import reaches, walk


class RunIndex:
    """The artifacts of one runs folder. `scan` reads everything, `apply` what the paths of a change batch name.

    Both may be called from any thread, one at a time goes through; file problems become values, never exceptions.
    All paths in here are relative to the runs folder, which is itself the empty string.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self._lock = threading.Lock()
        self._rules = Rules()
        self._rules_problems: tuple[str, ...] = ()
        self._runs_problem: str | None = None
        self._entries: dict[str, Artifact | Rejected] = {}
        self._notes: dict[str, tuple[str | None, tuple[str, ...]]] = {}
        """note.yaml -> (why it sets its run aside, its problems)."""
        self._inside: dict[str, set[str]] = {}
        """folder -> what is known directly in it, so that a folder that goes away costs what was in it."""
        self.snapshot = self._compose()

    def scan(self) -> Snapshot:
        """Read everything anew."""
        with self._lock:
            return self._scan()

    def matters(self, path: str) -> bool:
        """Whether a file can change the board, by its path."""
        return path == BOARD or _name(path) == NOTE or self._rules.is_artifact(path)

    def apply(self, changed: Collection[str]) -> Snapshot:
        """Read what changed at these paths: a file, a folder (all below it), or what is gone."""
        with self._lock:
            if "" in changed or BOARD in changed:
                return self._scan()
            known = [self._refresh(path) for path in sorted(changed)]
            if any(known):
                self.snapshot = self._compose()
            return self.snapshot

    def _scan(self) -> Snapshot:
        self._rules, self._rules_problems = load_rules(self.runs)
        self._runs_problem = None
        self._entries.clear()
        self._notes.clear()
        self._inside.clear()
        self._read_tree("")
        self.snapshot = self._compose()
        return self.snapshot

    def _refresh(self, path: str) -> bool:
        """Bring one path up to date; whether anything that the board knows was there, or is now."""
        if not reaches(_parent(path)):
            return False
        was_known = self._forget(path)
        is_known = self._read_tree(path) if os.path.isdir(self.runs / path) else self._read_file(path)
        return was_known or is_known

    def _keep(self, path: str) -> None:
        """Note that something is known at the path, in every folder above it."""
        while path and path not in (known := self._inside.setdefault(_parent(path), set())):
            known.add(path)
            path = _parent(path)

    def _forget(self, path: str) -> bool:
        """Drop what is known at the path and below it; whether there was anything."""
        self._inside.get(_parent(path), set()).discard(path)
        known, pending = False, [path]
        while pending:
            gone = pending.pop()
            known |= self._entries.pop(gone, None) is not None
            known |= self._notes.pop(gone, None) is not None
            pending.extend(self._inside.pop(gone, ()))
        return known

    def _read_tree(self, start: str) -> bool:
        known = False
        for folder in walk(self.runs, start):
            if folder.problem is not None:
                reason = f"the folder cannot be read: {folder.problem.strerror or folder.problem}"
                if folder.path:
                    known |= self._put(folder.path, Rejected(folder.path, folder.path, clean(reason)))
                else:
                    self._runs_problem = f"{clean(str(self.runs))}: {clean(reason)}"
            elif folder.path and self._rules.is_artifact(folder.path):
                known |= self._put(folder.path, rejected(folder.path, "a folder; an artifact is a file"))
            for entry in folder.files:
                known |= self._read_file(f"{folder.path}/{entry.name}" if folder.path else entry.name)
        return known

    def _read_file(self, path: str) -> bool:
        if _name(path) == NOTE and _parent(path):
            return self._read_note(path)
        if not self._rules.is_artifact(path):
            return False
        entry = read_file(self.runs, path, self._rules)
        return entry is not None and self._put(path, entry)

    def _put(self, path: str, entry: Artifact | Rejected) -> bool:
        self._entries[path] = entry
        self._keep(path)
        return True

    def _read_note(self, path: str) -> bool:
        if not os.path.lexists(self.runs / path):
            return False
        from xray_tui.board.rules_file import read_set_aside  # YAML, only where there is a note

        self._notes[path] = read_set_aside(self.runs / path, path)
        self._keep(path)
        return True

    def _compose(self) -> Snapshot:
        asides = {_parent(note): reason for note, (reason, _) in self._notes.items() if reason is not None}
        artifacts: list[Artifact] = []
        refused: list[Rejected] = []
        for path in sorted(self._entries):
            entry = self._entries[path]
            if isinstance(entry, Rejected):
                refused.append(entry)
            elif asides and (reason := asides.get(_parent(path))) is not None:
                refused.append(Rejected(path, entry.run, reason))
            else:
                artifacts.append(entry)
        problems = [*self._rules_problems, *misnamed_lines(self._rules, artifacts)]
        problems += [self._runs_problem] if self._runs_problem else []
        problems += [line for note in sorted(self._notes) for line in self._notes[note][1]]
        return Snapshot(self.runs, self._rules, tuple(artifacts), tuple(refused), tuple(problems))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def load_rules(runs: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules of a runs folder, and a line for every problem of its board.yaml; a bad field keeps its default."""
    path = os.path.join(runs, BOARD)
    if not os.path.lexists(path):
        return Rules(), ()
    from xray_tui.board.rules_file import read_rules  # YAML, only for a board that has the file

    return read_rules(Path(path))


def read_file(runs: Path, path: str, rules: Rules) -> Artifact | Rejected | None:
    """Read and judge one artifact by its path relative to the runs folder; None: there is no such file any more."""
    if (by_path := excluded(path, rules)) is not None:
        return by_path if os.path.lexists(os.path.join(runs, path)) else None
    read = read_bytes(runs, path)
    if read is None or isinstance(read, Rejected):
        return read
    data, mtime = read
    return read_artifact(data, path, mtime, rules)


def read_bytes(runs: Path, path: str) -> tuple[bytes, float] | Rejected | None:
    """A regular file's bytes and modification time, if it is not too large for an artifact; None: there is no such."""
    place = os.path.join(runs, path)
    try:
        # Without O_NONBLOCK a pipe that is named like an artifact would be waited for.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return rejected(path, "a link that leads nowhere") if os.path.islink(place) else None
    except NotADirectoryError:
        return None
    except OSError as error:
        return rejected(path, f"cannot be read: {error.strerror or error}")
    try:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            return rejected(path, "a folder; an artifact is a file")
        if not stat.S_ISREG(about.st_mode):
            return rejected(path, "not a regular file")
        if about.st_size > LARGEST:
            return rejected(path, f"{about.st_size >> 20} MiB; over {LARGEST >> 20} MiB is no artifact")
        return _read_all(descriptor), about.st_mtime
    except OSError as error:
        return rejected(path, f"cannot be read: {error.strerror or error}")
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    """The file up to one byte more than an artifact may have: it may grow while it is read."""
    parts, left = [], LARGEST + 1
    while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)

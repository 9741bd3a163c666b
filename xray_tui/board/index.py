"""RunIndex reads the artifacts of a runs folder once, then only changed files, and returns immutable snapshots."""

# ruff: noqa: PTH112, PTH114, PTH118 - strings, because for 10,000 files Path objects take longer than the reads
from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from engine.contract.metrics import BY_NAME, METRICS
from engine.contract.names import BOARD, NOTE
from engine.contract.text import clean
from xray_tui.board.artifact import LARGEST, excluded, read_artifact, rejected
from xray_tui.board.model import Artifact, Rejected, Snapshot
from xray_tui.board.rules import Rules
from xray_tui.board.walk import join, reaches, walk
from xray_tui.system.safe_files import open_regular


class RunIndex:
    """The artifacts of one runs folder. `scan` reads all of them, `apply` only the changed paths.

    Both are thread-safe. Unreadable files become `Rejected` values or problems, never exceptions.
    Paths are relative to the runs folder; the empty string is the runs folder itself.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self._lock = threading.Lock()
        self._rules = Rules()
        self._problems: list[str] = []
        """One line per problem of board.yaml, and one if the runs folder cannot be read."""
        self._entries: dict[str, Artifact | Rejected] = {}
        self._notes: dict[str, tuple[str | None, tuple[str, ...]]] = {}
        """Maps each note.yaml to (the reason why it excludes its run or None, its problems)."""
        self._inside: dict[str, set[str]] = {}
        """Maps each folder to the known paths directly in it, so that only its own content is visited to remove it."""
        self.snapshot = self._compose()

    def scan(self) -> Snapshot:
        """Read the whole runs folder again."""
        with self._lock:
            return self._scan()

    def matters(self, path: str) -> bool:
        """Whether a file with this path can affect the board."""
        return path == BOARD or _name(path) == NOTE or self._rules.is_artifact(path)

    def apply(self, changed: Collection[str]) -> Snapshot:
        """Update these paths: a file, a folder with all its content, or a path that no longer exists."""
        with self._lock:
            if "" in changed or BOARD in changed:
                return self._scan()
            known = [self._refresh(path) for path in sorted(changed)]
            if any(known):
                self.snapshot = self._compose()
            return self.snapshot

    def _scan(self) -> Snapshot:
        self._rules, problems = load_rules(self.runs)
        self._problems, self._entries, self._notes, self._inside = [*problems], {}, {}, {}
        self._read_tree("")
        self.snapshot = self._compose()
        return self.snapshot

    def _refresh(self, path: str) -> bool:
        """Update one path; return whether it contained or now contains something that matters to the board."""
        if not reaches(_parent(path)):
            return False
        was_known = self._forget(path)
        if os.path.isdir(self.runs / path):
            self._read_tree(path)
        else:
            self._read_file(path)
        return was_known or path in self._inside.get(_parent(path), ())

    def _register(self, path: str) -> None:
        """Register the path in `_inside` for every folder above it."""
        while path and path not in (known := self._inside.setdefault(_parent(path), set())):
            known.add(path)
            path = _parent(path)

    def _forget(self, path: str) -> bool:
        """Drop the entries at and below the path; return whether there were any."""
        self._inside.get(_parent(path), set()).discard(path)
        known, pending = False, [path]
        while pending:
            dropped = pending.pop()
            known |= self._entries.pop(dropped, None) is not None
            known |= self._notes.pop(dropped, None) is not None
            pending.extend(self._inside.pop(dropped, ()))
        return known

    def _read_tree(self, start: str) -> None:
        for folder in walk(self.runs, start):
            if folder.problem is not None:
                reason = clean(f"the folder cannot be read: {folder.problem.strerror or folder.problem}")
                if folder.path:
                    self._put(folder.path, Rejected(folder.path, folder.path, reason))
                else:
                    self._problems.append(f"{clean(str(self.runs))}: {reason}")
            elif folder.path and self._rules.is_artifact(folder.path):
                self._put(folder.path, rejected(folder.path, "expected a file, got a folder"))
            for entry in folder.files:
                self._read_file(join(folder.path, entry.name))

    def _read_file(self, path: str) -> None:
        if _name(path) == NOTE and _parent(path):
            if os.path.lexists(self.runs / path):
                from xray_tui.board.note import read_set_aside  # imports YAML only if there is a note

                self._notes[path] = read_set_aside(self.runs / path, path)
                self._register(path)
        elif self._rules.is_artifact(path) and (entry := read_file(self.runs, path, self._rules)) is not None:
            self._put(path, entry)

    def _put(self, path: str, entry: Artifact | Rejected) -> None:
        self._entries[path] = entry
        self._register(path)

    def _compose(self) -> Snapshot:
        noted = {_parent(note): reason for note, (reason, _) in self._notes.items() if reason is not None}
        artifacts: list[Artifact] = []
        unranked: list[Rejected] = []
        for path in sorted(self._entries):
            entry = self._entries[path]
            if isinstance(entry, Rejected):
                unranked.append(entry)
            elif noted and (reason := noted.get(_parent(path))) is not None:
                unranked.append(Rejected(path, entry.run, reason))
            else:
                artifacts.append(entry)
        problems = [*self._problems, *unknown_metrics(self._rules, artifacts)]
        problems += [line for note in sorted(self._notes) for line in self._notes[note][1]]
        return Snapshot(self.runs, self._rules, tuple(artifacts), tuple(unranked), tuple(problems))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def load_rules(runs: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules of a runs folder, and one line per problem of its board.yaml. Invalid fields keep their default."""
    path = os.path.join(runs, BOARD)
    if not os.path.lexists(path):
        return Rules(), ()
    from xray_tui.board.rules_file import read_rules  # imports pydantic only if there is a board.yaml

    return read_rules(Path(path))


def read_file(runs: Path, path: str, rules: Rules) -> Artifact | Rejected | None:
    """Read and check one artifact. `path` is relative to the runs folder. None if the file no longer exists."""
    full_path = os.path.join(runs, path)
    if (rejection := excluded(path, rules)) is not None:
        return rejection if os.path.lexists(full_path) else None
    try:
        data, mtime = read_bytes(runs, path)
        return read_artifact(data, path, mtime, rules)
    except FileNotFoundError:
        return rejected(path, "a broken link") if os.path.islink(full_path) else None
    except NotADirectoryError:
        return None
    except OSError as error:
        return rejected(path, f"cannot be read: {error.strerror or error}")


def read_bytes(runs: Path, path: str) -> tuple[bytes, float]:
    """The bytes, at most LARGEST + 1, and the modification time of a regular file. Raises OSError."""
    with os.fdopen(open_regular(os.path.join(runs, path)), "rb") as file:
        status = os.fstat(file.fileno())
        return file.read(min(status.st_size, LARGEST) + 1), status.st_mtime


def unknown_metrics(rules: Rules, artifacts: Sequence[Artifact]) -> Iterator[str]:
    """One line per name in `primary` and `columns` that is not a built-in metric, a key of `aliases` or in an artifact.

    A typo in the primary metric would make every artifact unranked. Without a ranked artifact, columns are not checked,
    because unranked artifacts may contain their metrics.
    """
    known = {*BY_NAME, *rules.aliases}
    key, names = ("columns", rules.columns) if artifacts else ("primary", (rules.primary,))
    for name in names:
        if name in known or any(name in artifact.metrics or name in artifact.input_size for artifact in artifacts):
            continue
        from difflib import get_close_matches

        words = [*BY_NAME, *rules.aliases, *(alias for metric in METRICS for alias in metric.aliases)]
        close = get_close_matches(name.strip().lower(), words, n=1)
        hint = f"did you mean {clean(close[0])}?" if close else f"known metrics: {', '.join([*BY_NAME][:6])}, …"
        yield f"{BOARD}: {key}: {clean(name)}: no ranked artifact has this metric; {hint}"

"""Whether systemd-logind kills a user's processes when a session ends, from its configuration files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.text import clean

FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
"""Folders of systemd's configuration below the root, in order of precedence."""

_SECTION = "Login"
_PACKAGED = re.compile(r"^#\s*KillUserProcesses=(\S+)\s*$", re.MULTILINE)
"""The packaged configuration has every option with its default as a comment; distributions build different defaults."""


@dataclass(frozen=True, slots=True)
class Kills:
    """Whether the processes of a session are killed at its end."""

    all_users: bool | None = None
    """KillUserProcesses; None if no file sets it."""
    source: str = ""
    """The file that sets `all_users`."""
    only: tuple[str, ...] = ()
    """KillOnlyUsers; if not empty, only these users' processes are killed."""
    spared: tuple[str, ...] = ("root",)
    """KillExcludeUsers."""

    def of(self, user: str) -> bool | None:
        """Whether this user's processes are killed; None if unknown."""
        if user in self.spared or (self.only and user not in self.only):
            return False
        return self.all_users


def read_kills(root: Path = Path("/")) -> Kills:
    """The configuration below `root`, read like logind: the first logind.conf, then all drop-in files by name."""
    main = next((path for folder in FOLDERS if (path := root / folder / "systemd/logind.conf").is_file()), None)
    texts = [] if main is None else [(main, _read(main))]
    packaged = _PACKAGED.search(texts[0][1]) if texts else None
    kills, source = (_truth(packaged[1]), str(main)) if packaged else (None, "")
    only: list[str] = []
    spared = ["root"]
    for path, text in [*texts, *((path, _read(path)) for path in _drop_ins(root))]:
        for key, value in _assignments(text):
            if key == "KillUserProcesses" and (truth := _truth(value)) is not None:
                kills, source = truth, str(path)
            elif key in ("KillOnlyUsers", "KillExcludeUsers"):
                users = only if key == "KillOnlyUsers" else spared
                if value:
                    users += value.split()
                else:
                    users.clear()
    return Kills(kills, clean(source), tuple(only), tuple(spared))


def lingers(user: str, root: Path = Path("/")) -> bool:
    """Whether the user's services continue without a session (`loginctl enable-linger`)."""
    escaped = "".join(c if c.isalnum() or c in "_.-" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in user)
    return (root / "var/lib/systemd/linger" / escaped).exists()


def _drop_ins(root: Path) -> Iterator[Path]:
    """The files of all logind.conf.d folders, sorted by name; of files with the same name the first folder's counts."""
    by_name: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in (root / folder / "systemd/logind.conf.d").glob("*.conf"):
            by_name.setdefault(path.name, path)
    for name in sorted(by_name):
        yield by_name[name]


def _read(path: Path) -> str:
    """The file's text; empty for a link to /dev/null, by which an administrator disables a drop-in file."""
    try:
        return path.read_text("utf-8", "replace") if path.is_file() else ""
    except OSError:
        return ""


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == _SECTION and line and line[0] not in "#;" and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _truth(text: str) -> bool | None:
    """A boolean as systemd parses it; None for other text, which systemd ignores."""
    word = text.lower()
    if word in ("1", "yes", "y", "true", "t", "on"):
        return True
    return False if word in ("0", "no", "n", "false", "f", "off") else None

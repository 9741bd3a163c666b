"""What systemd-logind does to a user's processes when a session ends, as its configuration says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.text import clean

FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
"""Where systemd looks, the first before the others."""

_SECTION = "Login"
_PACKAGED = re.compile(r"^#\s*KillUserProcesses=(\S+)\s*$", re.MULTILINE)
"""The configuration as it is delivered holds every option with its default as a comment; that default is chosen when
systemd is built, and differs."""


@dataclass(frozen=True, slots=True)
class Kills:
    """Whether the processes of a session end with it."""

    all_users: bool | None = None
    """KillUserProcesses; None where nothing says it."""
    source: str = ""
    """The file that says it."""
    only: tuple[str, ...] = ()
    """KillOnlyUsers: where there are some, nobody else."""
    spared: tuple[str, ...] = ("root",)
    """KillExcludeUsers: these never."""

    def of(self, user: str) -> bool | None:
        """Whether this user's processes are killed; None where that cannot be told."""
        if user in self.spared or (self.only and user not in self.only):
            return False
        return self.all_users


def read_kills(root: Path = Path("/")) -> Kills:
    """What the files below the root folder say, read as logind reads them: one logind.conf, then all pieces by name."""
    main = next((path for folder in FOLDERS if (path := root / folder / "systemd/logind.conf").is_file()), None)
    texts = [] if main is None else [(main, _read(main))]
    packaged = _PACKAGED.search(texts[0][1]) if texts else None
    kills, source = (_truth(packaged[1]), str(main)) if packaged else (None, "")
    only: list[str] = []
    spared = ["root"]
    for path, text in [*texts, *((piece, _read(piece)) for piece in _pieces(root))]:
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
    """Whether the user's services go on without a session of theirs."""
    escaped = "".join(c if c.isalnum() or c in "_.-" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in user)
    return (root / "var/lib/systemd/linger" / escaped).exists()


def _pieces(root: Path) -> Iterator[Path]:
    """The files of all logind.conf.d folders by their names; of one name only the first folder's counts."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in (root / folder / "systemd/logind.conf.d").glob("*.conf"):
            found.setdefault(path.name, path)
    for name in sorted(found):
        yield found[name]


def _read(path: Path) -> str:
    """The file's text; a piece that is a link to /dev/null, by which an administrator takes it out, is empty."""
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
    """As systemd reads a truth value; None for what is none, which it passes over."""
    word = text.lower()
    if word in ("1", "yes", "y", "true", "t", "on"):
        return True
    return False if word in ("0", "no", "n", "false", "f", "off") else None

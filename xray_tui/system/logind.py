"""Whether systemd-logind kills a user's processes when a session ends, read from its configuration files."""

from __future__ import annotations

import re
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

from engine.contract.text import clean

FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
"""Folders of systemd's configuration below the root, in order of precedence."""

_PACKAGED = re.compile(r"^#\s*KillUserProcesses=(\S+)\s*$", re.MULTILINE)
"""The packaged configuration has every option with its default as a comment; distributions have different defaults."""


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
    """The configuration below `root`, read as logind reads it: the first logind.conf, then all drop-in files sorted by
    name. Of drop-in files with the same name, the one in the first folder counts."""
    main = next((path for folder in FOLDERS if (path := root / folder / "systemd/logind.conf").is_file()), None)
    drop_ins = {
        path.name: path
        for folder in reversed(FOLDERS)
        for path in (root / folder / "systemd/logind.conf.d").glob("*.conf")
    }
    kills, source = None, ""
    users = {"KillOnlyUsers": list[str](), "KillExcludeUsers": ["root"]}
    for path in [*([main] if main else []), *(drop_ins[name] for name in sorted(drop_ins))]:
        text = _read(path)
        if path is main and (packaged := _PACKAGED.search(text)) is not None:
            kills, source = _truth(packaged[1]), str(path)
        login = _section(text)
        if (truth := _truth(login.get("KillUserProcesses", ""))) is not None:
            kills, source = truth, str(path)
        for key in users.keys() & login.keys():  # an empty value empties the list
            users[key] = [*users[key], *login[key].split()] if login[key] else []
    return Kills(kills, clean(source), tuple(users["KillOnlyUsers"]), tuple(users["KillExcludeUsers"]))


def lingers(user: str, root: Path = Path("/")) -> bool:
    """Whether the user's services continue without a session (`loginctl enable-linger`)."""
    escaped = "".join(c if c.isalnum() or c in "_.-" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in user)
    return (root / "var/lib/systemd/linger" / escaped).exists()


def _read(path: Path) -> str:
    """The file's text; empty for a link to /dev/null, by which an administrator disables a drop-in file."""
    try:
        return path.read_text("utf-8", "replace") if path.is_file() else ""
    except OSError:
        return ""


def _section(text: str) -> dict[str, str]:
    """The assignments in the section [Login]; empty if the text is not a valid configuration."""
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string("\n".join(map(str.strip, text.replace("\\\n", " ").splitlines())))
    except Error:
        return {}
    return {key: value or "" for key, value in (parser["Login"].items() if parser.has_section("Login") else ())}


def _truth(text: str) -> bool | None:
    """A boolean as systemd parses it; None for other text, which systemd ignores."""
    return ConfigParser.BOOLEAN_STATES.get(text.lower())

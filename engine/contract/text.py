"""Make text from outside (names, files, logs) safe to print, so that no control code reaches the terminal."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_BRIEF = 60

_BRIEF = Repr()
"""Limits depth as well as length, because ten lines of YAML with aliases can make a list of a billion entries."""
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = LONGEST_BRIEF

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC strings
    r"|\x1b[ -/]*[0-~]"  # short sequences
)


def clean(text: str) -> str:
    """The text on one line with every control, format and unassigned character made visible.

    C0 controls become their pictures (ESC is U+241B), other unprintable characters (C1, bidi overrides, lone surrogates
    of file names that are not UTF-8) become U+FFFD, and other whitespace becomes a space.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def clean_log_line(line: str) -> str:
    """One line of a program's output as a terminal would show it: the text after the last carriage return (of a
    progress bar), without escape sequences, with tabs expanded, and cleaned by `clean`."""
    line = line.rstrip("\r\n")
    if "\r" in line:
        line = line.rsplit("\r", 1)[1]
    if "\x1b" in line:
        line = _ESCAPE_SEQUENCE.sub("", line)
    return clean(line.expandtabs(8))


STAMP = "%Y-%m-%d %H:%M:%S "
"""Format of the local time with which the engine starts each line of a job's log."""
STAMPED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?(.*)")
"""Such a time stamp, and the rest of the line."""


def brief(value: Any) -> str:
    """A value from a file as shown in an error message: short and safe to print. Fast even for a huge value."""
    try:
        return clean(_BRIEF.repr(value))[:LONGEST_BRIEF]
    except ValueError:  # Python prints no number of over 4300 digits, but YAML can contain one in hexadecimal
        return "a number that is too long"


def look_text(look: Any) -> str:
    """An artifact's `selection.look` in words.

    >>> look_text({"run": 3, "data": 41})
    '3rd look at test by this run, 41st by all runs'
    >>> look_text(None)
    'looks unknown'
    """
    counts = [look.get(key) if isinstance(look, dict) else None for key in ("run", "data")]
    if not all(type(count) is int and 0 < count < 1e9 for count in counts):
        return "looks unknown"
    of_run, of_all = map(_ordinal, counts)
    return f"{of_run} look at test by this run, {of_all} by all runs"


def _ordinal(number: Any) -> str:
    teen = 11 <= number % 100 <= 13
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return " " if char.isspace() and code not in (0x85, 0x2028, 0x2029) else REPLACEMENT

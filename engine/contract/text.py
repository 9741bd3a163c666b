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


def brief(value: Any) -> str:
    """A value from a file as shown in an error message: short and safe to print. Fast even for a huge value."""
    try:
        return clean(_BRIEF.repr(value))[:LONGEST_BRIEF]
    except ValueError:  # Python prints no number of over 4300 digits, but YAML can contain one in hexadecimal
        return "a number that is too long"


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return " " if char.isspace() and code not in (0x85, 0x2028, 0x2029) else REPLACEMENT

"""`xray-tui doctor --report`: one text file with what a bug report needs, without secrets.

Only the environment variables of an allow-list are shown. The home folder, the user's name and text that looks like a
secret are replaced.
"""

from __future__ import annotations

import locale
import os
import platform
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from engine.contract.names import BOARD
from engine.contract.text import clean
from xray_tui.board.index import RunIndex
from xray_tui.board.walk import walk
from xray_tui.doctor.checks.engine import version
from xray_tui.doctor.checks.settings import judge_settings
from xray_tui.doctor.findings import SIGNS, Context, Finding, ok
from xray_tui.doctor.run_checks import CHECKS, Check, run_checks
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.logs.tail import Tail
from xray_tui.settings import Settings
from xray_tui.system.error_log import error_log
from xray_tui.system.process import user

PACKAGES = (
    "xray-tui", "textual", "rich", "pydantic", "pyyaml", "platformdirs", "psutil", "nvidia-ml-py", "watchdog",
    "textual-plotext", "setproctitle", "torch", "torchvision", "segmentation-models-pytorch", "timm", "numpy", "pandas",
    "scipy", "scikit-learn", "pycocotools", "pillow", "nnunetv2",
)  # fmt: skip
SHOWN = ("TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "CUDA_VISIBLE_DEVICES", "XRAY_TUI_WATCH")
"""Environment variables whose values are shown."""
PRESENT = {"SSH": ("SSH_CONNECTION", "SSH_TTY"), "tmux or screen": ("TMUX", "STY")}
"""Facts shown as yes or no, with the variables that imply them."""
LOG_LINES, LOG_BYTES = 200, 1 << 17
"""Maximum number of lines and bytes that are shown from the end of the log file."""

REDACTED = "<redacted>"
_NAME = r"(?:token|secret|passw(?:or)?d|api[_-]?key|_key)"
_VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s,}\]'"]+)"""
_SECRETS = (
    (re.compile(rf"(?i)({_NAME}\w*['\"]?\s*[=:]\s*){_VALUE}"), r"\1"),
    (re.compile(rf"(?i)(--[\w-]*{_NAME}[\w-]*\s+){_VALUE}"), r"\1"),
    (re.compile(r"(?i)(authorization['\"]?\s*[=:]\s*)[^\n'\"]+"), r"\1"),
    (re.compile(r"(?i)(\bbearer\s+)\S+"), r"\1"),
    (re.compile(r"(\b[a-z][a-z+.-]*://)(?:[^\s/@]*@)?([^\s/'\"]+)/[^\s'\"]+"), r"\1\2/"),  # a web hook's path
    (re.compile(r"(\b[a-z][a-z+.-]*://)[^\s/@]*:[^\s/@]*@"), r"\1"),
    (re.compile(r"(?<![\w-])(?!(?:GPU|MIG)-)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{20,}"), ""),
)
"""(pattern of a secret, the part of the match that stays)."""


def report(context: Context, problems: Sequence[str]) -> str:
    """The text of the report. `problems` are those of the settings file."""
    checks: Sequence[tuple[str, Check]] = (*CHECKS, ("contents", contents))
    findings = (*judge_settings(problems), *run_checks(context, checks))
    sections = {
        "Versions": _versions(),
        "Terminal": _terminal(),
        "Settings": _settings(context.settings),
        "Doctor": map(_line, findings),
        "Log file": _log(),
    }
    lines = [f"xray-tui report, {datetime.now().astimezone().isoformat(timespec='seconds')}", ""]
    lines += [line for title, text in sections.items() for line in (f"## {title}", "", *text, "")]
    return redacted("\n".join(lines), str(Path.home()), user())


def redacted(text: str, home: str, user: str) -> str:
    """The text without the home folder, the user's name, and anything that looks like a secret."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept + REDACTED, text)
    if home.strip("/"):
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    return re.sub(rf"(?<![\w<]){re.escape(user)}(?!\w)", "<user>", text) if user else text


def contents(context: Context) -> list[Finding]:
    """The numbers of folders, artifacts, problems and jobs in the runs folder."""
    snapshot = RunIndex(context.runs).scan()
    folders = sum(1 for _ in walk(context.runs))
    states = Counter(str(job.state) for job in JobStore(context.runs).jobs())
    jobs = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    ranked, unranked = len(snapshot.artifacts), len(snapshot.rejected)
    board = f"{'a' if (context.runs / BOARD).exists() else 'no'} {BOARD}, {len(snapshot.problems)} problems"
    shown = f"{folders:,} folders; artifacts: {ranked:,} ranked, {unranked:,} unranked; {board}; jobs: {jobs}"
    return [ok("contents", shown)]


def _line(finding: Finding) -> str:
    """The finding on one line, because `redacted` would miss a wrapped secret."""
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{SIGNS[finding.mark]} {finding.name}: {finding.found}{remedy}"


def _versions() -> Iterator[str]:
    yield from (f"{package} {version(package) or '(not installed)'}" for package in PACKAGES)
    yield f"Python {platform.python_version()} ({clean(sys.executable)})"
    yield f"{clean(platform.platform())}, {os.cpu_count()} cores"


def _terminal() -> Iterator[str]:
    yield from (f"{name}={clean(os.environ[name])}" for name in SHOWN if name in os.environ)
    for fact, names in PRESENT.items():
        yield f"{fact}: {'yes' if any(name in os.environ for name in names) else 'no'}"
    columns, lines = shutil.get_terminal_size()
    ends = ", ".join(name for name in ("stdin", "stdout", "stderr") if getattr(sys, name).isatty())
    yield f"{columns} x {lines}; terminals: {ends or 'none'}; encoding {locale.getpreferredencoding(False)}"


def _settings(settings: Settings) -> Iterator[str]:
    """Settings that differ from the default. Of `on_end` it shows only the program: an argument may hold a secret."""
    for item in fields(Settings):
        value = getattr(settings, item.name)
        if value != getattr(Settings(), item.name):
            shown = f"{value[0]} with {len(value) - 1} arguments" if item.name == "on_end" else str(value)
            yield f"{item.name}: {clean(shown)}"


def _log() -> Iterator[str]:
    path = error_log()
    yield clean(str(path))
    chunk = Tail(path, LOG_BYTES, only_end=True).read()
    lines = ["empty, missing or unreadable"] if chunk is None else chunk.data.decode("utf-8", "replace").splitlines()
    yield from map(clean, lines[-LOG_LINES:])

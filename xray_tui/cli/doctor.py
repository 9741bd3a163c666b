"""`xray-tui doctor`: checks the server; the exit status is 1 if a check is bad."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from xray_tui.cli.store_options import add_runs

if TYPE_CHECKING:
    from xray_tui.doctor.context import Context

REPORT = "xray-tui-report.txt"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], what: str) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help=what,
        description="Check this server: driver, torch, engine, disks, limits, and what happens to jobs at logout. "
        "Changes nothing. The exit status is 1 if a check is bad.",
        allow_abbrev=False,
    )
    add_runs(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list of objects")
    parser.add_argument(
        "--report",
        nargs="?",
        const=REPORT,
        metavar="FILE",
        help=f"write a bug report without secrets to FILE (default: {REPORT}; - for standard output)",
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    from xray_tui.doctor.checks.settings import judge_settings
    from xray_tui.doctor.context import Context
    from xray_tui.doctor.report import Mark, as_json, as_lines
    from xray_tui.doctor.run_checks import run_checks
    from xray_tui.settings import load_settings, runs_folder

    settings, problems = load_settings()
    context = Context(runs_folder(options.runs, settings).absolute(), settings)
    if options.report is not None:
        return _report(options.report, context, problems)
    findings = []
    for finding in (*judge_settings(problems), *run_checks(context)):
        findings.append(finding)
        if not options.json:
            _print("\n".join(as_lines([finding])))
    if options.json:
        import json

        _print(json.dumps([as_json(finding) for finding in findings], indent=2, ensure_ascii=False))
    return Exit.OTHER if any(finding.mark is Mark.BAD for finding in findings) else Exit.DONE


def _report(target: str, context: Context, problems: Sequence[str]) -> int:
    from engine.contract.files import write_whole
    from xray_tui.doctor.bug_report import report

    if target != "-":
        print("checking this server; this may take two minutes", file=sys.stderr)
    text = report(context, problems)
    if target == "-":
        _print(text.rstrip("\n"))
        return Exit.DONE
    try:
        write_whole(Path(target), text, 0o600)
    except (OSError, ValueError) as error:
        raise BadInput(f"{clean(target)}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    _print(f"{clean(target)}: written; read it before you send it: it names runs, folders and users")
    return Exit.DONE


def _print(text: str) -> None:
    """Print as UTF-8 in every locale, without buffering: some checks take long."""
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()

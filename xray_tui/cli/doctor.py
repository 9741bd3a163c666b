"""`xray-tui doctor`: checks the server: driver, torch, engine, disks, limits, and what happens to jobs at logout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.cli.common import print_utf8, write_file

if TYPE_CHECKING:
    from xray_tui.doctor.context import Context

REPORT = "xray-tui-report.txt"


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON list of objects")
    parser.add_argument(
        "--report",
        nargs="?",
        const=REPORT,
        metavar="FILE",
        help=f"write a bug report without secrets to FILE (default: {REPORT}; - for standard output)",
    )
    parser.set_defaults(func=_doctor)


def _doctor(options: argparse.Namespace) -> int:
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
            print_utf8("\n".join(as_lines([finding])))
    if options.json:
        print_utf8(json.dumps([as_json(finding) for finding in findings], indent=2, ensure_ascii=False))
    return Exit.OTHER if any(finding.mark is Mark.BAD for finding in findings) else Exit.DONE


def _report(target: str, context: Context, problems: Sequence[str]) -> int:
    from xray_tui.doctor.bug_report import report

    if target == "-":
        print_utf8(report(context, problems).rstrip("\n"))
        return Exit.DONE
    print("checking this server; this may take two minutes", file=sys.stderr)
    write_file(Path(target), report(context, problems), 0o600)
    print_utf8(f"{clean(target)}: written; read it before you send it: it names runs, folders and users")
    return Exit.DONE

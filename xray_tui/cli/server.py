"""`xray-tui status | doctor`: what has happened in the runs folder since the last visit, and checks of the server."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.cli.common import open_store, print_utf8, write_file

REPORT = "xray-tui-report.txt"


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    if command == "doctor":
        parser.set_defaults(func=_doctor)
        parser.add_argument("--json", action="store_true", help="print a JSON list of objects")
        report_help = f"write a bug report without secrets to FILE (default: {REPORT}; - for standard output)"
        parser.add_argument("--report", nargs="?", const=REPORT, metavar="FILE", help=report_help)
    else:
        parser.set_defaults(func=_status)
        since_help = "30m, 12h, 2d, or a date and time; default: your last use of the app or of status, else 24h ago"
        parser.add_argument("--since", metavar="TIME", help=since_help)
        json_help = "print JSON; does not count as a visit, so scripts can call it often"
        parser.add_argument("--json", action="store_true", help=json_help)


def _status(options: argparse.Namespace) -> int:
    from xray_tui.board.index import RunIndex
    from xray_tui.board.rank import rank
    from xray_tui.jobs.supervise.recovery import recover_orphans
    from xray_tui.status.last_visit import DAY, last_use, note_use, parse_since
    from xray_tui.status.report import as_json, build_report, lines
    from xray_tui.system.process import user

    store = open_store(options)
    now = time.time()
    since = parse_since(options.since, now) if options.since else last_use(store.runs, now) or now - DAY
    summary = build_report(recover_orphans(store), rank(RunIndex(store.runs).scan()), since, now)
    if options.json:
        print_utf8(json.dumps(as_json(summary), indent=2))
    else:
        text = "\n".join(lines(summary, me=user()))
        note_use(store.runs, now)
        print_utf8(text)
    return Exit.DONE


def _doctor(options: argparse.Namespace) -> int:
    from xray_tui.app.settings_problems import settings_problems
    from xray_tui.doctor.bug_report import report
    from xray_tui.doctor.checks.settings import judge_settings
    from xray_tui.doctor.findings import Context, Mark, as_json, as_lines
    from xray_tui.doctor.run_checks import run_checks
    from xray_tui.settings import load_settings, runs_folder

    settings, problems = load_settings()
    context = Context(runs_folder(options.runs, settings).absolute(), settings)
    problems += tuple(settings_problems(settings, context.runs))
    if options.report == "-":
        print_utf8(report(context, problems).rstrip("\n"))
        return Exit.DONE
    if options.report is not None:
        print("checking this server; this may take two minutes", file=sys.stderr)
        write_file(Path(options.report), report(context, problems), 0o600)
        print_utf8(f"{clean(options.report)}: written; read it before you send it: it names runs, folders and users")
        return Exit.DONE
    findings = []
    for finding in (*judge_settings(problems), *run_checks(context)):
        findings.append(finding)
        if not options.json:
            print_utf8("\n".join(as_lines([finding])))
    if options.json:
        print_utf8(json.dumps([as_json(finding) for finding in findings], indent=2, ensure_ascii=False))
    return Exit.OTHER if any(finding.mark is Mark.BAD for finding in findings) else Exit.DONE

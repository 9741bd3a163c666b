"""`xray-tui status`: what has happened in the runs folder since the last visit."""

from __future__ import annotations

import argparse
import sys
import time

from engine.contract.errors import Exit
from xray_tui.cli.store_options import add_runs, open_store


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], what: str) -> None:
    parser = subparsers.add_parser("status", help=what, description=what.capitalize() + ".", allow_abbrev=False)
    add_runs(parser)
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="30m, 12h, 2d, or a date and time; default: your last use of the app or of status, else 24h ago",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; does not count as a visit, so scripts can call it often"
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
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
        import json

        text = json.dumps(as_json(summary), indent=2)
    else:
        text = "\n".join(lines(summary, me=user()))
        note_use(store.runs, now)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")  # UTF-8 in every locale
    return Exit.DONE

"""`xray-tui status`: what has happened in the runs folder since the last visit."""

from __future__ import annotations

import argparse
import json
import time

from engine.contract.errors import Exit
from xray_tui.cli.common import open_store, print_utf8


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="30m, 12h, 2d, or a date and time; default: your last use of the app or of status, else 24h ago",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; does not count as a visit, so scripts can call it often"
    )
    parser.set_defaults(func=_status)


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

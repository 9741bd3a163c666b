"""`xray-tui about | clean`: how a run came to be, and what the runs folder takes on disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.cli.common import open_store, print_utf8

KINDS = ("caches", "checkpoints", "logs")


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.set_defaults(func=_about if command == "about" else _clean)
    if command == "about":
        parser.add_argument("run", metavar="RUN", help="the run's name, or its folder")
    else:
        parser.add_argument("kinds", nargs="*", choices=(*KINDS, []), metavar="KIND", help=f"{', '.join(KINDS)}")
        parser.add_argument("--dry-run", action="store_true", help="remove nothing; also without a KIND")
        parser.add_argument(
            "--older-than", type=float, default=30.0, metavar="DAYS", help="logs and last.pt; default 30"
        )


def _about(options: argparse.Namespace) -> int:
    from xray_tui.status.about import about_lines

    store = open_store(options)
    given, runs = Path(options.run), store.runs.absolute()
    run = str(given.absolute().relative_to(runs)) if given.absolute().is_relative_to(runs) else options.run
    print_utf8("\n".join(about_lines(store.runs, run, store.jobs())))
    return Exit.DONE


def _clean(options: argparse.Namespace) -> int:
    from xray_tui.status.disk_use import lines, removables, remove

    store = open_store(options)
    kinds = options.kinds or KINDS
    found = [each for each in removables(store.runs, store.jobs(), options.older_than) if each.kind in kinds]
    print_utf8("\n".join(lines(found) or ["nothing to remove"]))
    if options.dry_run or not options.kinds:
        print_utf8(f"nothing was removed; `xray-tui clean {' '.join(kinds)}` removes these")
        return Exit.DONE
    failed = 0
    for each in found:
        try:
            remove(each)
        except OSError as error:
            failed += 1
            print(f"xray-tui: {clean(str(each.path))}: {error.strerror or error}", file=sys.stderr)
    print_utf8(f"{len(found) - failed} removed")
    return Exit.OTHER if failed else Exit.DONE

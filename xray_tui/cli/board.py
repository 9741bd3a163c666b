"""`xray-tui export | ls | check`: the board as a file or as plain text, and its unranked artifacts."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from xray_tui.cli.common import find_runs, print_utf8, write_file

if TYPE_CHECKING:
    from xray_tui.board.exports.html import Curves
    from xray_tui.board.model import Board
    from xray_tui.board.values import Scalar, Values


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.set_defaults(func={"export": _export, "ls": _list, "check": _check}[command])
    if command != "check":
        parser.add_argument("--filter", default="", metavar="TERMS", help="only runs like 'dice_pos>0.3 tta=hv'")
    if command == "ls":
        parser.add_argument("--columns", metavar="KEY,…", help="metrics or config keys; default: those of the board")
    if command == "export":
        formats = ("markdown", "csv", "json", "html", "latex")
        parser.add_argument("--format", choices=formats, default="markdown", help="default: markdown")
        parser.add_argument(
            "--output",
            metavar="FILE",
            help="output file, - for standard output; default: LEADERBOARD.md (.csv, …) beside the runs folder",
        )
        parser.add_argument("--generated", metavar="STAMP", help="the time stamp in the file; default: now")
        what = "keep a file that differs only in its time stamp and GPU status"
        parser.add_argument("--if-changed", action="store_true", help=what)
        parser.add_argument("--watch", action="store_true", help="write the file again after each change, until Ctrl+C")


def _export(options: argparse.Namespace) -> int:
    runs = find_runs(options)
    if options.watch and options.output == "-":
        raise BadInput("--watch writes a file again and again; expected --output FILE, got -")
    if not options.watch:
        return _write(options, _board(runs))
    from xray_tui.feeds.board_feed import BoardFeed

    boards: SimpleQueue[Board] = SimpleQueue()
    feed = BoardFeed(runs)
    feed.connect(boards.put, lambda line: print(f"xray-tui: {line}" * bool(line), file=sys.stderr), lambda reason: None)
    feed.start()
    feed.watch()
    print(f"Watching {clean(str(runs))}; Ctrl+C ends", flush=True)
    while True:
        _write(options, boards.get())


def _write(options: argparse.Namespace, board: Board) -> int:
    """Export the board once."""
    from xray_tui.board.exports.formats import default_path, exported, is_same

    runs = board.runs
    stamp = f"{datetime.now():%Y-%m-%d %H:%M:%S}" if options.generated is None else options.generated
    if options.filter:
        shown, total = _filtered(board, options.filter)[0], len(board.rows)
        remark = f"Only runs that match `{clean(options.filter)}`: {len(shown.rows)} of {total}."
        board = replace(shown, rules=replace(board.rules, remarks=(*board.rules.remarks, remark)))
    status = [] if options.format in ("csv", "latex") else _gpu_status(runs)
    text = exported(board, options.format, status, stamp, _curves(board) if options.format == "html" else {})
    if options.output == "-":
        sys.stdout.buffer.write(text.encode("utf-8"))
        return Exit.DONE
    target = Path(options.output) if options.output else default_path(runs, options.format)
    if (options.watch or options.if_changed) and is_same(target, text):
        print(f"{clean(str(target))}: unchanged", flush=True)
        return Exit.DONE
    write_file(target, text)
    ranked, unranked = len(board.rows), len(board.set_aside)
    artifacts = "artifact" if unranked == 1 else "artifacts"
    runs_ranked = f"{ranked} {'run' if ranked == 1 else 'runs'} ranked"
    print(f"{clean(str(target))}: {runs_ranked}, {unranked} {artifacts} unranked", flush=True)
    return Exit.DONE


def _curves(board: Board) -> Curves:
    """The validation curves of the board's trainings."""
    from engine.contract.events import parse_events
    from engine.contract.names import EVENTS
    from xray_tui.board.analysis import read_text
    from xray_tui.logs.curve_reader import CurveReader

    curves = {}
    for row in board.rows:
        reader = CurveReader()
        reader.add(parse_events(read_text(board.runs, f"{row.run}/{EVENTS}") or ""))
        curves[row.run] = (reader.metric, reader.curve().validation)
    return curves


def _list(options: argparse.Namespace) -> int:
    board, values = _filtered(_board(find_runs(options)), options.filter, options.columns)
    columns = [
        "rank",
        "run",
        *(options.columns.split(",") if options.columns else (*board.rules.columns, "threshold", "tta")),
    ]
    lookups = [values.lookup(column) for column in columns]
    table = [columns, *([_cell(lookup(row)) for lookup in lookups] for row in board.rows)]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    for line in table:
        print_utf8("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return Exit.DONE


def _cell(values: tuple[Scalar, ...]) -> str:
    return ",".join(f"{value:.6g}" if isinstance(value, float) else clean(value) for value in values) or "-"


def _board(runs: Path) -> Board:
    """The board of the folder. Its problems are printed on standard error."""
    from xray_tui.board.index import RunIndex
    from xray_tui.board.rank import rank

    board = rank(RunIndex(runs).scan())
    for line in board.problems:
        print(f"xray-tui: {line}", file=sys.stderr)
    return board


def _filtered(board: Board, terms: str, columns: str | None = None) -> tuple[Board, Values]:
    """The board with only the rows that match, and their values. Reads the runs' configs only if a key needs them.

    Raises BadInput for a malformed filter, and for a key that no run has.
    """
    from xray_tui.board.filters import keys_of, matcher, parse_filter
    from xray_tui.board.values import Values, read_values

    parsed = parse_filter(terms)
    keys = [*keys_of(parsed), *(columns.split(",") if columns else ())]
    values = Values(board.rules)
    if any(map(values.needs_files, keys)):
        values = Values(board.rules, {row.run: read_values(board.runs, row.run) for row in board.rows})
    values.check(keys, board.rows)
    return replace(board, rows=tuple(filter(matcher(parsed, values.lookup), board.rows))), values


def _gpu_status(runs: Path) -> list[str]:
    """The bullets of the GPU section, with the runs that use each GPU."""
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    snapshot = sample_once()
    jobs = []
    with suppress(OSError):  # without a readable jobs folder, the environment of a process still names its run
        jobs = JobStore(runs).jobs()
    owners_by_pid = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    return sentences(snapshot, {pid: owner.run for pid, owner in owners_by_pid.items()}, runs_by_gpu(jobs))


def _check(options: argparse.Namespace) -> int:
    from xray_tui.board.check import check_lines
    from xray_tui.board.index import RunIndex

    snapshot = RunIndex(find_runs(options)).scan()
    for line in check_lines(snapshot):
        print_utf8(line)
    if snapshot.rejected:
        return Exit.OTHER
    count = len(snapshot.artifacts)
    print_utf8(f"{count} {'artifact' if count == 1 else 'artifacts'}, none unranked")
    return Exit.DONE

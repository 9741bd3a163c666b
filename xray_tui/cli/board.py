"""`xray-tui export | check`: the board as a file, and its unranked artifacts."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.cli.common import find_runs, print_utf8, write_file


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.set_defaults(func=_export if command == "export" else _check)
    if command == "export":
        formats = ("markdown", "csv", "json")
        parser.add_argument("--format", choices=formats, default="markdown", help="default: markdown")
        parser.add_argument(
            "--output",
            metavar="FILE",
            help="output file, - for standard output; default: LEADERBOARD.md (.csv, .json) beside the runs folder",
        )
        parser.add_argument("--generated", metavar="STAMP", help="the time stamp in the file; default: now")


def _export(options: argparse.Namespace) -> int:
    from xray_tui.board.export import default_path, to_csv, to_json, to_markdown
    from xray_tui.board.index import RunIndex
    from xray_tui.board.rank import rank

    runs = find_runs(options)
    stamp = f"{datetime.now():%Y-%m-%d %H:%M:%S}" if options.generated is None else options.generated
    board = rank(RunIndex(runs).scan())
    for line in board.problems:
        print(f"xray-tui: {line}", file=sys.stderr)
    if options.format == "csv":
        text = to_csv(board)
    else:
        text = (to_markdown if options.format == "markdown" else to_json)(board, _gpu_status(runs), stamp)
    if options.output == "-":
        sys.stdout.buffer.write(text.encode("utf-8"))
        return Exit.DONE
    target = Path(options.output) if options.output else default_path(runs, options.format)
    write_file(target, text)
    ranked, unranked = len(board.rows), len(board.set_aside)
    artifacts = "artifact" if unranked == 1 else "artifacts"
    print(f"{clean(str(target))}: {ranked} {'run' if ranked == 1 else 'runs'} ranked, {unranked} {artifacts} unranked")
    return Exit.DONE


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

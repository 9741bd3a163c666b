"""The command `xray-tui`: parses arguments. Each command imports its modules late, so that the app starts fast."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from engine import __version__
from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from xray_tui.cli.store_options import add_runs

BOARD_COMMANDS = {
    "export": "write the board as Markdown, CSV or JSON",
    "check": "list every unranked artifact with its reason",
}
JOB_COMMANDS = {
    "launch": "submit a training, an evaluation, a blend or any command as a detached job",
    "jobs": "list the jobs of a runs folder",
    "logs": "print a job's log",
    "stop": "stop a job",
    "wait": "wait until jobs have ended",
    "hold": "keep waiting jobs out of the queue",
    "release": "release held or blocked jobs",
    "move": "move a job in the queue",
    "resume": "continue trainings that were stopped, failed or are lost",
    "revive": "after a restart of the machine, queue the lost jobs again",
}
SERVER_COMMANDS = {
    "status": "show ended, running and waiting jobs, and new results, since your last visit",
    "doctor": "check this server and its effects on your jobs, each problem with a remedy",
}
COMMANDS = BOARD_COMMANDS | JOB_COMMANDS | SERVER_COMMANDS
"""Command names with their help, listed here so that `xray-tui RUNS` imports no command."""

FORMATS = ("markdown", "csv", "json")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `xray-tui` with these arguments (default: sys.argv); returns the exit status."""
    argv = sys.argv[1:] if arguments is None else list(arguments)
    parser = _command_parser(argv[0]) if argv and argv[0] in COMMANDS else _app_parser()
    options = parser.parse_args(argv)
    try:
        status = int(options.func(options))
        sys.stdout.flush()
        return status
    except BadInput as error:
        for line in error.lines:
            print(f"xray-tui: {line}", file=sys.stderr)
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # standard output is full or closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its exit
        if not isinstance(error, BrokenPipeError):
            where = f"{error.filename}: " if error.filename else ""
            print(f"xray-tui: {clean(where + (error.strerror or str(error)))}", file=sys.stderr)
        return Exit.OTHER


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without control characters from the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.BAD_INPUT, f"{self.prog}: {clean(message)}; see {self.prog} --help\n")


def _app_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = _Parser(
        prog="xray-tui",
        usage="xray-tui [RUNS] | xray-tui COMMAND [--help] …",
        description="Open the app on a runs folder (default: the settings' runs_dir, else ./runs).",
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {what}\n" for name, what in COMMANDS.items())
        + "\nFor a folder with the name of a command, add ./ as in ./export",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="?", type=Path, metavar="RUNS", help="the runs folder")
    parser.add_argument("--version", action="version", version=f"xray-tui {__version__}")
    parser.set_defaults(func=_open_app)
    return parser


def _command_parser(command: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="xray-tui")
    subparsers = parser.add_subparsers(required=True)
    if command in JOB_COMMANDS:
        from xray_tui.cli.jobs import add_parsers

        add_parsers(subparsers)
        return parser
    if command == "status":
        from xray_tui.cli.status import add_parser as add_status

        add_status(subparsers, SERVER_COMMANDS[command])
        return parser
    if command == "doctor":
        from xray_tui.cli.doctor import add_parser as add_doctor

        add_doctor(subparsers, SERVER_COMMANDS[command])
        return parser
    export = subparsers.add_parser("export", help=BOARD_COMMANDS["export"], description=BOARD_COMMANDS["export"])
    add_runs(export)
    export.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    export.add_argument(
        "--output",
        metavar="FILE",
        help="output file, - for standard output; default: LEADERBOARD.md (.csv, .json) beside the runs folder",
    )
    export.add_argument("--generated", metavar="STAMP", help="the time stamp in the file; default: now")
    export.set_defaults(func=_export)
    check = subparsers.add_parser("check", help=BOARD_COMMANDS["check"], description=BOARD_COMMANDS["check"])
    add_runs(check)
    check.set_defaults(func=_check)
    return parser


def find_runs(options: argparse.Namespace) -> Path:
    """The runs folder: --runs, else the settings' `runs_dir`, else ./runs. Raises BadInput in one line."""
    from xray_tui.settings import runs_folder, settings_for

    return require_folder(options.runs or runs_folder(None, settings_for(options)))


def require_folder(folder: Path, commands: Iterable[str] = ()) -> Path:
    """Return `folder`. Raises BadInput if it is not a readable folder; the message may suggest one of `commands`."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        from difflib import get_close_matches

        close = get_close_matches(str(folder), commands, n=1)
        hint = (
            f"did you mean the command {close[0]}?" if close else "give a runs folder, or set runs_dir in the settings"
        )
        raise BadInput(f"{clean(str(folder))}: {error.strerror or error}; {hint}") from None
    except ValueError:
        raise BadInput(f"{clean(str(folder))}: invalid name; expected a runs folder") from None
    return folder


def _open_app(options: argparse.Namespace) -> int:
    runs = None if options.runs is None else require_folder(options.runs, COMMANDS)
    from xray_tui.app.start import run_app

    return int(run_app(runs))


def _export(options: argparse.Namespace) -> int:
    from datetime import datetime

    from xray_tui.board.export import default_path, to_csv, to_json, to_markdown
    from xray_tui.board.index import RunIndex
    from xray_tui.board.rank import rank

    runs = find_runs(options)
    stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S") if options.generated is None else options.generated
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
    write_export(target, text)
    ranked, unranked = len(board.rows), len(board.set_aside)
    artifacts = "artifact" if unranked == 1 else "artifacts"
    print(f"{clean(str(target))}: {ranked} {'run' if ranked == 1 else 'runs'} ranked, {unranked} {artifacts} unranked")
    return Exit.DONE


def write_export(target: Path, text: str) -> None:
    """Write an export file completely or not at all. Raises BadInput."""
    from engine.contract.files import write_whole

    try:
        write_whole(target, text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{clean(str(target))}: cannot be written: {reason}") from None


def _gpu_status(runs: Path) -> list[str]:
    """The bullets of the GPU section, with the runs that use each GPU."""
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once

    snapshot = sample_once()
    if not snapshot.gpus:
        return sentences(snapshot)
    from contextlib import suppress

    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    jobs = []
    with suppress(OSError):  # without a readable jobs folder, the environment of a process still names its run
        jobs = JobStore(runs).jobs()
    owners_by_pid = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    return sentences(snapshot, {pid: owner.run for pid, owner in owners_by_pid.items()}, runs_by_gpu(jobs))


def _check(options: argparse.Namespace) -> int:
    from xray_tui.board.check import problem_lines, stray_lines
    from xray_tui.board.index import RunIndex

    snapshot = RunIndex(find_runs(options)).scan()
    for line in [*problem_lines(snapshot), *stray_lines(snapshot)]:
        print_safe(line)
    if snapshot.rejected:
        return Exit.OTHER
    count = len(snapshot.artifacts)
    print_safe(f"{count} {'artifact' if count == 1 else 'artifacts'}, none unranked")
    return Exit.DONE


def print_safe(line: str) -> None:
    """Print a line as UTF-8 in every locale: with LANG=C, print would raise on a name with an umlaut."""
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    sys.exit(main())

"""The command `xray-tui`: arguments only; each command imports what it needs, so that the app starts at once."""

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

BOARD_COMMANDS = {
    "export": "write the board as Markdown, CSV or JSON",
    "check": "name every artifact that does not rank, with its reason",
}
JOB_COMMANDS = {
    "launch": "start a training, an evaluation, a blend or any command, detached",
    "jobs": "list the jobs of a runs folder",
    "logs": "print a job's log",
    "stop": "stop a job",
    "wait": "wait until jobs have ended",
    "hold": "keep waiting jobs out of the queue",
    "release": "let held or blocked jobs go on",
    "move": "give a queued job another place",
    "resume": "go on with trainings that were stopped, have failed or are lost",
    "revive": "after a restart of the machine: queue again what was lost to it",
}
SERVER_COMMANDS = {
    "status": "tell what has ended, runs, waits and is new on the board since you last looked",
    "doctor": "look at what this server gives you and does to your jobs, each line with a remedy",
}
COMMANDS = BOARD_COMMANDS | JOB_COMMANDS | SERVER_COMMANDS
"""Known here by name, so that `xray-tui RUNS` need not import their rooms."""

FORMATS = ("markdown", "csv", "json")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `xray-tui` with these arguments (default: the process's); returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _command_parser(given[0]) if given and given[0] in COMMANDS else _app_parser()
    options = parser.parse_args(given)
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
    except OSError as error:  # what we print to is full, or its reader has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the interpreter print at its end
        if not isinstance(error, BrokenPipeError):
            where = f"{error.filename}: " if error.filename else ""
            print(f"xray-tui: {clean(where + (error.strerror or str(error)))}", file=sys.stderr)
        return Exit.OTHER


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and with no control character from the command line in it."""

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
        + "\nA folder that is named like a command: ./export",
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
    _add_runs(export)
    export.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    export.add_argument(
        "--output",
        metavar="FILE",
        help="- for the screen; default: LEADERBOARD.md (.csv, .json) beside the runs folder",
    )
    export.add_argument("--generated", metavar="STAMP", help="the time stamp in the file; default: now")
    export.set_defaults(func=_export)
    check = subparsers.add_parser("check", help=BOARD_COMMANDS["check"], description=BOARD_COMMANDS["check"])
    _add_runs(check)
    check.set_defaults(func=_check)
    return parser


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="the runs folder; default: the settings' runs_dir, else ./runs"
    )


def find_runs(options: argparse.Namespace) -> Path:
    """The runs folder: --runs, else the settings' `runs_dir`, else ./runs. Raises BadInput in one line."""
    from xray_tui.settings import runs_folder, settings_for

    return require_folder(options.runs or runs_folder(None, settings_for(options)))


def require_folder(folder: Path, commands: Iterable[str] = ()) -> Path:
    """The folder itself. Raises BadInput in one line where it is none; it may be a mistyped one of the commands."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        from difflib import get_close_matches

        meant = get_close_matches(str(folder), commands, n=1)
        hint = (
            f"did you mean the command {meant[0]}?" if meant else "give a runs folder, or set runs_dir in the settings"
        )
        raise BadInput(f"{clean(str(folder))}: {error.strerror or error}; {hint}") from None
    except ValueError:
        raise BadInput(f"{clean(str(folder))}: no folder can have that name") from None
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
    ranked, aside = len(board.rows), len(board.set_aside)
    print(f"{clean(str(target))}: {ranked} {'run' if ranked == 1 else 'runs'} ranked, {aside} set aside")
    return Exit.DONE


def write_export(target: Path, text: str) -> None:
    """Write an export whole or not at all. Raises BadInput in one line."""
    from engine.contract.files import write_whole

    try:
        write_whole(target, text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{clean(str(target))}: cannot be written: {reason}") from None


def _gpu_status(runs: Path) -> list[str]:
    """The bullets of the GPU section, with the names of the runs that work on each GPU."""
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once

    snapshot = sample_once()
    if not snapshot.gpus:
        return sentences(snapshot)
    from contextlib import suppress

    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    jobs = []
    with suppress(OSError):  # a jobs folder that cannot be read: a process still carries its run's mark
        jobs = JobStore(runs).jobs()
    whose = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    return sentences(snapshot, {pid: owner.run for pid, owner in whose.items()}, runs_by_gpu(jobs))


def _check(options: argparse.Namespace) -> int:
    from xray_tui.board.check import problem_lines, stray_lines
    from xray_tui.board.index import RunIndex

    snapshot = RunIndex(find_runs(options)).scan()
    for line in [*problem_lines(snapshot), *stray_lines(snapshot)]:
        print_safe(line)
    if snapshot.rejected:
        return Exit.OTHER
    count = len(snapshot.artifacts)
    print_safe(f"{count} {'artifact' if count == 1 else 'artifacts'}, each of them comparable")
    return Exit.DONE


def print_safe(line: str) -> None:
    """Print a line as UTF-8 whatever the locale says: under LANG=C a name with an umlaut would raise."""
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    sys.exit(main())

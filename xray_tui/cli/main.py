"""Parses the arguments of `xray-tui`. Each command imports its modules late, so that the app starts fast."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from engine import __version__
from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from xray_tui.cli.common import add_runs, require_folder

MODULES = {
    "board": {
        "export": "write the board as Markdown, CSV or JSON",
        "ls": "list the runs of the board as plain text",
        "check": "list every unranked artifact, with exit status 1 if there is one",
    },
    "launch": {"launch": "submit a training, an evaluation, a blend or a command as a job"},
    "jobs": {
        "jobs": "list the jobs of a runs folder, newest first",
        "logs": "print a job's log",
        "wait": "wait until jobs have ended, with exit status 0 if all succeeded",
    },
    "queue": {
        "stop": "stop jobs with SIGTERM, and with SIGKILL after a grace period",
        "hold": "keep waiting jobs out of the queue until they are released",
        "release": "release held jobs, and blocked jobs despite their dependency",
        "move": "move a job in the queue",
        "resume": "continue trainings that were stopped, failed or are lost",
        "revive": "after a reboot, queue waiting jobs again and resume trainings",
    },
    "runs": {
        "about": "show how a run came to be, and how to make it again",
        "clean": "list what caches, old checkpoints and logs take, and remove them by kind",
    },
    "server": {
        "status": "show what ended, runs and waits, and results since your last visit",
        "doctor": "check this server, changing nothing; exit status 1 if a check is bad",
    },
}
"""Commands and their help by module, listed here so that `xray-tui RUNS` imports no command. `add_options` of a module
declares the options of a command and its function `func`, which returns the exit status and may raise BadInput."""

COMMANDS = {name: text for commands in MODULES.values() for name, text in commands.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `xray-tui` with these arguments (default: sys.argv); returns the exit status."""
    argv = sys.argv[1:] if arguments is None else list(arguments)
    command = argv[0] if argv and argv[0] in COMMANDS else None
    # argparse cannot take all words after `--` unparsed: a positional with "*" matches nothing if an option follows.
    at = argv.index("--") if command == "launch" and "--" in argv else len(argv)
    if command is None and argv and not os.path.lexists(argv[0]) and (close := _nearest(argv[0])):
        print(
            f"xray-tui: {clean(argv[0])}: No such file or directory; did you mean the command {close}?", file=sys.stderr
        )
        return Exit.BAD_INPUT
    options = _app_parser().parse_args(argv) if command is None else _command_parser(command).parse_args(argv[1:at])
    options.arguments = argv[at + 1 :]
    try:
        status = int(options.func(options))
        sys.stdout.flush()
        return status
    except BadInput as error:
        for line in error.lines:
            print(f"xray-tui: {line}", file=sys.stderr)
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # standard output is full or closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # because the interpreter flushes it at exit
        if not isinstance(error, BrokenPipeError):
            where = f"{error.filename}: " if error.filename else ""
            print(f"xray-tui: {clean(where + (error.strerror or str(error)))}", file=sys.stderr)
        return Exit.OTHER


def _nearest(word: str) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, COMMANDS, n=1)), None)


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
        + "".join(f"  {name:{width}}  {text}\n" for name, text in COMMANDS.items())
        + "\nFor a folder with the name of a command, add ./ as in ./export",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="?", type=Path, metavar="RUNS", help="the runs folder")
    parser.add_argument("--version", action="version", version=f"xray-tui {__version__}")
    parser.set_defaults(func=_open_app)
    return parser


def _command_parser(command: str) -> argparse.ArgumentParser:
    text = COMMANDS[command]
    parser = _Parser(prog=f"xray-tui {command}", description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    add_runs(parser)
    module = next(name for name, commands in MODULES.items() if command in commands)
    import_module(f"xray_tui.cli.{module}").add_options(parser, command)
    return parser


def _open_app(options: argparse.Namespace) -> int:
    runs = None if options.runs is None else require_folder(options.runs)
    from xray_tui.app.start import run_app

    return int(run_app(runs))


if __name__ == "__main__":
    sys.exit(main())

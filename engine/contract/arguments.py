"""The options of `xray-engine train | evaluate | blend`, for the engine's command line and for the app."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from engine.contract import names
from engine.contract.text import clean

Command = Callable[[argparse.Namespace], None]
Add = Callable[[str, Command, str], argparse.ArgumentParser]
"""Adds a command by its name, function and purpose, and returns its parser."""


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a recipe, by path or name; --resume uses the run's own config"
    )
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/ and the config's name"
    )
    _add_set(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    parser.add_argument("--sanity", action="store_true", help="check that one batch can be overfitted; no run")
    parser.add_argument(
        "--gpus", type=whole(1, 64), metavar="N", help="number of GPUs; default: all of the job's, or 1"
    )
    _add_allow_overlap(parser, "the run that training.init_from names")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=names.run_folder, required=True, metavar="runs/NAME")
    parser.add_argument(
        "--tta", choices=get_args(names.Tta), default="auto",
        help="views to average; auto (default): the image and the flips of the training",
    )  # fmt: skip
    parser.add_argument("--threshold", default="tuned", metavar="0.25|tuned", help="tuned: on validation (default)")
    parser.add_argument(
        "--presence", choices=get_args(names.Presence), default="auto",
        help="source of the presence score; auto: the second head, else the best on validation",
    )  # fmt: skip
    parser.add_argument(
        "--gate", default="none", metavar="none|0.3|tuned", help="empty masks below this presence score"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--batch-size", type=whole(1, 4096), default=16, metavar="N")
    parser.add_argument("--bootstrap", type=whole(0, 100_000), default=1000, metavar="N", help="resamples; 0: none")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="the run's manifest if moved; with --output: an external test set"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the artifact of an external test set")
    _add_allow_overlap(parser, "the run")


def _add_blend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", nargs="+", metavar="runs/NAME", help="two runs or more, or one and presence_run")
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/blend_ and their names"
    )
    parser.add_argument("--tta", choices=get_args(names.Tta), help="default: auto, the members' common flips")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a config of kind: blend")
    _add_set(parser, "presence_run=runs/NAME")
    _add_allow_overlap(parser, "a member")


ADD_OPTIONS = {"train": _add_train, "evaluate": _add_evaluate, "blend": _add_blend}
"""By command, the function that adds its options to a parser."""


def with_hint(message: str) -> str:
    """argparse's error message, with the nearest command, or how --set is repeated."""
    if (choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)) is not None:
        close = get_close_matches(choice[1], re.findall(r"[\w-]+", choice[2]), n=1)
        return f"{message}; did you mean {close[0]}?" if close else message
    if message.startswith("unrecognized arguments: ") and "=" in message and " -" not in message:
        return f"{message}; repeat --set, as in --set seed=1 --set training.lr=1e-3"
    return message


def _add_set(parser: argparse.ArgumentParser, example: str = "training.epochs=3") -> None:
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=f"for example {example}"
    )


def _add_allow_overlap(parser: argparse.ArgumentParser, trained: str) -> None:
    what = f"go on where {trained} was trained on validation or test images; the artifacts are not ranked"
    parser.add_argument("--allow-overlap", action="store_true", help=what)


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: a whole number from low to high."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{clean(text)!r}: expected a whole number from {low} to {high}")
        return value

    return parse

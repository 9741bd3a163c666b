"""xray-engine: argparse only; each command imports what it needs, so that --help and bad arguments answer at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeAlias, get_args

from engine import __version__
from engine.contract import names
from engine.contract.errors import BadInput, Exit, Stopped
from engine.contract.text import clean
from engine.process.exit import flush_output, give_up, record_end, run_command
from engine.process.progress import show_title

Command = Callable[[argparse.Namespace], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without a control character from the command line in it."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.BAD_INPUT, f"{self.prog}: {clean(message)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (engine.contract.errors.Exit)."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return Exit.BAD_INPUT
    _keep_leases()
    signal.signal(signal.SIGTERM, _stop)
    show_title("starting")
    status, cause = run_command(partial(given.run_command, given))
    record_end(status, cause)
    flush_output()
    return status


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(
        prog="xray-engine",
        description="Train, evaluate and blend X-ray fracture segmentation.",
        epilog="Exit status: 0 done, 2 bad input, 3 stopped, 4 out of memory, 5 no space left, 1 anything else.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"xray-engine {__version__}")
    commands: Commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_synth(commands)
    _add_prepare(commands)
    _add_recipes(commands)
    _add_train(commands)
    _add_average(commands)
    _add_evaluate(commands)
    _add_blend(commands)
    _add_nnunet(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.set_defaults(run_command=run)
    return parser


def _add_synth(commands: Commands) -> None:
    parser = _add(commands, "synth", _synth, "Make a small set of synthetic radiographs with a manifest.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=_whole(20, 100_000), default=200, metavar="N", help="from 20 on (default 200)")
    parser.add_argument("--size", type=_whole(32, 4096), default=128, metavar="PX", help="side in pixels (default 128)")
    parser.add_argument("--seed", type=_whole(0, 2**32 - 1), default=42, metavar="S")


def _add_prepare(commands: Commands) -> None:
    parser = _add(commands, "prepare", _prepare, "Turn images and masks, a CSV, or FracAtlas into DIR/manifest.csv.")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a folder, a CSV manifest, or FracAtlas")
    parser.add_argument("--format", choices=("auto", "folder", "csv", "fracatlas"), default="auto")
    parser.add_argument("--split", type=Path, metavar="FILE", help="CSV with image_id (or id) and split; else made")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--trust", choices=("mask", "label"), default="mask", help="which one counts where they contradict (mask)"
    )
    parser.add_argument("--seed", type=_whole(0, 2**32 - 1), default=42, metavar="S", help="of the split that is made")


def _add_recipes(commands: Commands) -> None:
    parser = _add(commands, "recipes", _recipes, "List the recipes: what each is, its size, what it needs.")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="look beside this folder too")


def _add_train(commands: Commands) -> None:
    parser = _add(commands, "train", _train, "Train a recipe into a run folder.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a recipe; with --resume the run's own is taken")
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/ and the config's name"
    )
    _add_set(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    parser.add_argument(
        "--sanity", action="store_true", help="only see whether one batch can be learnt by heart; writes no run"
    )
    parser.add_argument(
        "--gpus", type=_whole(1, 64), metavar="N", help="train on N GPUs; default: all of the job's, or 1"
    )


def _add_average(commands: Commands) -> None:
    what = "Make a run of the mean of a run's best checkpoints (training.keep_best)."
    parser = _add(commands, "average", _average, what)
    parser.add_argument("--run", type=names.run_folder, required=True, metavar="runs/NAME")
    parser.add_argument("--best", type=_whole(2, 50), metavar="K", help="how many; default: all that were kept")
    parser.add_argument("--output", type=names.run_folder, required=True, metavar="runs/NAME_mean")


def _add_evaluate(commands: Commands) -> None:
    parser = _add(commands, "evaluate", _evaluate, "Score a run on the test split; every choice is made on validation.")
    parser.add_argument("--run", type=names.run_folder, required=True, metavar="runs/NAME")
    parser.add_argument("--tta", choices=get_args(names.Tta), default="hv")
    parser.add_argument("--threshold", default="tuned", metavar="0.25|tuned", help="tuned: on validation (default)")
    parser.add_argument(
        "--presence", choices=get_args(names.Presence), default="auto",
        help="source of the presence score; auto: the second head, else the best on validation",
    )  # fmt: skip
    parser.add_argument("--gate", default="none", metavar="none|0.3|tuned", help="empty masks under this score")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--batch-size", type=_whole(1, 4096), default=16, metavar="N")
    parser.add_argument("--bootstrap", type=_whole(0, 100_000), default=1000, metavar="N", help="resamples; 0: none")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="new place of the run's data; with --output an external test set"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the artifact of an external test set")


def _add_blend(commands: Commands) -> None:
    parser = _add(commands, "blend", _blend, "Blend runs: weights, threshold and presence chosen on validation.")
    parser.add_argument(
        "--members", nargs="+", metavar="runs/NAME", help="two run folders or more; or one and presence_run"
    )
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/blend_ and the members' names"
    )
    parser.add_argument("--tta", choices=get_args(names.Tta), help="default: hv")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a config of kind: blend")
    _add_set(parser, "presence_run=runs/NAME")


def _add_nnunet(commands: Commands) -> None:
    from engine.cli_nnunet import add_commands

    add_commands(commands.add_parser("nnunet", help="Train and score nnU-Net on our data (extra: nnunet)."))


def _add_set(parser: argparse.ArgumentParser, example: str = "training.epochs=3") -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help=f"for example {example}",
    )


def _synth(given: argparse.Namespace) -> None:
    from engine.data.synthetic import make_synthetic
    from engine.process.progress import showing

    with showing("synth", "images") as progress:
        manifest = make_synthetic(given.output, given.images, given.size, given.seed, progress)
    print(f"{given.images} synthetic radiographs: {clean(str(manifest))}")


def _prepare(given: argparse.Namespace) -> None:
    from engine.data.prepare import lines, prepare
    from engine.process.progress import showing

    with showing("prepare", "images") as progress:
        prepared = prepare(
            given.source,
            given.output,
            format=given.format,
            split=given.split,
            trust=given.trust,
            seed=given.seed,
            progress=progress,
        )
    print("\n".join(lines(prepared)))


def _recipes(given: argparse.Namespace) -> None:
    from engine.contract.load import problem_of
    from engine.contract.recipes import find_recipes, recipe_folders

    recipes = find_recipes(recipe_folders(given.runs))
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        problem = recipe.problem or problem_of(recipe.path)
        print(f"{recipe.name:{width}}  {recipe.kind:10}  {problem or recipe.description}")
        if recipe.facts and not problem:
            print(f"{'':{width}}  {'':10}  {recipe.facts}")
    if not recipes:
        raise BadInput("no configs/*.yaml here, beside the runs folder, or in the installed package")


def _train(given: argparse.Namespace) -> None:
    from engine import cli_nnunet as nnunet

    if nnunet.is_asked_for(given):
        nnunet.train(given)
        return
    from engine.training import followers
    from engine.training.run import learn_config, prepare_run, trained_by_us

    if followers.is_follower():
        followers.follow()
        return
    if given.sanity:
        _check_sanity(given)
        return
    config, run = prepare_run(learn_config, given.config, given.overrides, given.run, given.resume)
    with trained_by_us(run), followers.followed(followers.count(given.gpus), give_up):
        _say_loading(f"train {run}")
        from engine.training.loop import train

        train(config, run, resume=given.resume)


def _check_sanity(given: argparse.Namespace) -> None:
    from engine.data.moved import check_manifest
    from engine.training.run import learn_config

    if given.resume or (given.config is None) == (given.run is None):
        raise BadInput("--sanity: give --config FILE, or --run FOLDER for the config of a run, and no --resume")
    config = learn_config(given.config or given.run / names.CONFIG, given.overrides)
    if given.run is not None:
        check_manifest(given.run, config.data.manifest)
    _say_loading("train --sanity")
    from engine.training.sanity import check_sanity

    check_sanity(config)


def _average(given: argparse.Namespace) -> None:
    _say_loading(f"average {given.run}")
    from engine.training.average import average

    average(given.run, given.output, given.best)


def _evaluate(given: argparse.Namespace) -> None:
    from engine.contract.config import EvaluateOptions
    from engine.contract.load import validate

    if given.output is not None and given.manifest is None:
        raise BadInput("--output: add --manifest; the run's own data are scored into the run's folder")
    from engine import cli_nnunet as nnunet

    if nnunet.is_asked_for(given):
        nnunet.evaluate(given)
        return
    values = {name: getattr(given, name) for name in EvaluateOptions.model_fields if name != "run"}
    options = validate(EvaluateOptions, {**values, "run": str(given.run)}, "xray-engine evaluate")
    _say_loading(f"evaluate {given.run}")
    from engine.evaluation.evaluate import evaluate

    evaluate(options, manifest=given.manifest, output=given.output)


def _blend(given: argparse.Namespace) -> None:
    from engine.blending.blend import prepare_blend

    config, run = prepare_blend(given.config, given.overrides, given.members, given.tta, given.run)
    from engine.blending.blend import blend

    blend(config, run)


def _say_loading(what: str) -> None:
    """PyTorch takes seconds to import: say so before, or a job's log begins with silence."""
    print(f"{clean(what)}: loading …", flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM before, between and after training steps: what is half made is taken away on the way out."""
    raise Stopped("stopped")


def _keep_leases() -> None:
    """Hold the GPU leases that a supervisor handed down for this process alone: no child may keep a GPU taken."""
    for descriptor in filter(str.isdecimal, os.environ.get(names.LEASES_ENV, "").split(",")):
        with contextlib.suppress(OSError):
            os.set_inheritable(int(descriptor), False)


def _whole(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: a whole number from low to high."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{clean(text)!r}: give a whole number from {low} to {high}")
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main())

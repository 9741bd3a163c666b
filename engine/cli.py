"""xray-engine: argparse only. Each command imports its modules when it runs, so --help and argument errors are fast."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from engine import __version__, cli_data, cli_nnunet, cli_results
from engine.contract import names
from engine.contract.arguments import ADD_OPTIONS, Command, whole, with_hint
from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from engine.process.exit import (
    flush_output,
    give_up,
    raise_stopped_at_sigterm,
    record_end,
    run_command,
    take_delayed_stop,
)
from engine.process.progress import show_title, stamped_output


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose error messages contain no control characters from the command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.BAD_INPUT, f"{self.prog}: {clean(with_hint(message))}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (engine.contract.errors.Exit)."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return Exit.BAD_INPUT
    _keep_leases()
    raise_stopped_at_sigterm()
    show_title("starting")
    with stamped_output():
        status, cause = run_command(partial(_run, args))
        take_delayed_stop()
        record_end(status, cause)
        flush_output()
    return status


def _run(args: argparse.Namespace) -> None:
    if getattr(args, "config", None) is not None:
        from engine.contract.recipes import recipe_path

        run: Path | None = getattr(args, "run", None)
        args.config = Path(recipe_path(str(args.config), run and run.parent))
    args.run_command(args)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(
        prog="xray-engine",
        description="Train, evaluate and blend X-ray fracture segmentation.",
        epilog="Exit status: 0 done, 2 bad input, 3 stopped, 4 out of memory, 5 no space left, 1 anything else.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"xray-engine {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def add(name: str, run: Command, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
        command.set_defaults(run_command=run)
        return command

    cli_data.add_commands(add)

    recipes = add("recipes", _recipes, "List the recipes with their size and requirements.")
    recipes.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="look beside this folder too")

    ADD_OPTIONS["train"](add("train", _train, "Train a recipe into a run folder."))

    average = add("average", _average, "Average a run's best checkpoints (training.keep_best) into a new run.")
    average.add_argument("--run", type=names.run_folder, required=True, metavar="runs/NAME")
    average.add_argument("--best", type=whole(2, 50), metavar="K", help="number of checkpoints; default: all kept")
    average.add_argument("--output", type=names.run_folder, required=True, metavar="runs/NAME_mean")

    what = "Score a run on the test split; every choice is made on validation."
    ADD_OPTIONS["evaluate"](add("evaluate", _evaluate, what))
    what = "Blend runs: weights, threshold and presence chosen on validation."
    ADD_OPTIONS["blend"](add("blend", _blend, what))
    cli_results.add_commands(add)
    cli_nnunet.add_commands(commands.add_parser("nnunet", help="Train and score nnU-Net on our data (extra: nnunet)."))
    return parser


def _recipes(args: argparse.Namespace) -> None:
    from engine.contract.load import problem_of
    from engine.contract.recipes import find_recipes, recipe_folders

    recipes = find_recipes(recipe_folders(args.runs))
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        problem = recipe.problem or problem_of(recipe.path)
        print(f"{recipe.name:{width}}  {recipe.kind:10}  {problem or recipe.description}")
        if recipe.facts and not problem:
            print(f"{'':{width}}  {'':10}  {recipe.facts}")
    if not recipes:
        raise BadInput("no configs/*.yaml here, beside the runs folder, or in the installed package")


def _train(args: argparse.Namespace) -> None:
    if cli_nnunet.is_nnunet_command(args):
        cli_nnunet.train(args)
        return
    from engine.training import followers
    from engine.training.run import learn_config, locked_run, prepare_run

    if followers.is_follower():
        followers.follow()
        return
    if args.sanity:
        _check_sanity(args)
        return
    from engine.data.overlap import check_split, write_mark

    config, run = prepare_run(learn_config, args.config, args.overrides, args.run, args.resume)
    is_new = not (run / names.CONFIG).exists()
    remedy = "give a run of the same split and fold ({fold} in the path is replaced by data.fold)"
    expected = None if args.allow_overlap else remedy
    overlaps = check_split([(run, config)], "training.init_from", expected) if is_new else []
    with locked_run(run), followers.followed(followers.count(args.gpus), give_up):
        if is_new:
            write_mark(run, overlaps)
        _say_loading(f"train {run}")
        from engine.training.loop import train

        train(config, run, resume=args.resume)


def _check_sanity(args: argparse.Namespace) -> None:
    from engine.data.moved import check_manifest
    from engine.training.run import learn_config

    if args.resume or (args.config is None) == (args.run is None):
        raise BadInput("--sanity: give --config FILE, or --run FOLDER for the config of a run, and no --resume")
    config = learn_config(args.config or args.run / names.CONFIG, args.overrides)
    if args.run is not None:
        check_manifest(args.run, config.data.manifest)
    from engine.data.overlap import check_split

    folder = args.run or Path(config.name or "")
    remedy = "give a run of the same split and fold ({fold} in the path is replaced by data.fold)"
    check_split([(folder, config)], "training.init_from", None if args.allow_overlap else remedy)
    _say_loading("train --sanity")
    from engine.training.sanity import check_sanity

    check_sanity(config)


def _average(args: argparse.Namespace) -> None:
    _say_loading(f"average {args.run}")
    from engine.training.average import average

    average(args.run, args.output, args.best)


def _evaluate(args: argparse.Namespace) -> None:
    from engine.contract.config import EvaluateOptions
    from engine.contract.load import validate

    if args.output is not None and args.manifest is None:
        raise BadInput("--output: add --manifest, or leave it out")
    if cli_nnunet.is_nnunet_command(args):
        cli_nnunet.evaluate(args)
        return
    values = {name: getattr(args, name) for name in EvaluateOptions.model_fields if name != "run"}
    options = validate(EvaluateOptions, {**values, "run": str(args.run)}, "xray-engine evaluate")
    _say_loading(f"evaluate {args.run}")
    from engine.evaluation.evaluate import evaluate

    evaluate(options, manifest=args.manifest, output=args.output, allow_overlap=args.allow_overlap)


def _blend(args: argparse.Namespace) -> None:
    from engine.blending.blend import prepare_blend

    config, run = prepare_blend(args.config, args.overrides, args.members, args.tta, args.run)
    from engine.blending.blend import blend

    blend(config, run, allow_overlap=args.allow_overlap)


def _say_loading(what: str) -> None:
    """Print a line before PyTorch is imported, which takes seconds; without it a job's log starts empty."""
    print(f"{clean(what)}: loading …", flush=True)


def _keep_leases() -> None:
    """Keep the GPU lock descriptors from the supervisor out of child processes, which would otherwise keep a GPU
    taken."""
    for descriptor in filter(str.isdecimal, os.environ.get(names.LEASES_ENV, "").split(",")):
        with contextlib.suppress(OSError):
            os.set_inheritable(int(descriptor), False)


if __name__ == "__main__":
    sys.exit(main())

"""xray-engine nnunet …: argparse only. Each command imports its modules when it runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import get_args

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add nnU-Net's commands to `xray-engine nnunet`."""
    commands = parser.add_subparsers(dest="nnunet_command", metavar="COMMAND", required=True, parser_class=type(parser))

    what = "Export a manifest as a raw nnU-Net dataset, with our splits as its folds."
    command = commands.add_parser("export", help=what, description=what, allow_abbrev=False)
    command.set_defaults(run_command=_export)
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="a config of kind: nnunet")
    command.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="as training.epochs=250"
    )
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="the nnUNet_raw folder")
    command.add_argument(
        "--dataset", type=_dataset_name, default="Dataset001_xray", metavar="NAME", help="default: Dataset001_xray"
    )

    what = "Score on the test split; every choice is made on validation."
    command = commands.add_parser("score", help=what, description=what, allow_abbrev=False)
    command.set_defaults(run_command=_score)
    command.add_argument("--run", type=names.run_path, required=True, metavar="runs/NAME")
    command.add_argument("--tta", choices=("mirror", "none"), default="mirror", help="nnU-Net's mirroring, or none")
    command.add_argument(
        "--checkpoint", choices=("best", "final"), default="best", help="default: best, as for evaluate"
    )
    command.add_argument("--masks", action="store_true", help="masks only, without probabilities")
    command.add_argument(
        "--threshold", metavar="0.5|tuned", help="tuned: on validation (default; masks need none, nnU-Net uses 0.5)"
    )
    presence = get_args(names.Presence)
    command.add_argument("--presence", choices=presence, default="auto", help="auto: best on validation")
    command.add_argument(
        "--gate", default="none", metavar="none|0.3|tuned", help="empty masks below this presence score"
    )
    command.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples; 0: none")
    what = "the artifact; runs/NAME_test_metrics.json gets its own row on the board"
    command.add_argument("--output", type=Path, metavar="FILE", help=what)


def _dataset_name(text: str) -> str:
    if not re.fullmatch(r"Dataset\d{3}_\w+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{clean(text)!r}: expected a name such as Dataset001_xray")
    return text


def _export(args: argparse.Namespace) -> None:
    from engine.contract.load import load_nnunet_config
    from engine.nnunet.export import export

    done = export(load_nnunet_config(args.config, args.overrides), args.output / args.dataset)
    print(f"{len(done.cases)} images: {clean(str(done.folder))}; nnU-Net reads its folds from nnUNet_preprocessed")


def is_nnunet_command(args: argparse.Namespace) -> bool:
    """Whether a train or evaluate command is about nnU-Net: its config, or that of its run, has kind: nnunet."""
    from engine.contract.recipes import read_recipe

    path = getattr(args, "config", None) or (args.run / names.CONFIG if args.run else None)
    try:
        return path is not None and read_recipe(path).get("kind") == "nnunet"
    except BadInput:
        return False  # the command that reads the config reports the error


def train(args: argparse.Namespace) -> None:
    """`train` with an nnU-Net config."""
    if args.sanity:
        raise BadInput("--sanity: not for nnU-Net configs; leave it out")
    if (args.gpus or 1) > 1:
        raise BadInput(f"--gpus {args.gpus}: nnU-Net trains on one GPU; leave it out")
    from engine.contract.load import load_nnunet_config
    from engine.training.run import locked_run, prepare_run

    config, run = prepare_run(load_nnunet_config, args.config, args.overrides, args.run, args.resume)
    with locked_run(run):
        print(f"train {clean(str(run))}: loading …", flush=True)
        from engine.nnunet.train import train as train_nnunet
        from engine.process.device import pick_device

        train_nnunet(config, run, pick_device(config.device).device.type)


def evaluate(args: argparse.Namespace) -> None:
    """`evaluate` of an nnU-Net run: --tta auto or hv is nnU-Net's mirroring, --checkpoint last its final checkpoint."""
    if args.output is not None:
        raise BadInput("--output: nnU-Net runs are scored on their own test split only; leave it out")
    if args.tta not in ("auto", "hv", "none"):
        raise BadInput(f"--tta {args.tta}: expected auto, hv or none for an nnU-Net run")
    from engine.contract.load import validate
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    choices = {name: getattr(args, name) for name in ("threshold", "presence", "gate", "bootstrap")}
    values = {
        **choices,
        "run": str(args.run),
        "tta": "none" if args.tta == "none" else "mirror",
        "checkpoint": "final" if args.checkpoint == "last" else "best",
    }
    score(validate(ScoreOptions, values, "xray-engine evaluate"), moved_to=args.manifest)


def _score(args: argparse.Namespace) -> None:
    from engine.contract.load import validate
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    values = {name: getattr(args, name) for name in ScoreOptions.model_fields}
    if not Path(args.run).is_dir():
        raise BadInput(f"--run {clean(args.run)}: no such folder")
    score(validate(ScoreOptions, values, "xray-engine nnunet score"), args.output)

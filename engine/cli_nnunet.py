"""xray-engine nnunet …: argparse only. Each command imports its modules when it runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, get_args

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add nnU-Net's commands to `xray-engine nnunet`."""
    commands = parser.add_subparsers(dest="nnunet_command", metavar="COMMAND", required=True, parser_class=type(parser))

    def add(name: str, run: Any, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
        command.set_defaults(run_command=run)
        return command

    parser = add("export", _export, "Export a manifest as a raw nnU-Net dataset, with our splits as its folds.")
    _add_config(parser, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the nnUNet_raw folder")
    parser.add_argument(
        "--dataset", type=_dataset_name, default="Dataset001_xray", metavar="NAME", help="default: Dataset001_xray"
    )

    parser = add("train", train, "Export, plan, preprocess and train into a run folder.")
    _add_config(parser, required=False)
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/ and the config's name"
    )
    parser.add_argument("--resume", action="store_true", help="continue from nnU-Net's last checkpoint")

    predict = add("predict", _predict, "Predict validation and test; score predicts what is missing.")
    score = add("score", _score, "Score on the test split; every choice is made on validation.")
    for parser in (predict, score):
        parser.add_argument("--run", type=names.run_path, required=True, metavar="runs/NAME")
        parser.add_argument("--tta", choices=("mirror", "none"), default="mirror", help="nnU-Net's mirroring, or none")
        parser.add_argument(
            "--checkpoint", choices=("best", "final"), default="best", help="default: best, as for evaluate"
        )
        parser.add_argument("--masks", action="store_true", help="masks only, without probabilities")
    score.add_argument(
        "--threshold", metavar="0.5|tuned", help="tuned: on validation (default; masks need none, nnU-Net uses 0.5)"
    )
    score.add_argument("--presence", choices=get_args(names.Presence), default="auto", help="auto: best on validation")
    score.add_argument("--gate", default="none", metavar="none|0.3|tuned", help="empty masks below this presence score")
    score.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples; 0: none")
    score.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the artifact; runs/NAME_test_metrics.json gets its own row on the board",
    )


def _add_config(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--config", type=Path, required=required, metavar="FILE", help="a config of kind: nnunet")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="as training.epochs=250"
    )


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
    """`nnunet train`, and `train` with an nnU-Net config."""
    if getattr(args, "sanity", False):
        raise BadInput("--sanity: not for nnU-Net configs; leave it out")
    if (getattr(args, "gpus", None) or 1) > 1:
        raise BadInput(f"--gpus {args.gpus}: nnU-Net trains on one GPU; leave it out")
    from engine.contract.load import load_nnunet_config
    from engine.training.run import locked_run, prepare_run

    config, run = prepare_run(load_nnunet_config, args.config, args.overrides, args.run, args.resume)
    with locked_run(run):
        print(f"nnunet train {clean(str(run))}: loading …", flush=True)
        from engine.nnunet.train import train as train_nnunet
        from engine.process.device import pick_device

        train_nnunet(config, run, pick_device(config.device).device.type)


def evaluate(args: argparse.Namespace) -> None:
    """`evaluate` of an nnU-Net run: --tta hv is nnU-Net's mirroring, --checkpoint last its final checkpoint."""
    if args.output is not None:
        raise BadInput("--output: nnU-Net runs are scored on their own test split only; leave it out")
    if args.tta not in ("hv", "none"):
        raise BadInput(f"--tta {args.tta}: expected hv or none for an nnU-Net run")
    from engine.contract.load import validate
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    choices = {name: getattr(args, name) for name in ("threshold", "presence", "gate", "bootstrap")}
    values = {
        **choices,
        "run": str(args.run),
        "tta": "mirror" if args.tta == "hv" else "none",
        "checkpoint": "final" if args.checkpoint == "last" else "best",
    }
    score(validate(ScoreOptions, values, "xray-engine evaluate"), moved_to=args.manifest)


def _predict(args: argparse.Namespace) -> None:
    from engine.contract.nnunet import PredictOptions
    from engine.nnunet.predict import SPLITS, open_trained, split_predictions

    options = _options(PredictOptions, args)
    run = open_trained(Path(options.run), options.checkpoint)
    for split in SPLITS:
        predictions = split_predictions(run, split, options)
        print(f"{split}: {len(predictions.samples)} images, on {predictions.device}", flush=True)


def _score(args: argparse.Namespace) -> None:
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    score(_options(ScoreOptions, args), args.output)


def _options(model: Any, args: argparse.Namespace) -> Any:
    from engine.contract.load import validate

    values = {name: getattr(args, name) for name in model.model_fields}
    if not Path(args.run).is_dir():
        raise BadInput(f"--run {clean(args.run)}: no such folder")
    return validate(model, values, f"xray-engine nnunet {args.nnunet_command}")

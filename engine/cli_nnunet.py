"""xray-engine nnunet …: argparse only; each command imports what it needs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, get_args

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `xray-engine nnunet` its commands."""
    commands = parser.add_subparsers(dest="nnunet_command", metavar="COMMAND", required=True, parser_class=type(parser))

    def add(name: str, run: Any, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
        command.set_defaults(run_command=run)
        return command

    _add_export(add("export", _export, "Write a manifest as a raw dataset of nnU-Net, our splits as its folds."))
    _add_train(add("train", train, "Export, plan, preprocess and train into a run folder."))
    _add_predict(add("predict", _predict, "Predict validation and test; score does it by itself where it is not done."))
    _add_score(add("score", _score, "Score on the test split; every choice is made on validation."))


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder that is nnUNet_raw")
    parser.add_argument(
        "--dataset", type=_dataset_name, default="Dataset001_xray", metavar="NAME", help="default: Dataset001_xray"
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, required=False)
    parser.add_argument(
        "--run", type=names.run_folder, metavar="runs/NAME", help="default: runs/ and the config's name"
    )
    parser.add_argument("--resume", action="store_true", help="continue from nnU-Net's last checkpoint")


def _add_config(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--config", type=Path, required=required, metavar="FILE", help="a config of kind: nnunet")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="as training.epochs=250"
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=names.run_path, required=True, metavar="runs/NAME")
    parser.add_argument("--tta", choices=("mirror", "none"), default="mirror", help="nnU-Net's mirroring, or none")
    parser.add_argument("--checkpoint", choices=("best", "final"), default="best", help="default: best, as of evaluate")
    parser.add_argument("--masks", action="store_true", help="masks alone, without probabilities")


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_predict(parser)
    parser.add_argument(
        "--threshold", metavar="0.5|tuned", help="tuned: on validation (default; a mask has none, nnU-Net's is 0.5)"
    )
    parser.add_argument("--presence", choices=get_args(names.Presence), default="auto", help="auto: best on validation")
    parser.add_argument("--gate", default="none", metavar="none|0.3|tuned", help="empty masks under this score")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples; 0: none")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the artifact; runs/NAME_test_metrics.json is a row of its own"
    )


def _dataset_name(text: str) -> str:
    if not re.fullmatch(r"Dataset\d{3}_\w+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{clean(text)!r}: give a name such as Dataset001_xray")
    return text


def _export(given: argparse.Namespace) -> None:
    from engine.contract.load import load_nnunet_config
    from engine.nnunet.export import export

    done = export(load_nnunet_config(given.config, given.overrides), given.output / given.dataset)
    print(f"{len(done.cases)} images: {clean(str(done.folder))}; nnU-Net reads its folds from nnUNet_preprocessed")


def is_asked_for(given: argparse.Namespace) -> bool:
    """Whether the config of an `xray-engine train`, or of the run that it goes on with or evaluates, is nnU-Net's."""
    from engine.contract.recipes import read_recipe

    path = getattr(given, "config", None) or (given.run / names.CONFIG if given.run else None)
    try:
        return path is not None and read_recipe(path).get("kind") == "nnunet"
    except BadInput:
        return False  # whoever takes it says what is wrong


def train(given: argparse.Namespace) -> None:
    """`nnunet train`, and `train` where the config is nnU-Net's."""
    if getattr(given, "sanity", False):
        raise BadInput("--sanity: checks our own networks; nnU-Net trains by itself")
    if (getattr(given, "gpus", None) or 1) > 1:
        raise BadInput(f"--gpus {given.gpus}: nnU-Net is trained on one GPU")
    from engine.contract.load import load_nnunet_config
    from engine.training.run import prepare_run, trained_by_us

    config, run = prepare_run(load_nnunet_config, given.config, given.overrides, given.run, given.resume)
    with trained_by_us(run):
        print(f"nnunet train {clean(str(run))}: loading …", flush=True)
        from engine.nnunet.train import train as train_nnunet
        from engine.process.device import pick_device

        train_nnunet(config, run, pick_device(config.device).device.type)


def evaluate(given: argparse.Namespace) -> None:
    """`evaluate` of a run that is nnU-Net's: hv is its own mirroring, last its final checkpoint."""
    if given.output is not None:
        raise BadInput("--output: an nnU-Net run is scored on its own test split only; leave it out")
    if given.tta not in ("hv", "none"):
        raise BadInput(f"--tta {given.tta}: nnU-Net mirrors both ways (give hv) or not at all (none)")
    from engine.contract.load import validate
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    choices = {name: getattr(given, name) for name in ("threshold", "presence", "gate", "bootstrap")}
    values = {
        **choices,
        "run": str(given.run),
        "tta": "mirror" if given.tta == "hv" else "none",
        "checkpoint": "final" if given.checkpoint == "last" else "best",
    }
    score(validate(ScoreOptions, values, "xray-engine evaluate"), moved_to=given.manifest)


def _predict(given: argparse.Namespace) -> None:
    from engine.contract.nnunet import PredictOptions
    from engine.nnunet.predict import SPLITS, open_trained, split_predictions

    options = _options(PredictOptions, given)
    run = open_trained(Path(options.run), options.checkpoint)
    for split in SPLITS:
        found = split_predictions(run, split, options)
        print(f"{split}: {len(found.samples)} images, on {found.device}", flush=True)


def _score(given: argparse.Namespace) -> None:
    from engine.contract.nnunet import ScoreOptions
    from engine.nnunet.score import score

    score(_options(ScoreOptions, given), given.output)


def _options(model: Any, given: argparse.Namespace) -> Any:
    from engine.contract.load import validate

    values = {name: getattr(given, name) for name in model.model_fields}
    if not Path(given.run).is_dir():
        raise BadInput(f"--run {clean(given.run)}: no such folder")
    return validate(model, values, f"xray-engine nnunet {given.nnunet_command}")

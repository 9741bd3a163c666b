"""xray-engine compare, cases, pictures, predict and selftest: argparse only. Each imports its modules when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.contract import names
from engine.contract.arguments import Add, whole
from engine.contract.text import clean


def add_commands(add: Add) -> None:
    """Add the commands that look at trained runs, and the self-test."""
    compare = add("compare", _compare, "Compare runs with the first on the same test images.")
    compare.add_argument("runs", nargs="+", type=Path, metavar="runs/NAME", help="runs, or test artifacts")
    what = "a .md, .csv or .json file; default: Markdown on standard output"
    compare.add_argument("--output", type=Path, metavar="FILE", help=what)
    compare.add_argument("--bootstrap", type=whole(100, 100_000), default=2000, metavar="N", help="resamples")

    cases = add("cases", _cases, "Write a page with the worst test images of a run, outlined.")
    cases.add_argument("run", type=Path, metavar="runs/NAME", help="a run, or a test artifact")
    cases.add_argument("--against", type=Path, metavar="runs/NAME", help="show where the run is worse than this one")
    cases.add_argument("--worst", type=whole(0, 10_000), default=24, metavar="N", help="lowest Dice (default 24)")
    cases.add_argument("--missed", action="store_true", help="also all fractures of which no pixel was found")
    cases.add_argument("--false-positives", action="store_true", help="also all predictions without a fracture")
    cases.add_argument("--output", type=Path, default=Path("cases.html"), metavar="FILE", help="default: cases.html")

    pictures = add("pictures", _pictures, "Draw test images on request, as JSON lines, for the app.")
    pictures.add_argument("run", type=Path, metavar="runs/NAME", help="a run, or a test artifact")

    predict = add("predict", _predict, "Predict radiographs without labels, with the choices of a test artifact.")
    predict.add_argument("source", type=Path, metavar="SOURCE", help="a folder, an image, or a CSV with id and image")
    predict.add_argument("--run", type=names.run_folder, required=True, metavar="runs/NAME")
    predict.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    what = "the test artifact with threshold, TTA and gate; default: the run's newest"
    predict.add_argument("--artifact", type=Path, metavar="FILE", help=what)
    predict.add_argument("--batch-size", type=whole(1, 4096), default=16, metavar="N")
    predict.add_argument("--maps", action="store_true", help="also write probability maps (16-bit PNG)")
    predict.add_argument("--overlays", action="store_true", help="also write radiographs with the outlines of masks")
    predict.add_argument("--submission", choices=("rle",), help="also write submission.csv with Kaggle's run lengths")
    selftest = add("selftest", _selftest, "Check on synthetic data that this machine trains and predicts rightly.")
    selftest.add_argument("--gpu", type=whole(0, 63), metavar="N", help="default: the first GPU, or the CPU")


def _compare(args: argparse.Namespace) -> None:
    from engine.results.compare import compare, write_comparison

    write_comparison(compare(args.runs, args.bootstrap), args.output)


def _cases(args: argparse.Namespace) -> None:
    from engine.results.cases import write_cases

    wanted = {name: getattr(args, name) for name in ("against", "worst", "missed", "false_positives")}
    write_cases(args.run, args.output, **wanted)


def _pictures(args: argparse.Namespace) -> None:
    from engine.results.picture_server import serve_pictures

    serve_pictures(args.run)


def _predict(args: argparse.Namespace) -> None:
    print(f"predict with {clean(str(args.run))}: loading …", flush=True)
    from engine.results.predict import predict_images

    wanted = {name: getattr(args, name) for name in ("artifact", "batch_size", "maps", "overlays")}
    predict_images(args.run, args.source, args.output, submission=args.submission is not None, **wanted)


def _selftest(args: argparse.Namespace) -> None:
    print("selftest: loading …", flush=True)
    from engine.selftest import selftest

    selftest(args.gpu)

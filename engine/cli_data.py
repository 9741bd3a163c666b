"""xray-engine synth and prepare: argparse only. Each command imports its modules when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.contract.arguments import Add, whole
from engine.contract.text import clean


def add_commands(add: Add) -> None:
    """Add the commands that make a manifest."""
    synth = add("synth", _synth, "Make a small set of synthetic radiographs with a manifest.")
    synth.add_argument("--output", type=Path, required=True, metavar="DIR")
    synth.add_argument("--images", type=whole(20, 100_000), default=200, metavar="N", help="20 or more (default 200)")
    synth.add_argument("--size", type=whole(32, 2048), default=128, metavar="PX", help="side in pixels (default 128)")
    synth.add_argument("--seed", type=whole(0, 2**32 - 1), default=42, metavar="S")
    replaces = "replace a manifest of other content in DIR"
    synth.add_argument("--overwrite", action="store_true", help=replaces)

    prepare = add("prepare", _prepare, "Turn images with masks or annotations into DIR/manifest.csv.")
    prepare.add_argument("source", type=Path, metavar="SOURCE", help="a folder, an annotation file, or a CSV manifest")
    formats = ("auto", "folder", "csv", "fracatlas", "coco", "labelme", "via", "yolo", "cvat", "rle")
    prepare.add_argument("--format", choices=formats, default="auto")
    what = "the annotations that are fractures, where there are several categories; may be repeated"
    prepare.add_argument("--category", action="append", default=[], dest="categories", metavar="NAME", help=what)
    what = "meaning of COCO's iscrowd: an area that does not count, or a fracture (brush masks of CVAT)"
    prepare.add_argument("--crowd", choices=("ignore", "fracture"), help=what)
    prepare.add_argument("--split", type=Path, metavar="FILE", help="CSV with image_id (or id) and split")
    prepare.add_argument("--output", type=Path, required=True, metavar="DIR")
    prepare.add_argument("--trust", choices=("mask", "label"), default="mask", help="which one wins (default: mask)")
    prepare.add_argument("--seed", type=whole(0, 2**32 - 1), default=42, metavar="S", help="seed of a drawn split")
    what = "mask values that mean fracture: auto (default), nonzero, above-half, or numbers such as 1 or 1,2"
    prepare.add_argument("--mask-values", type=_mask_values, default="auto", metavar="V", help=what)
    what = "mask value of pixels that count in neither training nor scores"
    prepare.add_argument("--ignore-value", type=whole(0, 65535), metavar="N", help=what)
    what = "go on where more than 2 %% of the masks or annotations are lost or look inverted"
    prepare.add_argument("--accept-losses", action="store_true", help=what)
    prepare.add_argument("--invert", action="store_true", help="bones are dark, as in MONOCHROME1 (not for DICOM)")
    what = "salt of the hashes of DICOM patient ids (default: your own, made when needed)"
    prepare.add_argument("--salt", type=Path, metavar="FILE", help=what)
    prepare.add_argument("--overwrite", action="store_true", help=replaces)


def _synth(args: argparse.Namespace) -> None:
    from engine.data.synthetic import make_synthetic

    manifest = make_synthetic(args.output, args.images, args.size, args.seed, overwrite=args.overwrite)
    print(f"{args.images} synthetic radiographs: {clean(str(manifest))}")


def _mask_values(text: str) -> str:
    if text not in ("auto", "nonzero", "above-half") and not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"expected auto, nonzero, above-half, or numbers, got {text!r}")
    return text


_PREPARE_OPTIONS = (
    *("format", "split", "trust", "seed", "categories", "crowd", "accept_losses", "invert", "salt"),
    *("mask_values", "ignore_value", "overwrite"),
)


def _prepare(args: argparse.Namespace) -> None:
    from engine.prepare.prepare import prepare, report_lines

    choices = {name: getattr(args, name) for name in _PREPARE_OPTIONS}
    prepared = prepare(args.source, args.output, **choices)
    print("\n".join(report_lines(prepared)))

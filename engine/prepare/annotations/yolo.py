"""YOLO segmentation: a text file for each image, with a class and an outline in each line, and data.yaml."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.prepare.annotations.shapes import Picture, Shape, read_pictures

LINE = re.compile(r"\d{1,9}(\s+-?[\d.]+([eE][-+]?\d+)?){4,}\s*")
LARGEST_LABELS = 16 << 20
SLACK = 0.01
"""Coordinates this far beyond 0 and 1 are tolerated as rounding."""


def is_yolo_yaml(document: object) -> bool:
    """Whether a YAML document is a YOLO data.yaml."""
    return isinstance(document, dict) and "names" in document and bool(document.keys() & {"train", "val", "nc"})


def is_yolo_text(path: Path) -> bool:
    """Whether a text file starts with a line of YOLO labels."""
    with path.open("rb") as file:
        first = next((line for line in file.read(1 << 16).decode("utf-8", "replace").splitlines() if line.strip()), "")
    return bool(LINE.fullmatch(first.strip()))


def read_names(path: Path, document: Any) -> dict[int, str]:
    """The class names of a data.yaml."""
    names = document["names"]
    try:
        return {int(key): str(name) for key, name in (enumerate(names) if isinstance(names, list) else names.items())}
    except (AttributeError, TypeError, ValueError):
        raise BadInput(f"{clean(str(path))}: names: expected a list of names, got {brief(names)}") from None


def load_yaml(path: Path) -> object:
    """The YAML document of a small file, or None."""
    try:
        return yaml.safe_load(path.read_bytes()) if path.stat().st_size < LARGEST_LABELS else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def read_yolo(path: Path, names: dict[int, str]) -> list[Picture]:
    """The picture of a label file: the image of the same name, in the folder images where this one lies in labels.

    Lines of five numbers are boxes. Raises BadInput with every error.
    """
    where = clean(str(path))
    if path.stat().st_size > LARGEST_LABELS:
        raise BadInput(f"{where}: larger than {LARGEST_LABELS >> 20} MiB; expected the labels of one image")
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    name = "/".join("images" if part == "labels" else part for part in path.with_suffix("").parts[1:])
    items = ((name, f"{where}: line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip())
    what = "a class and x y x y … from 0 to 1"
    return read_pictures(path, [name], items, partial(_shape, names), what)


def _shape(names: dict[int, str], line: str) -> Shape:
    if not LINE.fullmatch(line):
        raise ValueError("no numbers")
    number, *values = map(float, line.split())
    if beyond := [value for value in values if not -SLACK <= value <= 1 + SLACK]:
        raise ValueError(f"{beyond[0]:g} is beyond 0 and 1")
    label = names.get(int(number), f"class {int(number)}")
    return Shape("other", "box", label) if len(values) == 4 else Shape("fractions", values, label)

"""YOLO segmentation: a text file for each image, with a class and an outline in each line, and data.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.data.annotations.shapes import Annotations, Drawing, Picture, Shape

LINE = re.compile(r"\d+(\s+-?[\d.]+([eE][-+]?\d+)?){4,}\s*")
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
    pairs = dict(enumerate(names)) if isinstance(names, list) else names if isinstance(names, dict) else {}
    try:
        if not all(isinstance(name, str | int | float) for name in pairs.values()):
            raise TypeError
        return {int(key): str(name) for key, name in pairs.items()}
    except (TypeError, ValueError):
        raise BadInput(f"{clean(str(path))}: names: expected a list of names, got {brief(names)}") from None


def load_yaml(path: Path) -> object:
    """The YAML document of a small file, or None."""
    try:
        return yaml.safe_load(path.read_bytes()) if path.stat().st_size < LARGEST_LABELS else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def read_yolo(path: Path, names: dict[int, str]) -> Annotations:
    """The picture of a label file: the image of the same name, in the folder images where this one lies in labels.

    Lines of five numbers are boxes. Raises BadInput with every error.
    """
    where = clean(str(path))
    if path.stat().st_size > LARGEST_LABELS:
        raise BadInput(f"{where}: larger than {LARGEST_LABELS >> 20} MiB; expected the labels of one image")
    shapes, problems = [], []
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        if not LINE.fullmatch(line.strip()):
            problems.append(f"{where}: line {number}: expected a class and x y x y …, got {brief(line)}")
            continue
        number_of, *texts = line.split()
        label = names.get(int(number_of), f"class {int(number_of)}")
        try:
            values = [float(text) for text in texts]
        except ValueError:
            problems.append(f"{where}: line {number}: expected a class and x y x y …, got {brief(line)}")
            continue
        if not all(-SLACK <= value <= 1 + SLACK for value in values):
            problems.append(f"{where}: line {number}: expected coordinates from 0 to 1, got {max(values, key=abs):g}")
        shapes.append(Shape("other", "box", label) if len(values) == 4 else Shape("fractions", values, label))
    if problems:
        raise BadInput(problems)
    parts = ["images" if part == "labels" else part for part in path.with_suffix("").parts[1:]]
    return Annotations([Picture("/".join(parts), Drawing(tuple(shapes)), path)])

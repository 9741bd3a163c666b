"""Validation and test images that a run was trained on: refused, or with --allow-overlap accepted and marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import names
from engine.contract.config import BlendConfig, Config
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file, write_json
from engine.contract.load import load_config
from engine.contract.text import clean
from engine.data.data_record import Images, common, read_data_record, read_images
from engine.data.splits import read_samples

SHOWN = 3
Chain = Mapping[Path, Images]
"""Run folder -> the images that it was trained on: the run itself, then the runs that it started from."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Validation or test images that a run was trained on."""

    run: Path
    """The folder of the run that was trained on them, absolute."""
    ids: tuple[str, ...]
    """Their ids in the validation or test set."""


def run_images(run: Path, config: Config) -> Images:
    """The images of a run: its data.csv if that has the splits of its manifest, else read from the files. Raises
    BadInput."""
    if isinstance(config, BlendConfig):
        raise BadInput(f"{clean(str(run))}: kind: {config.kind}; expected a trained run")
    samples = read_samples(config.data, run)
    record = read_data_record(run)
    if record is not None and set(zip(record.ids, record.splits, strict=True)) == {(s.id, s.split) for s in samples}:
        return record
    return read_images(samples, Path(config.data.manifest) if getattr(config.data, "cache", True) else None)


def training_chain(run: Path, config: Config) -> Chain:
    """The training images of a run and of the runs that it started from (training.init_from). Prints a line where such
    a run cannot be checked."""
    chain = {run.resolve(): run_images(run, config).of("train")}
    while (source := _init_from(config)) is not None:
        path = Path(source)
        folder = path.parent if path.suffix in (".pt", ".pth") else path
        folder = (folder.parent if folder.name == names.CHECKPOINTS else folder).resolve()
        if folder in chain:
            break
        try:
            config = load_config(folder / names.CONFIG)
            chain[folder] = (read_data_record(folder) or run_images(folder, config)).of("train")
        except BadInput as error:
            print(f"overlap with {clean(source)} could not be checked: {error.lines[0]}", flush=True)
            break
    return chain


def _init_from(config: Config) -> str | None:
    return getattr(getattr(config, "training", None), "init_from", None)


def find_overlap(targets: Images, chains: Sequence[Chain], *, own_split: bool) -> list[Overlap]:
    """The overlaps of the target images with the training images in the chains.

    `own_split`: the targets are the validation and test images of the chains' first runs. A target that is also in the
    training set of each of those runs is then a flaw of the split itself, which has a copy of it, and no overlap.
    """
    found = {
        run: [identity for identity, _ in common(targets, images)] for chain in chains for run, images in chain.items()
    }
    own = [set(found[next(iter(chain))]) for chain in chains] if own_split else []
    flaws = set.intersection(*own) if own else set()
    overlaps = [
        Overlap(run, tuple(identity for identity in ids if identity not in flaws)) for run, ids in found.items()
    ]
    return [overlap for overlap in overlaps if overlap.ids]


def report(overlaps: Sequence[Overlap], name: str, targets: str, expected: str | None) -> None:
    """Raises BadInput with a line for each overlap, or prints the lines if `expected` is None. `name`: the option to
    blame; `targets`: the target images, as in "633 test images"; `expected`: what to give instead."""
    lines = []
    for overlap in overlaps:
        shown = ", ".join(map(clean, overlap.ids[:SHOWN]))
        trained = (
            f"{name}: {clean(str(overlap.run))} was trained on {len(overlap.ids)} of the {targets}, such as {shown}"
        )
        lines.append(f"{trained}; {expected or 'artifacts are marked and not ranked'}")
    if lines and expected is not None:
        raise BadInput([f"{line}, or add --allow-overlap (artifacts are then not ranked)" for line in lines])
    for line in lines:
        print(line, flush=True)


def check_split(parts: Sequence[tuple[Path, Config]], name: str, expected: str | None) -> list[Overlap]:
    """The overlaps of the validation and test images of the first run with the training images of all runs, and of the
    runs that they started from. Reports those with which no run was trained; `name` and `expected` as for `report`."""
    known = [overlap for run, _ in parts for overlap in read_mark(run)]
    if len(parts) == 1 and _init_from(parts[0][1]) is None:
        return known
    targets = run_images(*parts[0]).of("val", "test")
    found = find_overlap(targets, [training_chain(*part) for part in parts], own_split=True)
    others = [overlap for overlap in found if overlap.run not in {mark.run for mark in known}]
    report(others, name, f"{len(targets.ids)} validation and test images", expected)
    return [*known, *others]


def mark_of(overlaps: Sequence[Overlap], holder: Path) -> dict[str, Any]:
    """The entry `overlap` of an artifact's block `data`; empty without overlaps. `holder`: the artifact's file."""
    if not overlaps:
        return {}
    count = len({identity for overlap in overlaps for identity in overlap.ids})
    runs = dict.fromkeys(relative_to_file(overlap.run, holder) for overlap in overlaps)
    return {"overlap": {"count": count, "with": list(runs)}}


def write_mark(run: Path, overlaps: Sequence[Overlap]) -> None:
    """Write the run's overlap.json; without overlaps, remove one that a killed start left."""
    path = run / names.OVERLAP
    path.unlink(missing_ok=True)
    if overlaps:
        write_json(path, [{"run": relative_to_file(item.run, path), "ids": list(item.ids)} for item in overlaps])


def read_mark(run: Path) -> list[Overlap]:
    """The overlaps with which a run was trained; none for most runs. Raises BadInput for a damaged file."""
    path = run / names.OVERLAP
    if not (path.exists() and (run / names.CONFIG).exists()):
        return []
    try:
        entries = json.loads(path.read_text("utf-8"))
        return [Overlap((run / entry["run"]).resolve(), tuple(map(str, entry["ids"]))) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{clean(str(path))}: damaged; expected a list of run and ids") from None

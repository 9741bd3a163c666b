"""Validation and test images that a run was trained on: refused, or with --allow-overlap accepted and marked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
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


def training_chain(run: Path, config: Config, own: Images) -> Chain:
    """The training images of a run and of the runs that it started from (training.init_from). `own`: the run's images.
    Prints a line where a run in the chain cannot be checked."""
    chain = {run.resolve(): own.of("train")}
    while (source := getattr(getattr(config, "training", None), "init_from", None)) is not None:
        path = Path(source)
        folder = path.parent if path.suffix in (".pt", ".pth") else path
        folder = (folder.parent if folder.name == names.CHECKPOINTS else folder).resolve()
        if folder in chain:
            break
        try:
            config = load_config(folder / names.CONFIG)
            record = read_data_record(folder)
            chain[folder] = (record or run_images(folder, config)).of("train")
        except BadInput as error:
            print(f"overlap with {clean(source)} could not be checked: {error.lines[0]}", flush=True)
            break
    return chain


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


def check_initial_run(config: Config, run: Path, allow: bool) -> list[Overlap]:
    """The overlaps of a new training's validation and test images with the run in its training.init_from and the runs
    which that started from. Raises BadInput if there are any, unless they are allowed."""
    if getattr(config.training, "init_from", None) is None:  # type: ignore[union-attr]
        return []
    own = run_images(run, config)
    targets = own.of("val", "test")
    overlaps = find_overlap(targets, [training_chain(run, config, own)], own_split=True)
    remedy = "give a run of the same split and fold ({fold} in the path is replaced by data.fold)"
    of_run = f"{len(targets.ids)} validation and test images"
    report(overlaps, "training.init_from", of_run, None if allow else remedy)
    return overlaps


def mark_of(overlaps: Sequence[Overlap], holder: Path) -> dict[str, Any]:
    """The entry `overlap` of an artifact's block `data`; empty without overlaps. `holder`: the artifact's file."""
    if not overlaps:
        return {}
    count = len({identity for overlap in overlaps for identity in overlap.ids})
    runs = dict.fromkeys(relative_to_file(overlap.run, holder) for overlap in overlaps)
    return {"overlap": {"count": count, "with": list(runs)}}


def write_mark(run: Path, overlaps: Sequence[Overlap]) -> None:
    """Write the run's overlap.json, if there are overlaps."""
    path = run / names.OVERLAP
    if overlaps:
        write_json(path, [{"run": relative_to_file(item.run, path), "ids": list(item.ids)} for item in overlaps])


def read_mark(run: Path) -> list[Overlap]:
    """The overlaps with which a run was trained; none for most runs. Raises BadInput for a damaged file."""
    path = run / names.OVERLAP
    try:
        entries = json.loads(path.read_text("utf-8"))
        return [Overlap((run / entry["run"]).resolve(), tuple(map(str, entry["ids"]))) for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{clean(str(path))}: damaged; expected a list of run and ids") from None


@contextlib.contextmanager
def marked(run: Path, overlaps: Sequence[Overlap]) -> Iterator[None]:
    """Mark a new run for a block that trains it. A training that fails before it writes its config leaves no mark."""
    if (run / names.CONFIG).exists():
        yield
        return
    try:
        (run / names.OVERLAP).unlink(missing_ok=True)  # left by a killed start
        write_mark(run, overlaps)
        yield
    finally:
        if not (run / names.CONFIG).exists():
            (run / names.OVERLAP).unlink(missing_ok=True)

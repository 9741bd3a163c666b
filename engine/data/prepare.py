"""`xray-engine prepare`: from any source of radiographs to the one manifest that the engine trains on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.names import MANIFEST
from engine.contract.text import clean
from engine.data.examine import Examined, duplicates, examine, header_problems
from engine.data.folder import read_folder
from engine.data.fracatlas import is_fracatlas, read_fracatlas
from engine.data.manifest import SPLITS, Sample, read_table, write_manifest
from engine.data.source import Case, Flaw, Source, with_splits
from engine.data.split import stratified_split
from engine.data.table import read_csv

Format = Literal["auto", "folder", "csv", "fracatlas"]
Trust = Literal["mask", "label"]
OnProgress = Callable[[int, int], None]

MASKS = "masks"
STAGED = ".masks-"
FLAWS = "flaws.txt"
THREADS = 4
SHOWN = 3

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Count:
    """Images of a split."""

    images: int
    fractured: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a preparation made."""

    manifest: Path
    counts: Mapping[str, Count]
    """By split: train, val, test."""
    flaws: tuple[Flaw, ...]
    """Everything odd about the data, (kind, line) each; `flaws_file` holds the same."""
    flaws_file: Path

    def report(self) -> list[str]:
        """Lines to print: the manifest, the splits, and of each kind of flaw how many and the first few."""
        lines = [f"manifest: {clean(str(self.manifest))}"]
        lines += [
            f"{split}: {count.images} images, {count.fractured} fractured" for split, count in self.counts.items()
        ]
        kinds = Counter(flaw.kind for flaw in self.flaws)
        for kind, number in kinds.items():
            told = [flaw.line for flaw in self.flaws if flaw.kind == kind][:SHOWN]
            lines += [f"{kind}: {number}", *(f"  {line}" for line in told)]
            if number > SHOWN:
                lines.append(f"  … {number - SHOWN} more in {clean(str(self.flaws_file))}")
        return lines


def prepare(
    source: Path,
    output: Path,
    *,
    format: str = "auto",
    split: Path | None = None,
    trust: str = "mask",
    seed: int = 42,
    progress: OnProgress = lambda done, total: None,
) -> Prepared:
    """Write OUTPUT/manifest.csv, OUTPUT/masks/*.png (of positives only) and OUTPUT/flaws.txt; images are not copied.

    format: auto, folder, csv or fracatlas; the modules folder, table and fracatlas say what each of them reads.
    split: a CSV file with image_id (or id) and split. Without it the source's own splits count; where it has none,
    70 / 15 / 15 % are drawn by `seed`, stratified by class, with groups and pixel-identical images kept together.
    trust: what counts where label and mask contradict each other. `mask`: fractured means that the mask is not empty.
    `label`: a 0 empties the mask; a 1 with an empty mask is left out, since a positive without a mask cannot be scored.
    progress(done, total) is called after each image, in this thread.

    Raises BadInput with every problem (missing files, ids twice, masks of another size, what is no image); then, and
    when it is interrupted, OUTPUT is as it was.
    """
    if format not in get_args(Format):
        raise BadInput(f"--format {clean(format)}: one of {', '.join(get_args(Format))} is right")
    if trust not in get_args(Trust):
        raise BadInput(f"--trust {clean(trust)}: mask or label is right")
    found = read_source(source, format)
    if split is not None:
        found = with_splits(found, split)
    problems = [*found.problems, *_split_problems(found.cases), *_output_problems(found.cases, output)]
    if not problems:
        problems = [line for lines in _threaded(header_problems, found.cases) for line in lines]
    if problems:
        raise BadInput(problems)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with _alone_in(output), tempfile.TemporaryDirectory(prefix=STAGED, dir=output) as staged:
            return _prepare(found, output, Path(staged), trust, seed, progress)
    except OSError as error:
        raise BadInput(f"{clean(str(error.filename or output))}: {error.strerror or error}") from error


def read_source(source: Path, format: str = "auto") -> Source:
    """The source by the reader that `format` names; auto looks which one fits."""
    name = clean(str(source))
    if not source.exists():
        raise BadInput(f"{name}: no such file or folder")
    if format == "auto":
        format = _format_of(source)
    if format == "csv":
        return read_csv(source / MANIFEST if source.is_dir() else source)
    if not source.is_dir():
        raise BadInput(f"{name}: is a file; --format {format} reads a folder")
    return read_fracatlas(source) if format == "fracatlas" else read_folder(source)


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Keep a second preparation out of the folder, and clear away what one that was killed has left there."""
    descriptor = os.open(output, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{clean(str(output))}: another preparation is writing there") from None
        except OSError:  # a file system without locks for folders: then nothing can be told of others
            yield
            return
        for stale in output.glob(f"{STAGED}*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _format_of(source: Path) -> str:
    if not source.is_dir() or (source / MANIFEST).is_file():
        return "csv"
    return "fracatlas" if is_fracatlas(source) else "folder"


def _prepare(found: Source, output: Path, staged: Path, trust: str, seed: int, progress: OnProgress) -> Prepared:
    examined: list[Examined] = []
    problems: list[str] = []
    flaws = list(found.flaws)
    fractured: list[bool] = []
    for done, result in enumerate(_threaded(examine, found.cases), 1):
        if isinstance(result, BadInput):
            problems.extend(result.lines)
        else:
            flaws.extend(result.flaws)
            verdict, contradiction = judge(result.case.label, result.mask is not None, trust)
            if contradiction:
                flaws.append(Flaw("label", f"{result.case.id}: {contradiction}"))
            if verdict is not None:
                fractured.append(verdict)
                # Only the mask's name is kept from here on: the masks of a large set would fill the memory.
                examined.append(_stage(result, staged, keep=verdict))
        progress(done, len(found.cases))
    if problems:
        raise BadInput(problems)
    splits = _splits(examined, fractured, seed)
    samples = [
        Sample(
            one.case.id,
            one.case.image,
            output / MASKS / mask_name(one.case.id) if positive else None,
            positive,
            split,
            one.case.group,
        )
        for one, positive, split in zip(examined, fractured, splits, strict=True)
    ]
    flaws += [*_duplicate_flaws(duplicates(examined), samples), *_group_flaws(samples), *_empty_split_flaws(samples)]
    flaws.sort(key=lambda flaw: flaw.kind)
    _publish(samples, flaws, output, staged)
    counts = {split: _count(sample for sample in samples if sample.split == split) for split in SPLITS}
    return Prepared(output / MANIFEST, counts, tuple(flaws), output / FLAWS)


def judge(label: bool | None, drawn: bool, trust: str) -> tuple[bool | None, str | None]:
    """(fractured or not, None: leave the image out; how label and mask contradict each other, None: they do not).

    label None: the source says nothing, the mask alone decides. drawn: the mask is not empty.
    """
    if label is None or label == drawn:
        return drawn, None
    said = f"labelled {int(label)}, but its mask is {'not empty' if drawn else 'empty'}"
    if trust == "mask":
        return drawn, f"{said}: taken as {'fractured' if drawn else 'not fractured'} (the mask is trusted)"
    if drawn:
        return False, f"{said}: taken as not fractured, mask emptied (the label is trusted)"
    return None, f"{said}: left out, a positive without a mask cannot be scored (the label is trusted)"


def mask_name(identity: str) -> str:
    """The file name of a sample's mask: its id, made safe and kept unique where the id is no plain file name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", identity).lstrip(".")[:100]
    if plain == identity:
        return f"{plain}.png"
    return f"{plain}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}.png"


def _split_problems(cases: Sequence[Case]) -> Iterator[str]:
    """Either every case has a split or none: a split for the rest would be a guess."""
    if any(case.split for case in cases):
        for case in cases:
            if not case.split:
                yield f"{case.where}: split: empty, but others have one; train, val or test is right, or none at all"


def _output_problems(cases: Sequence[Case], output: Path) -> Iterator[str]:
    masks = (output / MASKS).resolve()
    if any(isinstance(case.mask, Path) and case.mask.resolve().parent == masks for case in cases):
        yield f"{clean(str(output))}: its masks are the source's own and would be overwritten; another folder is right"


def _stage(one: Examined, staged: Path, keep: bool) -> Examined:
    if keep and one.mask is not None:
        with (staged / mask_name(one.case.id)).open("wb") as file:
            file.write(one.mask)
            file.flush()
            os.fsync(file.fileno())
    return Examined(one.case, one.digest, None, one.flaws)


def _splits(examined: Sequence[Examined], fractured: Sequence[bool], seed: int) -> list[str]:
    given = [one.case.split for one in examined if one.case.split]
    if given:
        return given
    ids = [one.case.id for one in examined]
    groups = [[one.digest, *([one.case.group] if one.case.group else [])] for one in examined]
    return stratified_split(ids, fractured, groups, seed)


def _duplicate_flaws(groups: Iterable[Sequence[Examined]], samples: Sequence[Sample]) -> Iterator[Flaw]:
    by_id = {sample.id: sample for sample in samples}
    for group in groups:
        same = [by_id[one.case.id] for one in group]
        told = ", ".join(f"{s.id} ({s.split}, {'' if s.fractured else 'not '}fractured)" for s in same)
        across = len({s.split for s in same}) > 1
        differ = len({s.fractured for s in same}) > 1
        kind = "duplicate, other label" if differ else "duplicate across splits" if across else "duplicate"
        told += "; across splits" * across + "; with different labels" * differ
        yield Flaw(kind, f"pixel for pixel the same: {told}")


def _group_flaws(samples: Iterable[Sample]) -> Iterator[Flaw]:
    places: dict[str, set[str]] = {}
    for sample in samples:
        if sample.group is not None:
            places.setdefault(sample.group, set()).add(sample.split)
    for group, splits in places.items():
        if len(splits) > 1:
            named = " and ".join(split for split in SPLITS if split in splits)
            yield Flaw("group across splits", f"group {clean(group)} is in {named}: scores there flatter")


def _empty_split_flaws(samples: Sequence[Sample]) -> Iterator[Flaw]:
    there = Counter((sample.split, sample.fractured) for sample in samples)
    for split in SPLITS:
        for fractured, word in ((True, "fractured"), (False, "unfractured")):
            if not there[split, fractured]:
                yield Flaw("empty class", f"{split} has no {word} image: not every metric can be computed there")


def _count(samples: Iterable[Sample]) -> Count:
    labels = [sample.fractured for sample in samples]
    return Count(len(labels), sum(labels))


def _publish(samples: Sequence[Sample], flaws: Sequence[Flaw], output: Path, staged: Path) -> None:
    """Masks first, then the manifest, whole; what only the former manifest named goes last."""
    manifest, masks = output / MANIFEST, output / MASKS
    former = _masks_of(manifest)
    masks.mkdir(exist_ok=True)
    for path in staged.iterdir():
        path.replace(masks / path.name)
    write_whole(output / FLAWS, "".join(f"{flaw.kind}: {flaw.line}\n" for flaw in flaws))
    write_manifest(manifest, samples)
    for name in former - {sample.mask.name for sample in samples if sample.mask}:
        (masks / name).unlink(missing_ok=True)


def _masks_of(manifest: Path) -> set[str]:
    """Names of the masks that a manifest already there has in the folder beside it."""
    try:
        rows = [Path(row["mask"]) for _, row in read_table(manifest, ("mask",))]
    except BadInput:
        return set()
    return {path.name for path in rows if path.parent == Path(MASKS)}


def _threaded(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in order; decoders let go of the interpreter, so threads are enough."""
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(function, items)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

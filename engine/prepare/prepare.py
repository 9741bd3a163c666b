"""`xray-engine prepare`: from any source of radiographs to the manifest that the engine trains on."""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.names import HEADER, MANIFEST
from engine.contract.text import clean
from engine.data.manifest import OTHER_SET, Sample, is_manifest_of, write_manifest
from engine.data.splits import stratified_split
from engine.data.tables import is_file, read_table
from engine.data.window import Window, measure, write_window
from engine.prepare.annotations.choose import NO_CHOICE, Choice
from engine.prepare.annotations.read import FORMATS, read_annotated
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.checks import EMPTIED, examine, header_problems, set_flaws, split_counts
from engine.prepare.converted import IMAGES, examine_copy, place_images, placed
from engine.prepare.dicom import is_dicom, with_headers
from engine.prepare.fracatlas import is_fracatlas, read_fracatlas
from engine.prepare.layouts import nnunet_ignore, read_folder
from engine.prepare.losses import loss_problems
from engine.prepare.mask_values import NONZERO, decide
from engine.prepare.sources import FLAWS, Case, Source, read_csv, with_splits
from engine.process.folders import locked_folder
from engine.process.progress import map_threaded

if TYPE_CHECKING:
    import pandas as pd

MASKS = "masks"
STAGED = ".masks-"

SHOWN = 12
"""Flaws of a kind that are printed; the file lists all."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of a preparation."""

    manifest: Path
    counts: pd.DataFrame
    """Images by split and by fractured (False, True)."""
    flaws: tuple[Flaw, ...]
    """Everything unusual about the data, by kind; also in flaws.txt beside the manifest."""
    window: Window | None
    """The window of its images with more than 8 bits; also in manifest.yaml beside the manifest."""
    mask_values: str
    """The values of mask files and their meaning; empty if the source has no mask files."""


def prepare(
    source: Path,
    output: Path,
    *,
    format: str = "auto",
    split: Path | None = None,
    trust: str = "mask",
    seed: int = 42,
    categories: Sequence[str] = (),
    crowd: str | None = None,
    accept_losses: bool = False,
    invert: bool = False,
    salt: Path | None = None,
    overwrite: bool = False,
    mask_values: str = "auto",
    ignore_value: int | None = None,
) -> Prepared:
    """Write OUTPUT/manifest.csv, OUTPUT/masks/*.png (of positives and of images with ignored pixels) and
    OUTPUT/flaws.txt. Images are not copied, except that OUTPUT/images gets an 8-bit PNG of each DICOM file, and with
    `invert` of each other image. Where images have more than 8 bits, OUTPUT/manifest.yaml gets their window.

    format: auto, folder, csv, fracatlas, or one of annotations.read.FORMATS; read_folder, read_csv, read_fracatlas and
    read_annotated describe what they read. categories, crowd: see Choice. accept_losses: go on where more masks or
    annotations than 2 % cannot be used. invert: bones are dark in images other than DICOM. salt: see with_headers.
    overwrite: replace a manifest in OUTPUT that has other content.
    split: a CSV file with image_id (or id) and split. Without it the source's own splits are used; if it has none, 70 /
    15 / 15 % are drawn by `seed`, stratified by class, groups and pixel-identical images kept together. trust: what
    wins where label and mask contradict each other. `mask`: fractured means that the mask is not empty. `label`: a 0
    empties the mask; a 1 with an empty mask is left out, because a positive without a mask cannot be scored.
    mask_values, ignore_value: the values of mask files that mean fracture, and the value of ignored pixels: see decide.

    Raises BadInput with every problem (missing files, duplicate ids, masks of another size, files that are no images),
    and OSError. Then, and when it is interrupted, OUTPUT is unchanged.
    """
    loaded = read_source(source, format, Choice(categories, crowd))
    if split is not None:
        loaded = with_splits(loaded, split)
    cases, header_flaws = with_headers(loaded.cases, salt)
    problems = list(loaded.problems)
    if any(case.split for case in cases):
        problems += [
            f"{case.where}: split: empty, but others have one; expected train, val or test"
            for case in cases
            if not case.split
        ]
    masks = (output / MASKS).resolve()
    if any(isinstance(case.mask, Path) and case.mask.resolve().parent == masks for case in cases):
        problems.append(f"{clean(str(output))}: would overwrite the masks of the source; give another folder")
    images = (output / IMAGES).resolve()
    has_copies = invert or any(is_dicom(case.image) for case in cases)
    if has_copies and any(case.image.resolve().parent == images for case in cases):
        problems.append(f"{clean(str(output))}: would overwrite the images of the source; give another folder")
    problems += file_problems(cases)
    unread = [flaw.line for flaw in loaded.flaws if flaw.kind == "not read"]
    if problems:
        raise BadInput([*problems, *unread])
    meaning, values_found = NONZERO, ""
    mask_files = [case.mask for case in cases if isinstance(case.mask, Path)]
    if mask_files:
        ignore = nnunet_ignore(source) if ignore_value is None else ignore_value
        meaning, values_found = decide(mask_files, mask_values, ignore)
    elif mask_values != "auto" or ignore_value is not None:
        raise BadInput(
            f"{clean(str(source))}: --mask-values and --ignore-value: expected mask files, found no such file"
        )
    with staging(output) as staged:
        kept: list[tuple[Case, bool, bytes]] = []  # case, fractured, digest of the pixels
        flaws, with_mask = [*loaded.flaws, *header_flaws], set[str]()
        copies = [staged / IMAGES / mask_name(case.id) for case in cases]
        for result in map_threaded(lambda i: examine_copy(cases[i], copies[i], invert, meaning), len(cases), "prepare"):
            if isinstance(result, BadInput):
                problems.extend(result.lines)
                continue
            flaws.extend(result.flaws)
            lost = any(flaw.lost and (flaw.kind != EMPTIED or meaning.fracture is None) for flaw in result.flaws)
            if result.case.label is None and not result.fractured and lost:
                flaws.append(Flaw("left out", f"{result.case.id}: left out, because its mask or annotations are lost"))
                continue
            fractured, contradiction = judge(result.case.label, result.fractured, trust)
            if contradiction:
                flaws.append(Flaw("label", f"{result.case.id}: {contradiction}"))
            if result.mask and fractured == result.fractured:  # not where the label empties the mask
                with_mask.add(result.case.id)
                write_whole(staged / mask_name(result.case.id), result.mask)  # all masks would fill the memory
            if fractured is not None:
                kept.append((result.case, fractured, result.digest))
        total = loaded.annotations or sum(case.mask is not None for case in cases)
        problems += loss_problems(flaws, total, accept_losses)
        if not problems and not kept:
            problems = [flaw.line for flaw in flaws if flaw.kind == "label"]
        if problems:
            raise BadInput([*problems, *unread])
        if has_copies:
            count = sum(case.image.is_relative_to(staged) for case, _, _ in kept)
            flaws.append(Flaw("converted", f"{count} images are 8-bit PNG copies in {clean(str(output / IMAGES))}"))
        samples = _samples(kept, with_mask, output, seed)
        flaws.extend(set_flaws(samples, [digest for _, _, digest in kept]))
        flaws.sort(key=lambda flaw: flaw.kind)
        window = measure(samples, seed)
        samples = placed(samples, staged, output)
        if not overwrite:
            refuse_other_set(samples, output, staged)
        publish(samples, flaws, window, output, staged)
    return Prepared(output / MANIFEST, split_counts(samples), tuple(flaws), window, values_found)


def read_source(source: Path, format: str = "auto", choice: Choice = NO_CHOICE) -> Source:
    """Read the source in the named format; auto detects the format."""
    name = clean(str(source))
    if not source.exists():
        raise BadInput(f"{name}: no such file or folder")
    if format == "auto":
        format = "csv" if (source / MANIFEST).is_file() else "fracatlas" if is_fracatlas(source) else "auto"
    others: list[Flaw] = []
    if format == "auto" or format in FORMATS:
        annotated, others = read_annotated(source, format, choice)
        if annotated:
            return annotated
        format = "folder" if source.is_dir() else "csv"
    if any(choice) and format != "fracatlas":
        raise BadInput(f"{name}: --category and --crowd: expected annotation files, got {format}")
    if format == "csv":
        return read_csv(source / MANIFEST if source.is_dir() else source)
    if not source.is_dir():
        raise BadInput(f"{name}: is a file; --format {format} reads a folder")
    result = read_fracatlas(source, choice) if format == "fracatlas" else read_folder(source)
    return result._replace(flaws=(*result.flaws, *others))


def file_problems(cases: Sequence[Case]) -> list[str]:
    """Every problem of the images and masks that exist: of their headers and, if any has one, of their pixels too."""
    found = [case for case in cases if all(is_file(p) for p in (case.image, case.mask) if isinstance(p, Path))]
    headers = list(map_threaded(lambda index: header_problems(found[index]), len(found), "check headers"))
    if not any(headers):
        return []
    others = [case for case, lines in zip(found, headers, strict=True) if not lines and not is_dicom(case.image)]
    examined = map_threaded(lambda index: examine(others[index]), len(others), "check pixels")
    damaged = [line for result in examined if isinstance(result, BadInput) for line in result.lines]
    return [line for lines in headers for line in lines] + damaged


def _samples(kept: Sequence[tuple[Case, bool, bytes]], with_mask: set[str], output: Path, seed: int) -> list[Sample]:
    """The samples with the splits of the source, or with drawn ones if it has none."""
    splits = [case.split for case, _, _ in kept if case.split]
    if not splits:
        groups = [[digest, *([case.group] if case.group else [])] for case, _, digest in kept]
        splits = stratified_split([case.id for case, _, _ in kept], [label for _, label, _ in kept], groups, seed)
    samples = []
    for (case, fractured, _), split in zip(kept, splits, strict=True):
        mask = output / MASKS / mask_name(case.id) if case.id in with_mask else None
        samples.append(Sample(case.id, case.image, mask, fractured, split, case.group, spacing=case.spacing))
    return samples


def judge(label: bool | None, drawn: bool, trust: str) -> tuple[bool | None, str | None]:
    """(fractured, or None: leave the image out; how label and mask contradict each other, or None).

    label None: the source has no label and the mask decides. drawn: the mask is not empty.
    """
    if label is None or label == drawn:
        return drawn, None
    contradiction = f"labelled {int(label)}, but its mask is {'not empty' if drawn else 'empty'}"
    if trust == "mask":
        return drawn, f"{contradiction}: taken as {'fractured' if drawn else 'not fractured'} (the mask is trusted)"
    if drawn:
        return False, f"{contradiction}: taken as not fractured, mask emptied (the label is trusted)"
    return None, f"{contradiction}: left out, a positive without a mask cannot be scored (the label is trusted)"


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A temporary folder for new masks inside OUTPUT. A second preparation at the same time is an error.

    What a killed preparation left there is removed first.
    """
    with locked_folder(output, "another preparation is writing into it"):
        for stale in output.glob(f"{STAGED}*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=STAGED, dir=output) as folder:
            yield Path(folder)


def refuse_other_set(samples: Sequence[Sample], output: Path, staged: Path) -> None:
    """Raises BadInput if OUTPUT has a manifest, and it or one of its masks or copies differs from the new ones."""
    manifest = output / MANIFEST
    if not manifest.exists():
        return
    targets = {path: output / MASKS / path.name for path in staged.glob("*.png")}
    targets |= {path: output / IMAGES / path.name for path in (staged / IMAGES).glob("*.png")}
    same = all(not old.exists() or filecmp.cmp(new, old, shallow=False) for new, old in targets.items())
    if not same or not is_manifest_of(manifest, samples):
        raise BadInput(f"{clean(str(manifest))}: {OTHER_SET}")


def publish(
    samples: Sequence[Sample], flaws: Sequence[Flaw], window: Window | None, output: Path, staged: Path
) -> None:
    """Move masks, flaws and manifest to their final paths, then remove masks that only the former manifest named.

    At every moment there is a manifest whose files all exist, the former or the new one.
    """
    manifest, masks = output / MANIFEST, output / MASKS
    former: set[str] = set()
    with suppress(BadInput):
        former = set(read_table(manifest, ("mask",))["mask"])
    masks.mkdir(exist_ok=True)
    place_images(staged, output)
    for path in staged.iterdir():
        path.replace(masks / path.name)
    write_whole(output / FLAWS, "".join(f"{flaw.kind}: {flaw.line}\n" for flaw in flaws))
    write_window(output / HEADER, window)
    write_manifest(manifest, samples)
    for name in former - {f"{MASKS}/{sample.mask.name}" for sample in samples if sample.mask}:
        if Path(name).parent == Path(MASKS):
            (output / name).unlink(missing_ok=True)


def mask_name(identity: str) -> str:
    """The file name of a sample's mask: its id, made safe, with a hash where the id is no plain file name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", identity).lstrip(".")[:100]
    if plain == identity:
        return f"{plain}.png"
    return f"{plain}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}.png"


def report_lines(prepared: Prepared) -> Iterator[str]:
    """The splits, then the flaws by kind."""
    yield clean(str(prepared.manifest))
    for split, count in prepared.counts.iterrows():
        yield f"  {split:6}{count.sum():7,} images, {count[True]:,} fractured"
    if (window := prepared.window) is not None:
        yield f"  window {window.low:g} to {window.high:g}, of {window.images} images with more than 8 bits"
    if prepared.mask_values:
        yield f"  {clean(prepared.mask_values)}"
    for kind, group in groupby(prepared.flaws, key=lambda flaw: flaw.kind):
        lines = sorted(flaw.line for flaw in group)
        yield f"{kind}: {len(lines)}"
        yield from (f"  {clean(line)}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            yield f"  … {len(lines) - SHOWN} more in {clean(str(prepared.manifest.with_name(FLAWS)))}"

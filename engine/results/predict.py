"""`xray-engine predict`: masks and presence scores for radiographs without labels, with the choices of an artifact."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.formats import newer
from engine.contract.names import ARTIFACT_GLOB, SCHEMA
from engine.contract.text import clean
from engine.data.images import SUFFIXES, image_size, read_image
from engine.data.manifest import Sample
from engine.data.resize import content_size, to_native
from engine.evaluation.presence import HEAD, OF_AREA, OF_MAP
from engine.evaluation.run import Run, device_of, open_run, predict_samples
from engine.evaluation.scores import LEVELS, quantise
from engine.process.folders import made_whole

OUTLINE = (255, 140, 0)
"""The colour of outlines in overlays: orange, which stands out from grey for everybody."""
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Choices:
    """What an evaluation chose on validation."""

    artifact: Path
    tta: str
    presence_source: str
    threshold: float | None
    """None for a classifier."""
    gate: float | None


def predict_images(
    folder: Path,
    source: Path,
    output: Path,
    *,
    artifact: Path | None = None,
    batch_size: int = 16,
    maps: bool = False,
    overlays: bool = False,
    submission: bool = False,
) -> None:
    """Predict the images of a folder, a file or a CSV with `id` and `image`; write `output` as a whole.

    It gets `scores.csv` and, unless the run is a classifier, `masks/ID.png` (0 and 255, at the image's own size); on
    request `maps/ID.png` (16 bits, p = value / 65535), `overlays/ID.png`, and `submission.csv` with Kaggle's run
    lengths. Raises BadInput for missing or unreadable images, all at once, and if `output` is not empty.
    """
    run = open_run(folder)
    choices = read_choices(run, artifact)
    samples = list(_samples(source, run.samples("val")[0].window))
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadInput(f"{clean(str(output))}: exists and is not empty; give another --output")
    print(f"choices of {clean(str(choices.artifact))}: {_described(choices)}", flush=True)
    rows: list[dict[str, object]] = []
    with made_whole(output) as making:
        for start, mask_maps, scores in predict_samples(run, samples, source, choices.tta, batch_size, device_of(run)):
            count = len(mask_maps) if mask_maps is not None else len(scores if scores is not None else ())
            for index in range(count):
                sample = samples[start + index]
                head = None if scores is None else float(scores[index])
                found = _of_image(run, sample, None if mask_maps is None else mask_maps[index], head, choices)
                rows.append(_write(making, sample, found, maps=maps, overlays=overlays))
        fields = [name for name in ("id", "presence_score", "area", "rle") if name in rows[0]]
        write_whole(making / "scores.csv", _table(rows, [name for name in fields if name != "rle"]))
        if submission and "rle" in fields:
            write_whole(making / "submission.csv", _table(rows, ["id", "rle"]))
    print(f"{clean(str(output))}: {len(rows)} images", flush=True)


def read_choices(run: Run, artifact: Path | None) -> Choices:
    """The choices of a test artifact of this checkpoint, by default of the newest one. Raises BadInput without one."""
    if artifact is not None:
        value = _read(artifact)
        if value is None or not _is_of(value, run):
            raise BadInput(f"{clean(str(artifact))}: expected a test artifact of {clean(str(run.checkpoint))}")
        return _choices(artifact, value)
    found = [(path, value) for path in run.folder.glob(ARTIFACT_GLOB) if (value := _read(path)) and _is_of(value, run)]
    if not found:
        name = clean(str(run.folder))
        raise BadInput(f"{name}: no test artifact of best.pt; run `xray-engine evaluate --run {name}` first")
    return _choices(*max(found, key=lambda pair: (pair[0].stat().st_mtime_ns, pair[0])))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_known = isinstance(value, dict) and value.get("schema") == SCHEMA and not newer(value.get("schema"), SCHEMA)
    return value if is_known else None


def _is_of(artifact: dict[str, Any], run: Run) -> bool:
    try:
        return bool(artifact["provenance"]["checkpoints"][0]["sha256"] == run.sha256)
    except (KeyError, IndexError, TypeError):
        return False


def _choices(path: Path, artifact: dict[str, Any]) -> Choices:
    selection = artifact["selection"]
    threshold = artifact.get("threshold")
    return Choices(path, artifact["tta_mode"], selection["presence_source"], threshold, selection.get("gate"))


def _described(choices: Choices) -> str:
    threshold = [] if choices.threshold is None else [f"threshold {choices.threshold:g}"]
    gate = [] if choices.gate is None else [f"gate {choices.gate:g}"]
    return ", ".join([f"TTA {choices.tta}", *threshold, f"presence from {choices.presence_source}", *gate])


def _samples(source: Path, window: Any) -> Iterator[Sample]:
    """The images as samples without masks. Raises BadInput with a line for each that cannot be read."""
    pairs = list(_from_table(source) if source.suffix.lower() == ".csv" else _from_folder(source))
    if not pairs:
        raise BadInput(f"{clean(str(source))}: no image; expected {', '.join(sorted(SUFFIXES))}")
    problems: list[str] = []
    seen: set[str] = set()
    for identity, path in pairs:
        try:
            image_size(path)
        except BadInput as error:
            problems += error.lines
        if identity in seen or not identity or identity.startswith("/") or ".." in Path(identity).parts:
            problems.append(f"{clean(str(path))}: id {clean(identity)!r}: expected a unique name without ..")
        seen.add(identity)
    if problems:
        raise BadInput(problems)
    for identity, path in pairs:
        yield Sample(identity, path, None, fractured=False, split="new images", window=window)


def _from_folder(source: Path) -> Iterator[tuple[str, Path]]:
    """(id, file) of the images of a folder, or of one file; the id is the path below the folder without suffix."""
    if not source.exists():
        raise BadInput(f"{clean(str(source))}: no such file or folder")
    if source.is_file():
        yield source.stem, source
        return
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    others = [path for path in files if path.suffix.lower() not in SUFFIXES]
    if others:
        named = ", ".join(clean(path.name) for path in others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        print(f"{len(others)} files are no PNG, JPEG, TIFF or BMP and are left out: {named}{more}", flush=True)
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            yield str(path.relative_to(source).with_suffix("")), path


def _from_table(source: Path) -> Iterator[tuple[str, Path]]:
    """(id, file) of a CSV with the columns `id` and `image`; paths are relative to it."""
    try:
        lines = list(csv.DictReader(io.StringIO(source.read_text("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{clean(str(source))}: cannot be read: {clean(str(error))}") from None
    if lines and not {"id", "image"} <= lines[0].keys():
        raise BadInput(f"{clean(str(source))}: expected the columns id and image")
    for line in lines:
        yield line["id"] or "", source.parent / (line["image"] or "")


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found on one image."""

    presence: float
    levels: npt.NDArray[np.uint16] | None
    """The probability map at the image's own size; None for a classifier."""
    mask: npt.NDArray[np.bool_] | None


def _of_image(
    run: Run, sample: Sample, square: npt.NDArray[np.float32] | None, head: float | None, choices: Choices
) -> _Found:
    """The mask and presence score as an evaluation computes them. `square`: the map at the network's size."""
    if square is None:
        assert head is not None
        return _Found(head, None, None)
    assert choices.threshold is not None
    height, width = image_size(sample.image)
    data = run.config.data
    rows, columns = content_size(height, width, data.image_size, data.keep_aspect)
    content = quantise(square[:rows, :columns])
    lowest = np.ceil(choices.threshold * LEVELS - 1e-6)
    presence = head if choices.presence_source == HEAD else None
    if presence is None and choices.presence_source in OF_AREA:
        predicted, pixels = np.array([(content >= lowest).sum()]), np.array([content.size])
        presence = float(OF_AREA[choices.presence_source](predicted, pixels)[0])
    small = content.astype(np.float32) / np.float32(LEVELS)
    if presence is None:
        presence = float(OF_MAP[choices.presence_source](small))
    levels = quantise(to_native(small, height, width))
    is_open = choices.gate is None or presence >= choices.gate
    return _Found(presence, levels, (levels >= lowest) & is_open)


def _write(folder: Path, sample: Sample, found: _Found, *, maps: bool, overlays: bool) -> dict[str, object]:
    """Write the files of one image and return its line for the tables."""
    row: dict[str, object] = {"id": sample.id, "presence_score": f"{found.presence:.6f}"}
    if found.mask is None or found.levels is None:
        return row
    _save(folder / "masks" / f"{sample.id}.png", found.mask.astype(np.uint8) * 255)
    if maps:
        _save(folder / "maps" / f"{sample.id}.png", found.levels)
    if overlays:
        _save(folder / "overlays" / f"{sample.id}.png", outlined(read_image(sample.image, sample.window), found.mask))
    return row | {"area": int(found.mask.sum()), "rle": run_lengths(found.mask)}


def _save(path: Path, pixels: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def outlined(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """(H, W) -> (H, W, 3): the image with the outline of the mask, which lies just outside it."""
    from scipy.ndimage import binary_dilation

    width = max(1, round(max(image.shape) / 400))
    colours = np.repeat(image[:, :, None], 3, axis=2)
    colours[binary_dilation(mask, iterations=width) & ~mask] = OUTLINE
    return colours


def run_lengths(mask: npt.NDArray[np.bool_]) -> str:
    """Kaggle's code: pairs of (start, length), counted from 1 down the columns; empty for an empty mask."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(order="F"), [False]]))) + 1
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def _table(rows: Sequence[dict[str, object]], fields: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

"""From a manifest to nnU-Net's raw dataset folder: grey PNGs at one longer side, labels, our splits as its folds."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.files import named, write_json
from engine.contract.formats import newer
from engine.contract.nnunet import NnunetConfig, NnunetDataConfig
from engine.contract.text import clean
from engine.data.images import read_image, read_labels
from engine.data.inputs import size_problem
from engine.data.manifest import SPLITS, Sample, fingerprint, read_manifest, with_window
from engine.data.resize import content_size, image_to_input, mask_to_input
from engine.data.splits import draw_folds, read_samples
from engine.nnunet.layout import CHANNEL, ENDING, FOLDS
from engine.process.folders import made_whole
from engine.process.progress import map_threaded

_LONGEST = 100
_RESERVED = "_seg"
"""nnU-Net stores the mask of CASE in CASE_seg.b2nd; a case name with that ending would clash."""

RECORD = "export.json"
"""Our record of the export, with the case of each id, beside nnU-Net's own files."""

_IGNORE = 2
"""nnU-Net's ignore label, which has to be the highest."""
_FORMAT = "xray-nnunet-export/1"
_TRAINING, _LABELS, _TEST = "imagesTr", "labelsTr", "imagesTs"


def case_name(identity: str) -> str:
    """A sample's id as nnU-Net's case identifier: unique, only letters, digits, - and _; unchanged where possible.

    >>> case_name("IMG0000019")
    'IMG0000019'
    >>> case_name("ana/wrist 1.png")
    'ana_wrist_1_png-ed2bb9e6'
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", identity)[:_LONGEST]
    if plain == identity and plain[0] != "-" and not plain.endswith(_RESERVED):
        return plain
    return f"{plain.lstrip('-') or '_'}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _read_folds(data: NnunetDataConfig, run: Path | None) -> list[list[Sample]]:
    """nnU-Net's folds, each the manifest's samples with their splits in it: all of our folds if the config has one,
    else the published split alone. The trained fold is that of the run if it has begun. Raises BadInput."""
    own = read_samples(data, run)
    if data.fold is None:
        return [own]
    folds = draw_folds(with_window(read_manifest(Path(data.manifest)), own[0].window), data.folds)
    folds[data.fold] = own
    return folds


def exported_samples(samples: Sequence[Sample], negatives_per_positive: float | None, seed: int) -> list[Sample]:
    """The samples that are exported, in their order: all of val and test, all positives of train, and for each positive
    this number of negatives, drawn with the seed (None: all negatives). nnU-Net draws cases uniformly: with many
    negatives, most of the 33 % of a batch that should show foreground would show none."""
    if negatives_per_positive is None:
        return list(samples)
    training = [sample for sample in samples if sample.split == "train"]
    negatives = [sample.id for sample in training if not sample.fractured]
    wanted = round(negatives_per_positive * (len(training) - len(negatives)))
    drawn = set(random.Random(seed).sample(negatives, min(wanted, len(negatives))))
    left_out = set(negatives) - drawn
    return [sample for sample in samples if sample.id not in left_out]


@dataclass(frozen=True, slots=True)
class Export:
    """An exported dataset folder."""

    folder: Path
    cases: dict[str, str]
    """Our id -> case."""
    fingerprints: dict[str, str]
    """Split -> fingerprint of its exported samples, for the trained fold."""

    def image(self, sample: Sample) -> Path:
        """The exported image of a sample."""
        folder = _TEST if sample.split == "test" else _TRAINING
        return self.folder / folder / image_name(self.cases[sample.id])


def image_name(case: str) -> str:
    """The file name of a case's image."""
    return f"{case}{CHANNEL}{ENDING}"


def export(config: NnunetConfig, folder: Path, run: Path | None = None) -> Export:
    """Write the dataset folder completely in place of a former export, or leave everything unchanged. Training and
    validation images of all folds go to imagesTr with a label each, test images to imagesTs. Raises BadInput for a
    manifest without the images that a training needs, masks of another size, a folder that is no export."""
    if folder.exists() and not (folder / RECORD).is_file():
        raise BadInput(f"{clean(str(folder))}: exists and is not an export; give another folder or name")
    data = config.data
    folds = [exported_samples(samples, data.negatives_per_positive, config.seed) for samples in _read_folds(data, run)]
    _check(folds, data.manifest)
    trained = folds[data.nnunet_fold]
    fingerprints = {split: fingerprint(some) for split in SPLITS if (some := _of(split, trained))}
    samples = list({sample.id: sample for fold in folds for sample in fold}.values())
    cases = {sample.id: case_name(sample.id) for sample in samples}
    with made_whole(folder) as making:
        has_ignored = _write_images(samples, cases, data.image_size, making)
        named_folds = [{split: [cases[s.id] for s in _of(split, fold)] for split in ("train", "val")} for fold in folds]
        write_json(making / FOLDS, named_folds)
        dataset = {
            "channel_names": {"0": "X-ray"},  # a name unknown to nnU-Net: each image is normalised by its own mean
            "labels": {"background": 0, "fracture": 1, **({"ignore": _IGNORE} if has_ignored else {})},
            "numTraining": sum(sample.split != "test" for sample in samples),
            "file_ending": ENDING,
        }
        write_json(making / "dataset.json", dataset)
        record = {
            "format": _FORMAT,
            **data.model_dump(include={"image_size", "negatives_per_positive", "fold", "folds"}),
            "seed": config.seed,
            "fingerprints": fingerprints,
            "cases": cases,
        }
        write_json(making / RECORD, record)
    return Export(folder, cases, fingerprints)


def read_export(folder: Path) -> Export:
    """The export in a dataset folder. Raises BadInput in one line where there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text("utf-8"))
        if (reason := newer(record["format"], _FORMAT)) is not None:
            raise BadInput(f"{clean(str(path))}: {reason}")
        if record["format"] != _FORMAT:
            raise ValueError
        return Export(folder, dict(record["cases"]), dict(record["fingerprints"]))
    except FileNotFoundError:
        raise BadInput(f"{clean(str(path))}: no such file; train the run first") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{clean(str(path))}: cannot be read as an export; train a new run") from None


def _check(folds: Sequence[Sequence[Sample]], manifest: str) -> None:
    """Raises BadInput where nnU-Net cannot train on one of the folds."""
    for number, samples in enumerate(folds):
        where = f"{clean(manifest)}: {f'fold {number}: ' if len(folds) > 1 else ''}"
        if not any(sample.split == "train" and sample.fractured for sample in samples):
            raise BadInput(f"{where}no positive image in split train; nnU-Net needs one")
        if not any(sample.split == "val" for sample in samples):
            raise BadInput(f"{where}no image in split val; nnU-Net needs one")


def _of(split: str, samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.split == split]


def _write_images(samples: Sequence[Sample], cases: dict[str, str], size: int, making: Path) -> bool:
    """Write images and labels; returns whether any label has ignored pixels."""
    with_ignored: set[str] = set()
    for name in (_TRAINING, _LABELS, _TEST):
        (making / name).mkdir()

    def write(index: int) -> str | None:
        sample = samples[index]
        image = read_image(sample.image, sample.window)
        mask = np.zeros(image.shape, np.bool_) if sample.mask is None else read_labels(sample.mask)
        if mask.shape != image.shape:
            return size_problem(sample, image.shape, mask.shape)
        rows, columns = content_size(image.shape[0], image.shape[1], size, keep_aspect=True)  # without padding
        is_test, name = sample.split == "test", image_name(cases[sample.id])
        files = {making / (_TEST if is_test else _TRAINING) / name: image_to_input(image, size, keep_aspect=True)}
        if not is_test:  # a positive mask keeps at least one pixel
            resized = mask_to_input(mask, size, keep_aspect=True)
            label = np.where(resized < 0, _IGNORE, resized).astype(np.uint8)
            if (resized < 0).any():
                with_ignored.add(sample.id)
            files[making / _LABELS / f"{cases[sample.id]}{ENDING}"] = label
        for path, pixels in files.items():
            with named(path):
                Image.fromarray(pixels[:rows, :columns]).save(path, "PNG")
        return None

    if problems := [problem for problem in map_threaded(write, len(samples), "export") if problem]:
        raise BadInput(problems)
    return bool(with_ignored)

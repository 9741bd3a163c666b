"""Test images with the outlines of mask and prediction, from cached probabilities. Starts fast: imports no PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from engine.contract import names
from engine.contract.config import BlendConfig
from engine.contract.errors import BadInput
from engine.contract.load import load_config, load_nnunet_config
from engine.contract.nnunet import NnunetDataConfig
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.data.arrays import open_array
from engine.data.images import Labels, read_image
from engine.data.manifest import Sample
from engine.data.resize import content_size, to_native
from engine.data.splits import read_samples
from engine.evaluation.prediction_cache import ARRAY, INDEX, checkpoint_of
from engine.evaluation.scores import dequantise, native_mask

MASK_COLOUR, PREDICTION_COLOUR = (0, 158, 255), (255, 140, 0)
"""Blue and orange, which people with any colour blindness tell apart. The prediction is dashed besides."""
DASH = 3
MARGIN = 0.6
"""Space around a lesion when zoomed to it, as a share of its size."""

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colours = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Maps:
    """The cached probability maps of one network on the test split."""

    folder: Path
    weight: float
    size: int
    keep_aspect: bool
    index_of: dict[str, int]

    def of(self, sample: Sample, height: int, width: int) -> npt.NDArray[np.float32]:
        """The map (height, width) at the image's own size."""
        levels = open_array(self.folder / ARRAY)
        rows, columns = content_size(height, width, self.size, self.keep_aspect)
        return to_native(dequantise(levels[self.index_of[sample.id], :rows, :columns]), height, width)


class Pictures:
    """The test images of one artifact. Raises BadInput if its table or cached probabilities are missing."""

    def __init__(self, path: Path) -> None:
        try:
            self.artifact: dict[str, Any] = json.loads(path.read_text("utf-8"))
            self.cases = pd.read_csv(path.with_name(self.artifact["per_image"]), index_col="id", dtype={"id": str})
        except KeyError:
            raise BadInput(f"{clean(str(path))}: names no per-image table; evaluate the run again") from None
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{clean(str(path))}: no per-image table: {clean(str(error))}") from None
        self.path, self.run = path, path.parent
        self.threshold = self.artifact.get("threshold")
        if self.threshold is None:
            raise BadInput(f"{clean(str(path))}: a classifier has no masks to show")
        config = load_config(self.run / names.CONFIG) if not _is_nnunet(self.run) else None
        if isinstance(config, BlendConfig):
            selection = self.artifact["selection"]
            parts = zip(selection["members"], selection["member_tta"], selection["weights"], strict=True)
            places = [((self.run / member).resolve(), tta, weight) for member, tta, weight in parts if weight]
        else:
            places = [(self.run, self.artifact["tta_mode"], 1.0)]
        checkpoints = {entry["sha256"] for entry in self.artifact["provenance"]["checkpoints"]}
        self._maps = [_open_maps(place, tta, weight, checkpoints) for place, tta, weight in places]
        first = places[0][0]
        samples = read_samples(_data_of(first), first)
        self._samples = {sample.id: sample for sample in samples if sample.id in self.cases.index}

    def image(self, identity: str) -> Grey:
        """The radiograph (H, W), uint8."""
        sample = self._sample(identity)
        return read_image(sample.image, sample.window)

    def mask(self, identity: str) -> Labels:
        """The mask (H, W), with its ignored pixels."""
        return native_mask(self._sample(identity))

    def probabilities(self, identity: str) -> npt.NDArray[np.float32]:
        """The probability map (H, W), 0 to 1; of a blend the weighted mean of its members'."""
        sample = self._sample(identity)
        height, width = self.image(identity).shape
        total = sum(maps.weight for maps in self._maps)
        return np.asarray(sum(maps.weight / total * maps.of(sample, height, width) for maps in self._maps), np.float32)

    def _sample(self, identity: str) -> Sample:
        if identity not in self._samples:
            raise BadInput(f"{clean(identity)}: not among the test images of {clean(str(self.path))}")
        return self._samples[identity]


def _is_nnunet(run: Path) -> bool:
    return read_mapping(run / names.CONFIG).get("kind") == "nnunet"


def _data_of(run: Path) -> Any:
    if _is_nnunet(run):
        return load_nnunet_config(run / names.CONFIG).data
    config = load_config(run / names.CONFIG)
    if isinstance(config, BlendConfig):
        raise BadInput(f"{clean(str(run))}: a blend of blends cannot be shown")
    return config.data


def _open_maps(run: Path, tta: str, weight: float, checkpoints: set[str]) -> _Maps:
    data, folder = _data_of(run), run / names.PREDICTIONS / f"test_{tta}"
    if checkpoint_of(folder) not in checkpoints or not (folder / ARRAY).exists():
        command = f"xray-engine evaluate --run {clean(str(run))} --tta {tta}"
        raise BadInput(f"{clean(str(folder))}: no probabilities of this checkpoint; `{command}` makes them")
    ids = json.loads((folder / INDEX).read_text("utf-8"))["ids"]
    keep_aspect = True if isinstance(data, NnunetDataConfig) else data.keep_aspect
    return _Maps(folder, weight, data.image_size, keep_aspect, {name: at for at, name in enumerate(ids)})


def dice_of(mask: Labels, predicted: Mask) -> float | None:
    """The Dice of one image, of its counted pixels; None if mask and prediction are both empty."""
    total = int((mask > 0).sum()) + int((predicted & (mask >= 0)).sum())
    return 2 * int(((mask > 0) & predicted).sum()) / total if total else None


def box_around(mask: Labels) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of a square around the fracture with a margin, inside the image; None if empty."""
    ys, xs = np.nonzero(mask > 0)
    if not ys.size:
        return None
    half = max(16.0, (1 + 2 * MARGIN) * max(np.ptp(ys), np.ptp(xs)) / 2)
    y, x = (ys.min() + ys.max()) / 2, (xs.min() + xs.max()) / 2
    height, width = mask.shape
    return max(0, int(y - half)), max(0, int(x - half)), min(height, int(y + half) + 1), min(width, int(x + half) + 1)


def draw(
    image: Grey,
    mask: Labels,
    predicted: Mask,
    size: tuple[int, int],
    box: tuple[int, int, int, int] | None = None,
    width: int = 1,
) -> Colours:
    """The image, or a box of it, scaled into `size` (rows, columns), with outlines: (rows', columns', 3), uint8.

    The outline of the mask is a solid line, that of the prediction a dashed one, both `width` pixels wide.
    """
    top, left, bottom, right = box or (0, 0, *image.shape)
    part = image[top:bottom, left:right]
    scale = min(size[0] / part.shape[0], size[1] / part.shape[1])
    shape = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))  # (width, height)
    grey = np.asarray(Image.fromarray(part).resize(shape, Image.Resampling.BILINEAR))
    colours = np.repeat(grey[:, :, None], 3, axis=2)
    rows, columns = np.indices(grey.shape)
    for flags, colour, dashed in ((mask > 0, MASK_COLOUR, False), (predicted, PREDICTION_COLOUR, True)):
        area = Image.fromarray(flags[top:bottom, left:right].astype(np.uint8) * 255).resize(shape, Image.Resampling.BOX)
        line = outline(np.asarray(area) >= 64, width)
        colours[line & ((rows + columns) // (DASH * width) % 2 == 0) if dashed else line] = colour
    return colours


def outline(area: Mask, width: int = 1) -> Mask:
    """The pixels of the area that are at most `width` steps from one outside. The picture's border is not outside."""
    inside = area
    for _ in range(width):
        padded = np.pad(inside, 1, mode="edge")
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return area & ~inside

"""data.csv of a run: which images it was trained, validated and tested on, recognisable under other names.

Each image has two digests of its decoded pixels. `pixels` is equal for equal pixels in any file format; `look` is a
perceptual hash, which changes in a few bits when the image is resized or saved again with losses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.text import clean
from engine.data.arrays import cached
from engine.data.images import read_image
from engine.data.inputs import cache_folder
from engine.data.manifest import Sample
from engine.data.tables import read_table
from engine.process.progress import map_threaded

SIDE, KEPT = 64, 16
"""The perceptual hash: side of the reduced image, and side of the block of its lowest frequencies."""
LARGEST_DISTANCE = 24
"""Of 256 bits, those in which two hashes of one image may differ. Measured on FracAtlas: copies of 347 images at half
the size, at 256 pixels, or saved as JPEG of quality 60 differ in 14 bits at most. Of all pairs of its 3,470 images,
those up to 24 bits are the same radiograph (compared by eye); the first pair of different ones differs in 28."""

_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)
"""(256,): number of one bits of each byte."""
_COLUMNS = ("id", "split", "pixels", "look")
Hashes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Images:
    """The images of some samples, in one order."""

    ids: tuple[str, ...]
    splits: tuple[str, ...]
    pixels: Hashes
    """(N, 32): SHA-256 of height, width and grey values."""
    looks: Hashes
    """(N, 32): perceptual hashes."""

    def where(self, wanted: Callable[[str, str], bool]) -> Images:
        """The images for whose id and split the condition holds."""
        kept = [index for index, pair in enumerate(zip(self.ids, self.splits, strict=True)) if wanted(*pair)]
        ids, splits = (tuple(texts[index] for index in kept) for texts in (self.ids, self.splits))
        return Images(ids, splits, self.pixels[kept], self.looks[kept])

    def of(self, *splits: str) -> Images:
        """The images of these splits."""
        return self.where(lambda _, split: split in splits)

    def fingerprint(self) -> str:
        """`sha256:<hex>` of the pixels, the same for every order and naming of the images."""
        return "sha256:" + hashlib.sha256(b"".join(sorted(map(bytes, self.pixels)))).hexdigest()


def read_images(samples: Sequence[Sample], cache_beside: Path | None) -> Images:
    """Decode the samples and hash them. Cached beside the manifest `cache_beside`, unless that is None. Raises BadInput
    for a file that cannot be read."""

    def fill(pixels: Hashes, looks: Hashes) -> None:
        def hash_one(index: int) -> None:
            image = read_image(samples[index].image)
            pixels[index], looks[index] = pixel_hash(image), perceptual_hash(image)

        list(map_threaded(hash_one, len(samples), "hash images"))

    folder = None if cache_beside is None else cache_folder(samples, cache_beside, "data-record-1")
    layout = {"pixels": (np.uint8, (len(samples), 32)), "looks": (np.uint8, (len(samples), KEPT * KEPT // 8))}
    pixels, looks = cached(folder, layout, fill)
    ids, splits = tuple(sample.id for sample in samples), tuple(sample.split for sample in samples)
    return Images(ids, splits, pixels, looks)


def pixel_hash(image: npt.NDArray[np.uint8]) -> Hashes:
    """(32,): SHA-256 of a grey image (height, width)."""
    whole = hashlib.sha256(b"%d %d " % image.shape)
    whole.update(image.tobytes())
    return np.frombuffer(whole.digest(), np.uint8)


def perceptual_hash(image: npt.NDArray[np.uint8]) -> Hashes:
    """(32,): the signs of an image's lowest frequencies about their median, as bits (pHash: Zauner 2010)."""
    from scipy.fft import dctn

    small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    low = dctn(small, norm="ortho")[:KEPT, :KEPT].ravel()
    return np.packbits(low > np.median(low[1:]))


def common(these: Images, others: Images) -> list[tuple[str, str]]:
    """(id, id in `others`) of the images that are in both: equal pixels, or the same image resized or saved again."""
    found: dict[str, str] = {}
    by_pixels = {bytes(digest): identity for digest, identity in zip(others.pixels, others.ids, strict=True)}
    for index, identity in enumerate(these.ids):
        if (other := by_pixels.get(bytes(these.pixels[index]))) is not None:
            found[identity] = other
        elif others.ids:
            distances = _ONES[others.looks ^ these.looks[index]].sum(axis=1)
            if distances.min() <= LARGEST_DISTANCE:
                found[identity] = others.ids[int(distances.argmin())]
    return list(found.items())


def write_data_record(run: Path, images: Images) -> None:
    """Write the run's data.csv: id, split, pixels, look."""
    import pandas as pd

    hashes = [[bytes(digest).hex() for digest in kind] for kind in (images.pixels, images.looks)]
    table = pd.DataFrame(dict(zip(_COLUMNS, (images.ids, images.splits, *hashes), strict=True)))
    write_whole(run / names.DATA, table.to_csv(index=False, lineterminator="\n"))


def read_data_record(run: Path) -> Images | None:
    """The run's data.csv; None for a run of a version without it. Raises BadInput for a damaged file."""
    path = run / names.DATA
    if not path.exists():
        return None
    table = read_table(path, _COLUMNS)
    try:
        pixels, looks = (
            np.array([list(bytes.fromhex(text)) for text in table[name]], np.uint8).reshape(len(table), 32)
            for name in ("pixels", "look")
        )
    except ValueError:
        raise BadInput(f"{clean(str(path))}: expected hexadecimal digests of 32 bytes") from None
    return Images(tuple(table["id"]), tuple(table["split"]), pixels, looks)

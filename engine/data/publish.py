"""How a preparation reaches its folder: masks beside the place first, the manifest last, whole."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.names import MANIFEST
from engine.data.manifest import Sample, read_table, write_manifest
from engine.data.source import Flaw
from engine.folders import held

MASKS = "masks"
FLAWS = "flaws.txt"
STAGED = ".masks-"


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A folder for new masks inside OUTPUT, gone afterwards. A second preparation at the same time is refused.

    What a preparation that was killed has left there is cleared away first.
    """
    with held(output, "another preparation is writing there"):
        for stale in output.glob(f"{STAGED}*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=STAGED, dir=output) as folder:
            yield Path(folder)


def stage_mask(staged: Path, identity: str, png: bytes) -> None:
    """Keep a mask for `publish`, on the disk: all masks of a large set would fill the memory."""
    with (staged / mask_name(identity)).open("wb") as file:
        file.write(png)
        file.flush()
        os.fsync(file.fileno())


def publish(samples: Sequence[Sample], flaws: Sequence[Flaw], output: Path, staged: Path) -> None:
    """Put masks, flaws and manifest in their places, then remove masks that only the former manifest named.

    At every moment there is a manifest whose files all exist, the former or the new one.
    """
    manifest, masks = output / MANIFEST, output / MASKS
    former = _masks_of(manifest)
    masks.mkdir(exist_ok=True)
    for path in staged.iterdir():
        path.replace(masks / path.name)
    write_whole(output / FLAWS, "".join(f"{flaw.kind}: {flaw.line}\n" for flaw in flaws))
    write_manifest(manifest, samples)
    for name in former - {sample.mask.name for sample in samples if sample.mask}:
        (masks / name).unlink(missing_ok=True)


def mask_name(identity: str) -> str:
    """The file name of a sample's mask: its id, made safe and kept unique where the id is no plain file name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", identity).lstrip(".")[:100]
    if plain == identity:
        return f"{plain}.png"
    return f"{plain}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}.png"


def _masks_of(manifest: Path) -> set[str]:
    """Names of the masks that a manifest already there has in the folder beside it."""
    try:
        rows = [Path(row["mask"]) for _, row in read_table(manifest, ("mask",))]
    except BadInput:
        return set()
    return {path.name for path in rows if path.parent == Path(MASKS)}

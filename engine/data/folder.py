"""A folder of images and masks as a source, matched by name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from engine.contract.text import clean
from engine.data.image import SUFFIXES
from engine.data.source import Case, Flaw, Source, checked

IMAGES, MASKS = "images", "masks"
MASK_ENDING = re.compile(r"[_-]mask$", re.IGNORECASE)
CLASSES = {
    "fractured": True, "fracture": True, "positive": True,
    "non_fractured": False, "not_fractured": False, "unfractured": False, "no_fracture": False,
    "negative": False, "normal": False,
}  # fmt: skip
V = TypeVar("V")

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_folder(folder: Path) -> Source:
    """Cases of a folder in one of these layouts, at any depth:

        images/**/NAME.png   masks/**/NAME.png (or NAME_mask.png)     images and masks apart
        **/NAME.png          **/NAME_mask.png                         masks beside their images

    An image without a mask has none. Class folders on an image's way (fractured, positive; non_fractured, normal,
    negative …, any case, `-` or a blank for `_`) give the label, otherwise the mask decides. Folders train, val (valid,
    validation) and test give the split, where all images lie in one. The id is the name without its ending, with the
    folders before it where names repeat. Flaw: a mask without an image. Problem: two images or two masks of one name.
    """
    files = sorted(path for path in folder.rglob("*") if _is_image(path, folder))
    apart = (folder / IMAGES).is_dir()
    if apart:
        images = [path for path in files if path.is_relative_to(folder / IMAGES)]
        masks = [path for path in files if path.is_relative_to(folder / MASKS)]
        image_root, mask_root = folder / IMAGES, folder / MASKS
    else:
        images = [path for path in files if not MASK_ENDING.search(path.stem)]
        masks = [path for path in files if MASK_ENDING.search(path.stem)]
        image_root = mask_root = folder
    problems = []
    if not images:
        problems.append(f"{clean(str(folder))}: no images; PNG, JPEG or TIFF files, or a folder {IMAGES}, are right")
    mask_of, flaws, mask_problems = _matched(images, image_root, masks, mask_root)
    repeated = any(count > 1 for count in Counter(path.stem for path in images).values())
    splits = [_from_folders(path, image_root, SPLIT_FOLDERS) for path in images]
    if not all(splits):
        splits = [None] * len(images)
    cases = [
        Case(
            "_".join(_way(path, image_root)) if repeated else path.stem,
            path,
            clean(str(path)),
            _from_folders(path, image_root, CLASSES),
            mask_of.get(path),
            split,
        )
        for path, split in zip(images, splits, strict=True)
    ]
    return checked(cases, flaws, [*problems, *mask_problems])


def _matched(
    images: Iterable[Path], image_root: Path, masks: Iterable[Path], mask_root: Path
) -> tuple[dict[Path, Path], list[Flaw], list[str]]:
    """(mask of each image that has one, masks that match none, images that several masks match).

    The same way below both roots matches first; a name alone matches where only one image has it.
    """
    by_way: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_way[_way(image, image_root)].append(image)
        by_name[image.stem].append(image)
    masks_of: dict[Path, list[Path]] = defaultdict(list)
    flaws = []
    for mask in masks:
        for stem in (mask.stem, MASK_ENDING.sub("", mask.stem)):
            way = (*_way(mask, mask_root)[:-1], stem)
            matches = by_way.get(way) or by_name.get(stem, [])
            if len(matches) == 1 and matches[0] != mask:
                masks_of[matches[0]].append(mask)
                break
        else:
            flaws.append(Flaw("mask alone", f"{clean(str(mask))}: no image, or more than one, of that name; left out"))
    problems = [
        f"{clean(str(image))}: {len(found)} masks: {', '.join(clean(str(mask)) for mask in found)}; one is right"
        for image, found in masks_of.items()
        if len(found) > 1
    ]
    return {image: found[0] for image, found in masks_of.items()}, flaws, problems


def _is_image(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _way(path: Path, root: Path) -> tuple[str, ...]:
    return (*path.relative_to(root).parts[:-1], path.stem)


def _from_folders(path: Path, root: Path, meaning: dict[str, V]) -> V | None:
    """What the innermost folder with a meaning says, or None."""
    for part in reversed(path.relative_to(root).parts[:-1]):
        key = re.sub(r"[\s-]+", "_", part.strip().lower())
        if key in meaning:
            return meaning[key]
    return None

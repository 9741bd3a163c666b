"""Folders of images and masks in the layouts of common tools: which file is an image, which is a mask, and of what."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.contract.names import MANIFEST
from engine.contract.text import clean
from engine.data.images import SUFFIXES
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.dicom import SUFFIXES as DICOM_SUFFIXES
from engine.prepare.dicom import is_dicom
from engine.prepare.sources import FLAWS, Case, Source, checked
from engine.prepare.unread import list_unread

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "imagestr", "imagests", "jpegimages", "img_dir"})
MASK_FOLDERS = frozenset(
    {"masks", "mask", "labels", "label", "gt", "ground_truth", "annotations", "annotation", "segmentations"}
    | {"labelstr", "labelsts", "segmentationclass", "ann_dir"}
)
INSTANCES = "segmentationobject"
"""VOC's masks of single objects, which repeat SegmentationClass."""
MASK_AFFIX = re.compile(r"^masks?[_-](?=.)|(?<=.)[_-](?:masks?|seg|gt)(?:[_-]?\d+)?$", re.IGNORECASE)
NNUNET_PARTS = {"imagestr": "tr", "labelstr": "tr", "imagests": "ts", "labelsts": "ts"}
CHANNEL = re.compile(r"_(\d{4})$")

CLASSES = {
    "fractured": True, "fracture": True, "positive": True,
    "non_fractured": False, "not_fractured": False, "unfractured": False, "no_fracture": False,
    "negative": False, "normal": False,
}  # fmt: skip
SPLIT_FOLDERS = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "imagestr": "train", "imagests": "test",
}  # fmt: skip
LAYOUTS = (
    "a folder images, imgs or img and a folder masks, labels, gt or annotations with the same names (each may hold, or "
    "lie in, train, val and test); NAME_mask, NAME_seg, NAME_gt or mask_NAME beside NAME; nnU-Net (imagesTr, labelsTr);"
    " VOC (JPEGImages, SegmentationClass); mmsegmentation (img_dir, ann_dir); or class folders (fractured, normal) for "
    "all images"
)
V = TypeVar("V")


class Picture(NamedTuple):
    """An image or a mask. way: its folders without those that only separate images from masks, then its name."""

    path: Path
    way: tuple[str, ...]
    keys: tuple[str, ...]
    """Its folders in lower case, with `_` for blanks and `-`."""


def read_folder(folder: Path) -> Source:
    """Cases of a folder in one of LAYOUTS, at any depth; an image without a mask counts as not fractured.

    Class folders (fractured, positive; non_fractured, normal, negative …) give the label; without them the mask
    decides. Folders train, val (valid, validation) and test, or VOC's ImageSets, give the split if they give it to all
    images. The id is the name without its suffix, with its folders where names repeat. Names of masks match across
    letter case and Unicode forms.

    Flaws: a mask without an image, images without a mask (their number), files that are left out. Problems: no masks
    and no class folders, several masks of one image.
    """
    name = clean(str(folder))
    images, masks, flaws = _sorted_files(folder)
    problems = [
        f"{clean(str(image.path))}: channel {channel[1]} of nnU-Net; expected images of one channel (NAME_0000)"
        for image in images
        if "imagestr" in image.keys or "imagests" in image.keys
        if (channel := CHANNEL.search(image.way[-1])) and channel[1] != "0000"
    ]
    images = [_without_channel(image) for image in images]
    images, split_of, list_flaws = _listed_by_voc(folder, images)
    mask_of, alone, mask_problems = _matched(images, masks)
    flaws += list_flaws
    flaws += [Flaw("mask alone", f"{clean(str(mask))}: expected one image of that name; left out", 1) for mask in alone]
    unmasked: list[Path] = []
    labels = {image.path: meaning_of(image.keys, CLASSES) for image in images}
    if not images:
        found = f"{len(masks)} masks, but no images" if masks else "no images"
        problems.append(f"{name}: {found}; expected PNG, JPEG, TIFF or DICOM files, as in {LAYOUTS}")
    elif not mask_of and None in labels.values():
        found = f"{len(masks)} masks, each without an image of its name" if masks else "no masks"
        problems.append(f"{name}: {len(images)} images, but {found}; expected {LAYOUTS}")
    else:
        unmasked = [] if mask_of else [path for path, label in labels.items() if label]
        flaws += [Flaw("mask lost", f"{clean(str(path))}: in a folder of fractures, no mask", 1) for path in unmasked]
    splits = {image.path: split_of.get(image.path) or meaning_of(image.keys, SPLIT_FOLDERS) for image in images}
    images, unlabelled = _labelled(images, mask_of, labels, splits)
    splits, split_flaws = _whole_split(images, splits)
    unmasked_count = sum(labels[image.path] is None and image.path not in mask_of for image in images)
    if unmasked_count:
        flaws.append(Flaw("no mask", f"{unmasked_count} of {len(images)} images have no mask: taken as not fractured"))
    repeated = max(Counter(image.way[-1] for image in images).values(), default=0) > 1
    cases = [
        Case(
            "_".join(image.way) if repeated else image.way[-1],
            image.path,
            clean(str(image.path)),
            labels[image.path],
            mask_of.get(image.path),
            splits[image.path],
        )
        for image in images
    ]
    result = checked(cases, [*flaws, *unlabelled, *split_flaws], [*problems, *mask_problems])
    return result._replace(annotations=len(masks) + len(unmasked))


def visible_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """(the files below a folder without hidden ones and those of earlier preparations, the folders of the latter)."""
    prepared = {path.parent for path in folder.rglob(MANIFEST) if path.with_name(FLAWS).is_file()} - {folder}
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and prepared.isdisjoint(path.parents)
        and path.is_file()
    ]
    return files, sorted(prepared)


def folder_keys(path: Path, root: Path) -> tuple[str, ...]:
    """The names of the folders between root and the file in lower case, with `_` for blanks and `-`."""
    parts = path.relative_to(root).parts[:-1]
    return tuple(re.sub(r"[\s-]+|2017$", "_", part.strip().lower()).strip("_") for part in parts)


def meaning_of(keys: Sequence[str], meaning: Mapping[str, V]) -> V | None:
    """The meaning of the innermost folder that has one, or None."""
    return next((meaning[key] for key in reversed(keys) if key in meaning), None)


def is_named_mask(path: Path, root: Path) -> bool:
    """Whether a file lies in a folder of masks, or is named like a mask."""
    return not MASK_FOLDERS.isdisjoint(folder_keys(path, root)) or bool(MASK_AFFIX.search(path.stem))


def is_picture(path: Path) -> bool:
    """Whether a file is an image that is read, by its name, or a DICOM file without a suffix."""
    return path.suffix.lower() in SUFFIXES or is_dicom(path)


def _sorted_files(folder: Path) -> tuple[list[Picture], list[Picture], list[Flaw]]:
    """(images, masks, flaws: files that are left out). A file in a folder of masks, or named like a mask, is never an
    image. With a folder of images, only files in one are images."""
    images: list[Picture] = []
    masks: list[Picture] = []
    plain: list[Picture] = []
    flaws: list[Flaw] = []
    unread: list[Path] = []
    files, prepared = visible_files(folder)
    flaws += [Flaw("left out", f"{clean(str(path))}: the output of a preparation") for path in prepared]
    for path in files:
        parts = path.relative_to(folder).parts
        keys = folder_keys(path, folder)
        suffix = path.suffix.lower()
        is_mask = is_named_mask(path, folder)
        is_image = is_picture(path)
        if not is_image and not (suffix == ".npy" and is_mask):
            unread.append(path)
            continue
        stem = path.name if is_image and suffix not in SUFFIXES | DICOM_SUFFIXES else path.stem
        ways = (
            NNUNET_PARTS.get(key, "" if key in IMAGE_FOLDERS | MASK_FOLDERS else part)
            for key, part in zip(keys, parts, strict=False)
        )
        picture = Picture(path, (*filter(None, ways), stem), keys)
        if INSTANCES in keys:
            flaws.append(Flaw("left out", f"{clean(str(path))}: masks of single objects; SegmentationClass is read"))
        else:
            (masks if is_mask else plain if IMAGE_FOLDERS.isdisjoint(keys) else images).append(picture)
    if images:
        reason = "lies in no folder of images or masks"
        flaws += [Flaw("left out", f"{clean(str(picture.path))}: {reason}") for picture in plain]
    return images or plain, masks, [*flaws, *list_unread(unread)]


def nnunet_ignore(folder: Path) -> int | None:
    """The ignore label of nnU-Net's dataset.json in the folder, or None."""
    try:
        return int(json.loads((folder / "dataset.json").read_bytes())["labels"]["ignore"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _without_channel(image: Picture) -> Picture:
    if NNUNET_PARTS.keys().isdisjoint(image.keys):
        return image
    return image._replace(way=(*image.way[:-1], image.way[-1].removesuffix("_0000")))


def _listed_by_voc(folder: Path, images: Sequence[Picture]) -> tuple[list[Picture], dict[Path, str], list[Flaw]]:
    """(the images without those of JPEGImages that no list of ImageSets/Segmentation names, the split that a list
    gives, flaws)."""
    split_of_name: dict[str, str | None] = {}
    for path in sorted(folder.rglob("ImageSets/Segmentation/*.txt")):
        for name in path.read_text("utf-8", "replace").split():
            split_of_name[name] = SPLIT_FOLDERS.get(path.stem.lower()) or split_of_name.get(name)
    if not split_of_name:
        return list(images), {}, []
    kept = [image for image in images if "jpegimages" not in image.keys or image.way[-1] in split_of_name]
    flaws = [
        Flaw("left out", f"{clean(name)}: in ImageSets/Segmentation, but no such image")
        for name in sorted(split_of_name.keys() - {image.way[-1] for image in kept})
    ]
    if count := len(images) - len(kept):
        flaws.append(Flaw("left out", f"{count} images of JPEGImages: in no list of ImageSets/Segmentation"))
    splits = {image.path: split for image in kept if (split := split_of_name.get(image.way[-1]))}
    return kept, splits, flaws


def _matched(images: Sequence[Picture], masks: Sequence[Picture]) -> tuple[dict[Path, Path], list[Path], list[str]]:
    """(mask of each image that has one, masks that match no image, problems: images with several masks).

    The same folders and name match first, then the same name where only one image has it. Masks that match no image
    exactly are compared again without regard to letter case and Unicode form.
    """
    masks_of: dict[Path, list[Path]] = defaultdict(list)
    for fold in (str, folded):
        images_of: dict[Hashable, list[Path]] = defaultdict(list)  # by folders and name, and by the name
        for image in images:
            way = tuple(map(fold, image.way))
            images_of[way].append(image.path)
            images_of[way[-1]].append(image.path)
        alone = []
        for mask in masks:
            *folders, stem = map(fold, mask.way)
            keys = [key for name in (stem, MASK_AFFIX.sub("", stem)) for key in ((*folders, name), name)]
            match = next((found[0] for key in keys if len(found := images_of.get(key, [])) == 1), None)
            if match is None:
                alone.append(mask)
            else:
                masks_of[match].append(mask.path)
        masks = alone
    problems = [
        f"{clean(str(image))}: expected one mask, got {len(group)}: {', '.join(clean(str(mask)) for mask in group)}"
        for image, group in masks_of.items()
        if len(group) > 1
    ]
    return {image: group[0] for image, group in masks_of.items()}, [mask.path for mask in masks], problems


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _labelled(
    images: Sequence[Picture],
    mask_of: Mapping[Path, Path],
    labels: Mapping[Path, bool | None],
    splits: Mapping[Path, str | None],
) -> tuple[list[Picture], list[Flaw]]:
    """(the images without those of splits that have neither a mask nor a label while others do, a flaw for each such
    split): test images are often published without their masks, and are not negatives."""
    labelled = {splits[path] for path in splits if path in mask_of or labels[path] is not None}
    kept = [image for image in images if not labelled or splits[image.path] in labelled]
    counts = Counter(split for image in images if (split := splits[image.path]) not in labelled) if labelled else {}
    return kept, [
        Flaw("left out", f"{count} images of {split or 'no split'}: no mask among them, so they may be unlabelled")
        for split, count in counts.items()
    ]


def _whole_split(
    images: Sequence[Picture], splits: dict[Path, str | None]
) -> tuple[dict[Path, str | None], list[Flaw]]:
    """The splits, or no split where they do not cover all images, or are only nnU-Net's imagesTr; and a flaw then."""
    missing = [image.path for image in images if not splits[image.path]]
    if not missing and not all("imagestr" in image.keys for image in images):
        return splits, []
    flaws = []
    if 0 < len(missing) < len(images):
        line = f"{len(missing)} images have no split, such as {clean(str(missing[0]))}: a split is drawn for all images"
        flaws.append(Flaw("split folders", line))
    return dict.fromkeys(splits), flaws

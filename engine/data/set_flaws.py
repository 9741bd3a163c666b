"""Flaws that only show when the images of a set are looked at together: the same pixels twice, torn groups, gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from engine.contract.text import clean
from engine.data.manifest import SPLITS, Sample
from engine.data.source import Flaw


def set_flaws(samples: Sequence[Sample], digests: Sequence[bytes]) -> Iterator[Flaw]:
    """Every such flaw. digests: of each sample's pixels, in the same order."""
    yield from _duplicates(samples, digests)
    yield from _torn_groups(samples)
    yield from _empty_classes(samples)


def _duplicates(samples: Sequence[Sample], digests: Sequence[bytes]) -> Iterator[Flaw]:
    """One flaw for all images with the same pixels; its kind is the worst thing about them."""
    alike: dict[bytes, list[Sample]] = defaultdict(list)
    for sample, digest in zip(samples, digests, strict=True):
        alike[digest].append(sample)
    for same in alike.values():
        if len(same) == 1:
            continue
        told = ", ".join(f"{s.id} ({s.split}, {'' if s.fractured else 'not '}fractured)" for s in same)
        across = len({s.split for s in same}) > 1
        differ = len({s.fractured for s in same}) > 1
        kind = "duplicate, other label" if differ else "duplicate across splits" if across else "duplicate"
        told += "; across splits" * across + "; with different labels" * differ
        yield Flaw(kind, f"pixel for pixel the same: {told}")


def _torn_groups(samples: Sequence[Sample]) -> Iterator[Flaw]:
    places: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.group is not None:
            places[sample.group].add(sample.split)
    for group, splits in places.items():
        if len(splits) > 1:
            named = " and ".join(split for split in SPLITS if split in splits)
            yield Flaw("group across splits", f"group {clean(group)} is in {named}: scores there flatter")


def _empty_classes(samples: Sequence[Sample]) -> Iterator[Flaw]:
    there = Counter((sample.split, sample.fractured) for sample in samples)
    for split in SPLITS:
        for fractured, word in ((True, "fractured"), (False, "unfractured")):
            if not there[split, fractured]:
                yield Flaw("empty class", f"{split} has no {word} image: not every metric can be computed there")

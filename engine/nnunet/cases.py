"""Which images nnU-Net gets and what it calls them."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path

from engine.contract.nnunet import NnunetDataConfig
from engine.data.folds import copies, with_fold
from engine.data.manifest import Sample, read_manifest

_LONGEST = 100
_RESERVED = "_seg"
"""nnU-Net keeps the mask of CASE in CASE_seg.b2nd: a case of that name would be taken for one."""


def case_name(identity: str) -> str:
    """A sample's id as nnU-Net's case identifier: letters, digits, - and _ alone, unique, as it is where it can be.

    >>> case_name("IMG0000019")
    'IMG0000019'
    >>> case_name("ana/wrist 1.png")
    'ana_wrist_1_png-ed2bb9e6'
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", identity)[:_LONGEST]
    if plain == identity and plain[0] != "-" and not plain.endswith(_RESERVED):
        return plain
    return f"{plain.lstrip('-') or '_'}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def read_folds(data: NnunetDataConfig) -> list[list[Sample]]:
    """nnU-Net's folds, each the manifest's samples with the splits that it gives them: all of ours where one of them is
    asked for, else the published split alone. Raises BadInput."""
    samples = read_manifest(Path(data.manifest))
    if data.fold is None:
        return [samples]
    alike = copies(samples)
    return [with_fold(samples, fold, data.folds, alike) for fold in range(data.folds)]


def exported_samples(samples: Sequence[Sample], negatives_per_positive: float | None, seed: int) -> list[Sample]:
    """The samples that nnU-Net gets, in their order: all of val and test, all positives of train, and of its negatives
    as many for each positive, drawn with the seed; None: all of them.

    nnU-Net draws its cases uniformly and takes any crop of one without a fracture, so that of the 33 % of a batch in
    which it wants foreground most would show none where negatives are many.
    """
    if negatives_per_positive is None:
        return list(samples)
    training = [sample for sample in samples if sample.split == "train"]
    negatives = [sample.id for sample in training if not sample.fractured]
    wanted = round(negatives_per_positive * (len(training) - len(negatives)))
    drawn = set(random.Random(seed).sample(negatives, min(wanted, len(negatives))))
    left_out = set(negatives) - drawn
    return [sample for sample in samples if sample.id not in left_out]

"""`xray-engine synth`: a deterministic set of synthetic radiographs, to try everything without patients' data.

Bones and soft tissue are tubes that attenuate, fractures are gaps and steps in them. Lengths are shares of the image's
side, so a set looks the same at every size. Each ray sums up an attenuation (tissue, cortical bone, spongy inside), and
the film shows 1 - exp(-attenuation), which makes the edges of bones and their crossings bright.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.names import MANIFEST
from engine.contract.text import clean
from engine.data.images import read_image
from engine.data.manifest import OTHER_SET, Sample, is_manifest_of, write_manifest
from engine.data.splits import stratified_split
from engine.process.progress import Progress

Plane = NDArray[np.float32]

SMALLEST_MASK = 12
"""Pixels. A fracture with fewer visible pixels is drawn again."""

POSITIVE_SHARE = 0.28


@dataclass(frozen=True, slots=True)
class Bone:
    """A hollow, slightly bent tube with flaring ends. Its middle is `along` and `across` the limb's axis, `tilt` its
    angle to that axis in radians, `cortex` the thickness of its wall as a share of the radius."""

    along: float
    across: float
    half_length: float
    radius: float
    tilt: float
    bend: float
    flare: float
    cortex: float


@dataclass(frozen=True, slots=True)
class Fracture:
    """A break across a bone: a gap along a jagged line, beyond which the bone is displaced.

    The line crosses the bone at `at`, from the bone's middle, with a `slope` (0: straight across). The gap removes
    `depth`, a share of the bone's attenuation. Beyond it the bone is moved sideways by `step` and bent by `angle`, a
    tangent.
    """

    at: float
    slope: float
    gap: float
    depth: float
    step: float
    angle: float
    teeth: float
    phase: float


def radiograph(rng: np.random.Generator, size: int, fractured: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(grey pixels, mask), both (size, size). The mask is empty exactly where not fractured."""
    pixels, mask = _expose(rng, size, fractured)
    while fractured and mask.sum() < SMALLEST_MASK:
        pixels, mask = _expose(rng, size, fractured)
    return pixels, mask


def _expose(rng: np.random.Generator, size: int, fractured: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    angle = rng.normal(np.pi / 2, 0.35) if rng.random() < 0.75 else rng.uniform(0.0, np.pi)
    shift_x, shift_y = rng.uniform(-0.12, 0.12, 2)
    x, y = x - shift_x, y - shift_y
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))

    bones = _skeleton(rng)
    broken = int(rng.integers(sum(abs(bone.along) < 0.3 for bone in bones))) if fractured else -1
    mask = np.zeros((size, size), bool)
    attenuation = _tissue(rng, bones, along, across)
    grain = _clouds(rng, size, (4, 9, 24), (0.5, 0.3, 0.2))
    marrow = _clouds(rng, size, (size // 6 + 2, size // 3 + 2), (0.5, 0.5))
    density = rng.uniform(0.8, 1.3)
    for number, bone in enumerate(bones):
        fracture = _fracture(rng, bone, size) if number == broken else None
        added, hurt = tube(bone, fracture, along, across, marrow)
        attenuation += np.float32(density) * added
        mask |= hurt
        if fracture is None and rng.random() < 0.15:
            attenuation *= _growth_plate(rng, bone, along, across)
    attenuation *= 1.0 + 0.12 * grain
    film = 1.0 - np.exp(-attenuation * rng.uniform(0.75, 1.15))
    return _develop(rng, film, size), mask


def _skeleton(rng: np.random.Generator) -> list[Bone]:
    """One to three bones side by side, sometimes with a neighbour beyond a joint; the middle bones first."""
    count = int(rng.choice([1, 2, 2, 3]))
    spread = rng.uniform(0.15, 0.21)
    bones = [
        Bone(
            along=rng.uniform(-0.06, 0.06),
            across=(number - (count - 1) / 2) * spread + rng.normal(0, 0.012),
            half_length=rng.uniform(0.34, 0.75),
            radius=rng.uniform(0.035, 0.068) * (1.25 if count == 1 else 1.0),
            tilt=rng.normal(0, 0.07),
            bend=rng.normal(0, 0.12),
            flare=rng.uniform(0.3, 0.9),
            cortex=rng.uniform(0.22, 0.42),
        )
        for number in range(count)
    ]
    if rng.random() < 0.6:
        side = rng.choice([-1.0, 1.0])
        reach = max(bone.half_length for bone in bones)
        bones.append(
            Bone(
                along=side * (reach + 0.36),
                across=rng.normal(0, 0.03),
                half_length=0.33,
                radius=rng.uniform(0.05, 0.085),
                tilt=rng.normal(0, 0.12),
                bend=0.0,
                flare=rng.uniform(0.3, 0.8),
                cortex=rng.uniform(0.18, 0.3),
            )
        )
    return bones


def _fracture(rng: np.random.Generator, bone: Bone, size: int) -> Fracture:
    """A gap, a step, or both, always clear enough to be visible."""
    kind = rng.choice(["gap", "step", "both"], p=[0.4, 0.2, 0.4])
    reach = min(bone.half_length * 0.85, 0.3)
    return Fracture(
        at=rng.uniform(-reach, reach) - bone.along,
        slope=rng.normal(0, 0.55),
        gap=max(rng.uniform(0.009, 0.02), 0.8 / size),
        depth=rng.uniform(0.65, 0.97) if kind != "step" else rng.uniform(0.15, 0.3),
        step=float(rng.choice([-1, 1])) * bone.radius * (rng.uniform(0.5, 1.1) if kind != "gap" else 0.05),
        angle=rng.normal(0, 0.1) if kind != "gap" else rng.normal(0, 0.02),
        teeth=rng.uniform(0.1, 0.4) * bone.radius,
        phase=rng.uniform(0, 2 * np.pi),
    )


def tube(
    bone: Bone, fracture: Fracture | None, along: Plane, across: Plane, marrow: Plane
) -> tuple[Plane, NDArray[np.bool_]]:
    """(attenuation of the bone, mask of its fracture)."""
    u = along - np.float32(bone.along)
    v = across - np.float32(bone.across) - np.float32(bone.tilt) * u - np.float32(bone.bend) * u * u
    left = np.ones_like(u)
    middle = None
    if fracture:
        w = v / np.float32(bone.radius)
        jag = np.sin(w * 4.2 + fracture.phase) + 0.5 * np.sin(w * 9.7 + 2 * fracture.phase)
        middle = u - np.float32(fracture.at) - np.float32(fracture.slope) * v
        line = middle - np.float32(fracture.teeth) * jag
        left = 1.0 - fracture.depth * np.exp(-((line / fracture.gap) ** 2))
        v = v - (line > 0) * (fracture.step + fracture.angle * np.maximum(line, 0))
    position = np.clip(np.abs(u) / bone.half_length, 0, 1.2)
    radius = bone.radius * (1.0 + bone.flare * position**6)
    end = np.clip((1.0 - position) * bone.half_length / (0.7 * bone.radius), 0, 1)  # rounds the ends off
    outer = radius * np.sqrt(np.sqrt(end))
    inner = outer * (1.0 - bone.cortex * (1.0 - 0.6 * position**4))
    wall = _chord(outer, v) - _chord(inner, v)
    spongy = _chord(inner, v) * (0.12 + 0.35 * position**2) * (1.0 + 0.6 * marrow)
    attenuation = 10.0 * (wall + spongy) * left
    if fracture is None or middle is None:
        return attenuation, np.zeros(u.shape, bool)
    near = np.hypot(1.0, fracture.slope) * (0.55 * bone.radius + fracture.gap + fracture.teeth)
    return attenuation, (np.abs(middle) < near) & (np.abs(v) < outer * 1.15)


def _chord(radius: Plane, v: Plane) -> Plane:
    """Half the path of a ray through a cylinder, at the distance v from its axis."""
    return np.sqrt(np.maximum(radius * radius - v * v, 0)).astype(np.float32)


def _growth_plate(rng: np.random.Generator, bone: Bone, along: Plane, across: Plane) -> Plane:
    """Transmission of a dark, smooth, slightly bowed line near the end of a bone: it looks like a gap and is no
    fracture."""
    at = bone.along + rng.choice([-1.0, 1.0]) * bone.half_length * 0.88
    u, v = along - np.float32(at), (across - np.float32(bone.across)) / np.float32(bone.radius)
    v = v - np.float32(bone.tilt * (at - bone.along) + bone.bend * (at - bone.along) ** 2) / np.float32(bone.radius)
    inside = np.exp(-((v / 1.1) ** 6))
    line = np.exp(-(((u + np.float32(0.006) * v * v) / np.float32(0.01)) ** 2))
    return np.asarray(1.0 - 0.3 * line * inside, np.float32)


def _tissue(rng: np.random.Generator, bones: list[Bone], along: Plane, across: Plane) -> Plane:
    """Skin, muscle and fat around the bones, thinner towards the edges of the limb."""
    outermost = max(abs(bone.across) + bone.radius for bone in bones if abs(bone.along) < 0.3)
    half = outermost + rng.uniform(0.05, 0.15)
    shape = 1.0 + rng.uniform(-0.35, 0.35) * along + rng.uniform(-0.3, 0.3) * along * along
    limb = _chord(np.asarray(half * shape, np.float32), across - np.float32(rng.normal(0, 0.02)))
    return np.asarray(limb * rng.uniform(1.0, 2.2), np.float32)


def _clouds(rng: np.random.Generator, size: int, cells: tuple[int, ...], weights: tuple[float, ...]) -> Plane:
    """Smooth noise of about unit height: coarse random grids, enlarged."""
    total = np.zeros((size, size), np.float32)
    for number, weight in zip(cells, weights, strict=True):
        coarse = Image.fromarray(rng.standard_normal((number, number)).astype(np.float32))
        total += weight * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    return total


def _develop(rng: np.random.Generator, film: Plane, size: int) -> NDArray[np.uint8]:
    """Scatter, grain, collimator, side marker and exposure: from ideal film to a picture from an archive."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    film = film + 0.04 * rng.uniform(0, 1) + rng.normal(0, 0.04) * (x - 0.5) + rng.normal(0, 0.04) * (y - 0.5)
    noise = rng.standard_normal((size, size)).astype(np.float32)
    film = film + rng.uniform(0.006, 0.022) * (0.6 + film) * noise
    if rng.random() < 0.5:  # a lead letter
        left, top = rng.choice([0.06, 0.84]), rng.uniform(0.06, 0.85)
        stem = (np.abs(x - left) < 0.011) & (np.abs(y - top) < 0.04)
        foot = (np.abs(x - left - 0.018) < 0.026) & (np.abs(y - top - 0.035) < 0.01)
        film = np.where(stem | foot, 0.93, film)
    if rng.random() < 0.4:  # the collimator's shadow
        edges = rng.uniform(0.0, 0.07, 4)
        lit = (x > edges[0]) & (x < 1 - edges[1]) & (y > edges[2]) & (y < 1 - edges[3])
        film = np.where(lit, film, 0.02)
    white = float(np.quantile(film, 0.998)) * rng.uniform(0.98, 1.15)
    grey = np.clip(film / white, 0, 1) ** rng.uniform(0.85, 1.25)
    return np.asarray(grey * 255, np.uint8)


def make_synthetic(
    output: Path, images: int = 200, size: int = 128, seed: int = 42, *, overwrite: bool = False
) -> Path:
    """Write OUTPUT/images, OUTPUT/masks (of positives only) and OUTPUT/manifest.csv; returns the manifest.

    28 % of the images have a fracture; with 20 images or more, train, val and test each have images with and without.
    The same arguments give the same pixels, ids and splits. An existing manifest is removed first and the new one
    written last, so a manifest never names images of another set. Raises BadInput where it is that of another set,
    unless `overwrite`.
    """
    for folder in (output / "images", output / "masks"):
        folder.mkdir(parents=True, exist_ok=True)
    manifest = output / MANIFEST
    ids = [f"synth_{number:0{max(4, len(str(images)))}d}" for number in range(1, images + 1)]
    fractured = np.zeros(images, bool)
    fractured[: max(1, round(images * POSITIVE_SHARE))] = True
    np.random.default_rng(seed).shuffle(fractured)
    splits = stratified_split(ids, fractured.tolist(), [()] * images, seed)
    samples = []
    for identity, positive, split in zip(ids, fractured.tolist(), splits, strict=True):
        image, mask = output / "images" / f"{identity}.png", output / "masks" / f"{identity}.png"
        samples.append(Sample(identity, image, mask if positive else None, positive, split))
    if manifest.exists() and not overwrite:
        first, _ = radiograph(np.random.default_rng((seed, 0)), size, samples[0].fractured)
        if not is_manifest_of(manifest, samples) or not np.array_equal(read_image(samples[0].image), first):
            raise BadInput(f"{clean(str(manifest))}: {OTHER_SET}")
    manifest.unlink(missing_ok=True)
    with Progress("synth", images, "images") as progress:
        for number, sample in enumerate(samples):
            pixels, broken = radiograph(np.random.default_rng((seed, number)), size, sample.fractured)
            Image.fromarray(pixels).save(sample.image)
            if sample.mask:
                Image.fromarray(broken.astype(np.uint8) * 255).save(sample.mask)
            progress.advance()
    write_manifest(manifest, samples)
    return manifest

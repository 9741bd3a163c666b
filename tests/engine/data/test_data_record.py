"""data.csv of a run: its images are recognised under other names, sizes and file formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.data_record import common, read_data_record, read_images, write_data_record
from engine.data.manifest import Sample, read_manifest
from engine.data.synthetic import make_synthetic


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return read_manifest(make_synthetic(tmp_path_factory.mktemp("set"), images=40, size=128))


def copy(sample: Sample, path: Path, size: int | None = None, **options: object) -> Sample:
    """The sample's image saved again under another name."""
    with Image.open(sample.image) as image:
        (image if size is None else image.resize((size, size))).save(path, **options)  # type: ignore[arg-type]
    return Sample(path.stem, path, None, False, "test")


def test_copies_are_recognised_in_other_formats_sizes_and_qualities(samples: list[Sample], tmp_path: Path) -> None:
    copies = [
        copy(samples[3], tmp_path / "a.tiff"),
        copy(samples[5], tmp_path / "b.png", size=96),
        copy(samples[7], tmp_path / "c.jpg", size=64, quality=60),
    ]
    known, others = read_images(samples, None), read_images(copies, None)
    assert common(others, known) == [("a", samples[3].id), ("b", samples[5].id), ("c", samples[7].id)]
    assert bytes(others.pixels[0]) == bytes(known.pixels[3]), "the same pixels in another format"


def test_other_radiographs_are_not_taken_for_copies(samples: list[Sample]) -> None:
    images = read_images(samples, None)
    halves = [sample.id for sample in samples[:20]]
    first = images.where(lambda identity, split: identity in halves)
    rest = images.where(lambda identity, split: identity not in halves)
    assert common(first, rest) == []
    assert len(common(images, images)) == 40


def test_a_record_is_read_as_it_was_written(samples: list[Sample], tmp_path: Path) -> None:
    images = read_images(samples, None)
    write_data_record(tmp_path, images)
    read = read_data_record(tmp_path)
    assert read is not None
    assert (read.ids, read.splits) == (images.ids, images.splits)
    assert np.array_equal(read.pixels, images.pixels)
    assert np.array_equal(read.looks, images.looks)
    assert (tmp_path / "data.csv").read_text().startswith("id,split,pixels,look\n")
    assert read_data_record(tmp_path / "older_run") is None


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,split,pixels,look\na,train,xyz,00\n")
    with pytest.raises(BadInput, match=r"data\.csv: expected hexadecimal digests of 32 bytes"):
        read_data_record(tmp_path)


def test_the_fingerprint_depends_on_the_pixels_alone(samples: list[Sample], tmp_path: Path) -> None:
    renamed = [copy(sample, tmp_path / f"other_{index}.png") for index, sample in enumerate(samples)]
    assert read_images(renamed[::-1], None).fingerprint() == read_images(samples, None).fingerprint()
    assert read_images(renamed[1:], None).fingerprint() != read_images(samples, None).fingerprint()


def test_the_digests_are_kept_beside_the_manifest(samples: list[Sample]) -> None:
    manifest = samples[0].image.parent.parent / "manifest.csv"
    first = read_images(samples, manifest)
    assert np.array_equal(read_images(samples, manifest).looks, first.looks)
    assert any((folder / "looks.npy").exists() for folder in (manifest.parent / ".cache").iterdir())

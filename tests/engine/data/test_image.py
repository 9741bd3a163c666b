"""What the image readers make of every depth, colour and damage that radiographs come with."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from engine.contract.errors import BadInput
from engine.data.images import image_size, read_image, read_mask, read_radiograph

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def ramp(height: int = 40, width: int = 64, top: int = 255) -> np.ndarray:
    """Grey levels from 0 to top, different along both axes."""
    rows, columns = np.mgrid[0:height, 0:width]
    return ((rows * width + columns) * top // (height * width - 1)).astype(np.uint16 if top > 255 else np.uint8)


def with_orientation(path: Path, orientation: int, pixels: np.ndarray) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_8_bit_grey_comes_back_exactly(tmp_path: Path, name: str) -> None:
    Image.fromarray(ramp()).save(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / name), ramp())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_colour_is_read_as_its_grey(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(ramp()).convert("RGB").convert(mode).save(path)
    tolerance = 60 if mode == "P" else 2  # a web palette is coarse
    assert np.abs(read_image(path).astype(int) - ramp()).max() <= tolerance


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, :4, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    grey = read_image(tmp_path / "a.png")
    assert (grey[:, :4] == 0).all()
    assert (grey[:, 4:] == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize(("top", "shift"), [(65535, 8), (4095, 4), (1023, 2), (255, 0)])
def test_16_bit_files_are_shifted_by_the_bits_they_use(tmp_path: Path, name: str, top: int, shift: int) -> None:
    pixels = ramp(top=top).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / name), pixels >> shift)


def test_a_deep_tiff_whose_minimum_is_white_is_inverted(tmp_path: Path) -> None:
    pixels = ramp(top=4095)
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.array_equal(read_image(tmp_path / "a.tif"), 255 - (pixels >> 4))


def test_floats_from_0_to_1_use_the_whole_range_and_nan_is_black(tmp_path: Path) -> None:
    pixels = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    pixels[0, 1] = np.nan
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    grey = read_image(tmp_path / "a.tif")
    assert grey[0, 1] == 0
    assert grey[-1, -1] == 255
    assert grey[32, 0] == np.rint(pixels[32, 0] * 255)


def test_negative_values_are_stretched_from_lowest_to_highest(tmp_path: Path) -> None:
    pixels = np.linspace(-1000, 3000, 64 * 64).reshape(64, 64).astype(np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    grey = read_image(tmp_path / "a.tif")
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_rotation_is_applied_and_the_header_tells_the_turned_size(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = with_orientation(tmp_path / f"a.{suffix}", orientation, ramp())
    with path.open("rb") as file, Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    grey = read_image(path)
    assert np.array_equal(grey, expected)
    assert image_size(path) == grey.shape


def test_a_rotation_is_told(tmp_path: Path) -> None:
    assert read_radiograph(with_orientation(tmp_path / "a.jpg", 6, ramp())).turned
    assert not read_radiograph(with_orientation(tmp_path / "b.jpg", 1, ramp())).turned


def test_a_truncated_jpeg_is_read_as_far_as_it_goes_and_told(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 160)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.jpg", quality=95)
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    cut, whole = read_radiograph(tmp_path / "cut.jpg"), read_radiograph(tmp_path / "whole.jpg")
    assert (cut.truncated, whole.truncated) == (True, False)
    assert cut.pixels.shape == (200, 160)
    assert np.array_equal(cut.pixels[:80], whole.pixels[:80])
    assert not np.array_equal(cut.pixels, whole.pixels)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "empty.png": b"",
    "text.jpg": b"\x1b[31mred\x1b[0m" * 50,
    "head_only.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "bomb.png": png_that_claims(20_000, 20_000),
    "big.png": png_that_claims(13_000, 13_000),
    "cut.png": png_that_claims(100, 100),
    "zero.png": png_that_claims(0, 10),
    "tiff.tif": b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x07" * 300,
    "bidi\u202e\x1b[2J.png": b"no image",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_file_that_is_no_image_costs_one_clean_line(tmp_path: Path, name: str, read) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(BadInput) as caught:
        read(path)
    (line,) = caught.value.lines
    assert line.isprintable()
    assert path.suffix in line


def test_every_way_to_cut_an_image_short_ends_in_pixels_or_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for suffix in ("jpeg", "png", "tiff"):
        Image.fromarray(ramp()).save(tmp_path / "whole", format=suffix)
        data = (tmp_path / "whole").read_bytes()
        for end in range(0, len(data), 37):
            path.write_bytes(data[:end])
            for read in (read_image, read_mask, image_size):
                try:
                    read(path)
                except BadInput as error:
                    assert len(error.lines) == 1  # noqa: PT017


@pytest.mark.parametrize("suffix", ["jpeg", "png", "tiff"])
def test_images_with_damaged_bytes_end_in_pixels_or_in_one_line(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(ramp()).save(tmp_path / "whole", format=suffix)
    data = np.frombuffer((tmp_path / "whole").read_bytes(), np.uint8)
    rng = np.random.default_rng(5)
    for _ in range(150):
        damaged = data.copy()
        damaged[rng.integers(0, min(len(data), 300), 3)] = rng.integers(0, 256, 3)
        (tmp_path / "a.bin").write_bytes(damaged.tobytes())
        for read in (read_image, read_mask, image_size):
            try:
                read(tmp_path / "a.bin")
            except BadInput as error:
                assert len(error.lines) == 1  # noqa: PT017
                assert error.lines[0].isprintable()  # noqa: PT017


@pytest.mark.parametrize("path", ["nothing.png", ".", "x" * 400])
def test_what_is_not_there_or_no_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match=r"no such file|too long"):
        read_image(tmp_path / path)


def blob() -> np.ndarray:
    mask = np.zeros((40, 64), bool)
    mask[10:20, 30:50] = True
    return mask


@pytest.mark.parametrize("white", [1, 2, 127, 255])
def test_a_mask_of_classes_or_of_black_and_white_is_the_same_mask(tmp_path: Path, white: int) -> None:
    Image.fromarray(blob().astype(np.uint8) * white).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), blob())


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "I;16"])
def test_a_mask_is_the_same_in_every_mode(tmp_path: Path, mode: str) -> None:
    white = blob().astype(np.uint8) * 255
    image = Image.fromarray(white.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(white).convert(mode)
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), blob())


def test_a_red_mask_counts_although_red_is_dark_in_grey(tmp_path: Path) -> None:
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[blob(), 0] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), blob())


def test_the_ringing_of_a_jpeg_mask_is_not_mask(tmp_path: Path) -> None:
    Image.fromarray(blob().astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=60)
    assert (read_mask(tmp_path / "m.jpg") != blob()).mean() < 0.01
    Image.fromarray(np.full((16, 16), 3, np.uint8)).save(tmp_path / "empty.jpg")
    assert not read_mask(tmp_path / "empty.jpg").any()


def test_a_masks_exif_rotation_is_not_applied(tmp_path: Path) -> None:
    path = with_orientation(tmp_path / "m.png", 6, blob().astype(np.uint8) * 255)
    assert np.array_equal(read_mask(path), blob())

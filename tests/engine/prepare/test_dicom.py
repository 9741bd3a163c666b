"""DICOM files as sources: grey levels, windows, spacing, patients, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.manifest import read_manifest
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.prepare import prepare

from .conftest import save_image, save_mask, write_csv

pydicom = pytest.importorskip("pydicom")

SQUARE = (10, 8, 30, 20)
RAMP = np.tile(np.arange(64, dtype=np.uint16) * 65, (40, 1))  # 0 to 4095


@pytest.fixture(autouse=True)
def settings_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "xray-tui"


def save_dicom(path: Path, values: np.ndarray = RAMP, **tags: Any) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PatientName = "Doe^Jane"
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def pixels_of(tmp_path: Path, **tags: Any) -> np.ndarray:
    """The prepared pixels of one DICOM file, a row."""
    save_dicom(tmp_path / "s/normal/a.dcm", **tags)
    (sample,) = read_manifest(prepare(tmp_path / "s", tmp_path / "out").manifest)
    assert sample.image == tmp_path / "out/images/a.png"
    with Image.open(sample.image) as image:
        assert (image.mode, image.info) == ("L", {})  # no tag is kept
        return np.asarray(image)[0].astype(int)


def test_without_a_window_grey_levels_are_stretched(tmp_path: Path) -> None:
    row = pixels_of(tmp_path)
    assert np.abs(row - np.linspace(0, 255, 64)).max() <= 0.5


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    row = pixels_of(tmp_path, PhotometricInterpretation="MONOCHROME1")
    assert np.abs(row - np.linspace(255, 0, 64)).max() <= 0.5


def test_the_first_window_applies_after_rescaling(tmp_path: Path) -> None:
    values = RAMP * 2.0 - 1000.0
    row = pixels_of(tmp_path, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=[1000, 5], WindowWidth=[2001, 9])
    expected = np.clip((values[0] - 999.5) / 2000 + 0.5, 0, 1) * 255
    assert np.abs(row - expected).max() <= 0.5


@pytest.mark.parametrize(
    ("function", "expected"),
    [("LINEAR_EXACT", lambda x: (x - 1000) / 2000 + 0.5), ("SIGMOID", lambda x: 1 / (1 + np.exp(-(x - 1000) / 500)))],
)
def test_a_windows_function_is_obeyed(tmp_path: Path, function: str, expected: Callable[..., Any]) -> None:
    row = pixels_of(tmp_path, WindowCenter=1000, WindowWidth=2000, VOILUTFunction=function)
    assert np.abs(row - np.clip(expected(RAMP[0].astype(float)), 0, 1) * 255).max() <= 0.5


def test_a_voi_lut_goes_before_the_window(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (65535 - np.arange(4096) * 16).astype(np.uint16).tobytes()
    row = pixels_of(tmp_path, VOILUTSequence=Sequence([table]), WindowCenter=1, WindowWidth=2)
    assert np.abs(row - (65535 - RAMP[0].astype(int) * 16) / 65535 * 255).max() <= 0.5


def test_spacing_is_in_the_manifest_where_it_is_known(tmp_path: Path) -> None:
    save_dicom(tmp_path / "s/normal/a.dcm", PixelSpacing=[0.143, 0.15])
    save_dicom(tmp_path / "s/normal/b.dcm", RAMP[::-1, ::-1].copy(), ImagerPixelSpacing=[0.2, 0.2])
    save_image(tmp_path / "s/normal/c.png", 1)
    prepared = prepare(tmp_path / "s", tmp_path / "out")
    assert [sample.spacing for sample in read_manifest(prepared.manifest)] == ["0.143 0.15", "0.2 0.2", None]
    assert Flaw("converted", f"2 images are 8-bit PNG copies in {tmp_path / 'out/images'}") in prepared.flaws
    again = read_manifest(prepare(prepared.manifest, tmp_path / "again").manifest)
    assert [sample.spacing for sample in again] == ["0.143 0.15", "0.2 0.2", None]


def groups(tmp_path: Path, patients: list[str], **options: Any) -> list[str | None]:
    for number, patient in enumerate(patients):
        save_dicom(tmp_path / f"s/normal/{number}.dcm", np.roll(RAMP, number, 1), PatientID=patient)
    return [sample.group for sample in read_manifest(prepare(tmp_path / "s", tmp_path / "out", **options).manifest)]


def test_patients_become_salted_groups(tmp_path: Path, settings_folder: Path) -> None:
    first, second, third = groups(tmp_path, ["P1", "P2", "P1"])
    assert first == third != second
    salt = settings_folder / "salt"
    assert salt.stat().st_mode & 0o777 == 0o600
    written = "".join(path.read_text() for path in (tmp_path / "out").glob("*.*"))
    assert "P1" not in written
    assert "Doe" not in written
    assert groups(tmp_path, ["P1", "P2", "P1"]) == [first, second, third]
    salt.unlink()
    assert groups(tmp_path, ["P1", "P2", "P1"], overwrite=True)[0] != first


def test_a_given_salt_matches_sets_and_must_be_one(tmp_path: Path, settings_folder: Path) -> None:
    (tmp_path / "salt").write_text("a salt that two hospitals share")
    assert groups(tmp_path, ["P1", "P2"], salt=tmp_path / "salt") == groups(
        tmp_path, ["P1", "P2"], salt=tmp_path / "salt"
    )
    assert not settings_folder.exists()
    (tmp_path / "salt").write_text("short")
    with pytest.raises(BadInput, match="expected a salt of at least 16 bytes, got 5"):
        groups(tmp_path, ["P1", "P2"], salt=tmp_path / "salt")
    with pytest.raises(BadInput, match="nowhere: No such file"):
        groups(tmp_path, ["P1", "P2"], salt=tmp_path / "nowhere")


def test_one_patient_id_for_all_is_no_group(tmp_path: Path) -> None:
    assert groups(tmp_path, ["ANON", "ANON", "ANON"]) == [None, None, None]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_all_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    save_dicom(tmp_path / "s/normal/frames.dcm", np.stack([RAMP, RAMP]), NumberOfFrames=2)
    save_dicom(tmp_path / "s/normal/colour.dcm", PhotometricInterpretation="RGB")
    (tmp_path / "s/normal/other.dcm").write_bytes(b"no image")
    number = save_dicom(tmp_path / "s/normal/number.dcm", NumberOfFrames=11)
    number.write_bytes(number.read_bytes().replace(b"IS\x02\x0011", b"IS\x02\x001A"))
    (tmp_path / "s/normal/text.png").write_bytes(b"no image")
    with pytest.raises(BadInput) as caught:
        prepare(tmp_path / "s", tmp_path / "out")
    text = "\n".join(caught.value.lines)
    for line in (
        "expected one frame, got 2",
        "number.dcm: expected one frame, got 1A",
        "got RGB",
        "other.dcm: no image; expected a DICOM file",
        "text.png: no image",
    ):
        assert line in text
    assert not (tmp_path / "out").exists()


def test_files_of_an_archive_without_a_suffix_are_found_and_masks_match(tmp_path: Path) -> None:
    save_dicom(tmp_path / "s/images/IM0001")
    save_dicom(tmp_path / "s/images/1.2.840.17", RAMP[:, ::-1].copy())
    save_mask(tmp_path / "s/masks/IM0001.png", SQUARE)
    samples = read_manifest(prepare(tmp_path / "s", tmp_path / "out").manifest)
    assert {sample.id: sample.fractured for sample in samples} == {"IM0001": True, "1.2.840.17": False}


def test_a_table_may_name_dicom_files_and_its_groups_win(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", PatientID="P1")
    path = write_csv(tmp_path / "t.csv", [{"id": "a", "image": "a.dcm", "mask": "", "fractured": 0, "group": "g"}])
    (sample,) = read_manifest(prepare(path, tmp_path / "out").manifest)
    assert (sample.group, sample.image.name) == ("g", "a.png")


def test_without_pydicom_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_dicom(tmp_path / "s/normal/a.dcm")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(BadInput, match=r"^DICOM files need the extra dicom: pip install 'xray-tui\[dicom\]'$"):
        prepare(tmp_path / "s", tmp_path / "out")


def test_invert_treats_other_images_as_monochrome1(tmp_path: Path) -> None:
    source = save_image(tmp_path / "s/normal/a.png", 1)
    (sample,) = read_manifest(prepare(tmp_path / "s", tmp_path / "out", invert=True).manifest)
    with Image.open(source) as before, Image.open(sample.image) as after:
        assert (np.asarray(before) == 255 - np.asarray(after)).all()


def test_copies_never_overwrite_images_of_the_source(tmp_path: Path) -> None:
    save_dicom(tmp_path / "s/images/a.dcm")
    save_mask(tmp_path / "s/masks/a_mask.png", SQUARE)
    with pytest.raises(BadInput, match="would overwrite the images of the source"):
        prepare(tmp_path / "s", tmp_path / "s")
    assert os.listdir(tmp_path / "s/images") == ["a.dcm"]


def test_pixels_that_cannot_be_decoded_are_listed_and_nothing_is_left(tmp_path: Path) -> None:
    for name in "ab":
        path = save_dicom(tmp_path / f"s/normal/{name}.dcm")
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput) as caught:
        prepare(tmp_path / "s", tmp_path / "out")
    assert [line.partition(": ")[0][-5:] for line in caught.value.lines] == ["a.dcm", "b.dcm"]
    assert not list((tmp_path / "out").iterdir())

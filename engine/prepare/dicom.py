"""Radiographs from DICOM files: grey levels as a viewer shows them, pixel spacing, and patients as salted hashes.

pydicom is imported late: it is an extra, and only sets of DICOM files need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.file_kinds import describe
from engine.data.images import LARGEST_PIXELS
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.sources import Case

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
MAGIC_AT, MAGIC = 128, b"DICM"
DIRECTORY = "DICOMDIR"
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")
SALT_BYTES = 16
TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "PhotometricInterpretation", "BitsAllocated"),
    *("PatientID", "PixelSpacing", "ImagerPixelSpacing"),
]
"""Tags that are read of a header."""

# pydicom warns of every odd value; a warning would break a progress line.
warnings.filterwarnings("ignore", module=r"pydicom\.")


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM: by its suffix, or by its first bytes where the name has no suffix or ends in a number,
    as in exports of an archive."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if (suffix and not suffix[1:].isdigit()) or path.name == DIRECTORY:
        return False
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False


def dicom_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header. Raises BadInput in one line: no DICOM file, no grey image, several frames."""
    header = _header(path)
    name, photometric = clean(str(path)), header.get("PhotometricInterpretation")
    height, width = header.get("Rows"), header.get("Columns")
    if not height or not width or header.get("BitsAllocated") is None:
        raise BadInput(f"{name}: a DICOM file without pixels; expected a radiograph")
    if photometric not in PHOTOMETRIC:
        raise BadInput(f"{name}: expected {' or '.join(PHOTOMETRIC)}, got {clean(str(photometric))[:40]}")
    if str(frames := header.get("NumberOfFrames") or 1).strip() != "1":
        raise BadInput(f"{name}: expected one frame, got {clean(str(frames))[:40]}")
    if height * width > LARGEST_PIXELS:
        limit = f"expected at most {LARGEST_PIXELS // 1_000_000} million"
        raise BadInput(f"{name}: {width} x {height} pixels; {limit}")
    return int(height), int(width)


def read_dicom(path: Path) -> NDArray[np.uint8]:
    """The radiograph as (height, width), uint8, bright bones: rescaled (or by its modality LUT), then by its VOI LUT or
    its first window, inverted if MONOCHROME1. Without a window the grey levels are stretched to 0 to 255.

    Raises BadInput in one line.
    """
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    dicom_size(path)
    try:
        dataset = dcmread(path)
        values = apply_modality_lut(dataset.pixel_array, dataset)
        if dataset.get("VOILUTSequence"):
            bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
            grey = apply_voi(values, dataset) / float((1 << bits) - 1)
        elif "WindowCenter" in dataset and "WindowWidth" in dataset:
            grey = _windowed(values.astype(np.float64), dataset)
        else:
            low, high = float(values.min()), float(values.max())
            grey = (values - low) / max(high - low, 1e-12)
    except Exception as error:  # decoders raise any exception on damaged data
        cause = clean(" ".join(str(error).split()))[:400]
        raise BadInput(f"{clean(str(path))}: cannot be decoded: {cause or type(error).__name__}") from None
    pixels = np.rint(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)
    return 255 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def _windowed(values: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64]:
    """Values through the first window of the file, 0 to 1 (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = (float(np.atleast_1d(dataset[tag].value)[0]) for tag in ("WindowCenter", "WindowWidth"))
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if width < 1 and (function == "LINEAR" or width <= 0):
        raise ValueError(f"window width {width:g}; expected at least 1")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    return (values - (center - 0.5)) / max(width - 1.0, 1e-12) + 0.5


def with_headers(cases: Sequence[Case], salt: Path | None) -> tuple[list[Case], list[Flaw]]:
    """The cases with pixel spacing, and with the patient's salted hash as group where the source gives no group.

    salt: a file that must exist; None: the user's own salt, which is made if it is missing. Files that cannot be read
    stay as they are. Raises BadInput where pydicom is missing or the salt is no salt.
    """
    if not any(is_dicom(case.image) for case in cases):
        return list(cases), []
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise BadInput("DICOM files need the extra dicom: pip install 'xray-tui[dicom]'") from None
    key = _salt(salt)
    described, patients, unknown = [], set(), 0
    for case in cases:
        if is_dicom(case.image):
            header: Any = {}
            with contextlib.suppress(BadInput):  # header_problems lists it
                header = _header(case.image)
            patient = str(header.get("PatientID") or "").strip()
            group = _hashed(patient, key) if patient else None
            patients.add(group)
            unknown += group is None
            case = replace(case, group=case.group or group, spacing=case.spacing or _spacing(header))
        described.append(case)
    flaws = [Flaw("patient", f"{unknown} DICOM files have no patient id")] if unknown else []
    if len(patients) == 1 and not unknown and len(described) > 1:
        flaws.append(Flaw("patient", "all DICOM files have the same patient id: it is not used as group"))
        described = [new if old.group else replace(new, group=None) for old, new in zip(cases, described, strict=True)]
    return described, flaws


def _spacing(header: Any) -> str | None:
    """Pixel spacing in mm, calibrated if the file has it, else at the detector."""
    try:
        rows, columns = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
        return f"{float(rows):g} {float(columns):g}"
    except (TypeError, ValueError):
        return None


def _header(path: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    name = clean(str(path))
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        for tag in TAGS:
            header.get(tag)  # pydicom parses a value when it is first read, and raises then
        return header
    except InvalidDicomError:
        raise BadInput(f"{name}: {describe(path)}; expected a DICOM file") from None
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from None
    except Exception as error:  # the parser raises any exception on damaged data
        raise BadInput(f"{name}: cannot be read as DICOM: {clean(str(error))[:200]}") from None


def _hashed(patient: str, key: bytes) -> str:
    return hashlib.blake2b(patient.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()


def _salt(path: Path | None) -> bytes:
    """The key of the patients' hashes, from the given file or from the user's own."""
    own = _own_salt() if path is None else path
    try:
        salt = own.read_bytes().strip()
    except OSError as error:
        raise BadInput(f"{clean(str(own))}: {error.strerror or error}; expected a file with a salt") from None
    if len(salt) < SALT_BYTES:
        raise BadInput(f"{clean(str(own))}: expected a salt of at least {SALT_BYTES} bytes, got {len(salt)}")
    return hashlib.blake2b(salt).digest()


def _own_salt() -> Path:
    """The user's salt, beside the app's settings; made, for this user only, if it is missing."""
    from platformdirs import user_config_path

    path = user_config_path("xray-tui") / "salt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".salt-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{secrets.token_hex(32)}\n")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)  # never replaces the salt of another process
        finally:
            Path(temporary).unlink()
    return path

"""Write files atomically."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Put this path into an OSError raised in the block, which would otherwise name only a descriptor or a temporary
    file."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_whole(path: Path, data: bytes | memoryview | str, mode: int | None = None) -> None:
    """Write a file atomically: write a temporary file beside `path`, fsync it, rename it.

    The file gets exactly `mode`, or 0666 minus the umask if None. Lone surrogates in a text (from names that are not
    UTF-8) are written as escapes such as \\udc80, which JSON reads back.

    Raises OSError that names the path (disk full, no permission). The old file is then unchanged and no temporary file
    remains.
    """
    payload = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    with named(path):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~current_umask() if mode is None else mode)
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def unfinished(path: Path) -> list[Path]:
    """Temporary files that a killed write_whole left beside `path`."""
    return list(path.parent.glob(f".{glob.escape(path.name[:80])}.*.tmp"))


def write_json(path: Path, value: Any, mode: int | None = None) -> None:
    """Write `value` atomically as indented JSON; `mode` is as in write_whole.

    Raises ValueError for NaN and infinity.
    """
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", mode)


def current_umask() -> int:
    """The process's umask, read from /proc, because os.umask can return it only by setting it, which would race with
    other threads; 0o077 without /proc."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return 0o077
    return next((int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:")), 0o077)


def relative_to_file(target: Path, holder: Path) -> str:
    """`target` relative to the folder of the file `holder`, so that the folder can move to another server."""
    return os.path.relpath(target.resolve(), holder.resolve().parent)


def file_sha256(path: Path) -> str:
    """`sha256:<hex>` of a file's bytes."""
    import hashlib  # not at the top, to save half a megabyte in each waiting supervisor, which does not need it

    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

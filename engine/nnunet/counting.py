"""How far a command is that tells nothing useful: by the files that it has made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.progress import Progress


@contextlib.contextmanager
def counted(phase: str, folder: Path, pattern: str, total: int) -> Iterator[Callable[[], None]]:
    """A callback that looks how many files of the pattern are in the folder, which may not be there yet."""
    with Progress(phase, total, "images") as progress:

        def look() -> None:
            found = min(total, sum(1 for _ in folder.glob(pattern)))
            if found > progress.done:
                progress.advance(found - progress.done)

        yield look
        look()

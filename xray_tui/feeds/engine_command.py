"""Runs `xray-engine` commands that need no GPU, such as `compare`, and says in one line why one failed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from engine.contract.text import clean

ENGINE = (sys.executable, "-P", "-m", "engine.cli")
LONGEST = 400
"""Maximum length of a failure in characters."""


class EngineCommand:
    """A running `xray-engine ARGUMENTS`. Raises OSError if it cannot be started."""

    def __init__(self, *arguments: str | Path) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115  # a pipe that nothing reads could fill up
        self._process = subprocess.Popen(
            [*ENGINE, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # the terminal's Ctrl+C and Ctrl+Z do not reach it
        )

    def ask(self, request: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Write the request as a line and read one line of JSON; None at the end of the output."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            if request is not None:
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
            if line := stdout.readline():
                return dict(json.loads(line))
        return None

    def kill(self) -> None:
        """Send SIGKILL and return at once. May be called from any thread, and repeatedly."""
        with suppress(OSError):
            self._process.kill()

    def finish(self) -> tuple[str, str]:
        """Wait for the end; return the rest of the output, and the failure in one line, or "" after a success."""
        output = self._process.communicate()[0].decode("utf-8", "replace")
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        self._errors.close()
        if self._process.returncode == 0:
            return output, ""
        at = -1 if any(line.startswith("Traceback") for line in lines) else 0
        return output, clean(lines[at])[:LONGEST] if lines else f"xray-engine ended: {self._process.returncode}"

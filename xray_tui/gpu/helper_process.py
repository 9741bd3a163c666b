"""One helper process and the pipe that its snapshots come through. Every wait has a timeout."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from xray_tui.gpu.snapshot import GpuSnapshot, from_json

_GRACE = 0.3
"""Seconds to wait for a killed process to end; it does not end while it hangs in the kernel."""

_MOST_UNKILLABLE = 3
"""No further helper is started while this many killed helpers still hang in the kernel."""

_unkillable: list[subprocess.Popen[bytes]] = []
_unkillable_lock = threading.Lock()  # the threads of samplers and of sample_once share the list


def unkillable_helpers() -> int:
    """Number of helpers of this process that were killed and have not ended yet."""
    with _unkillable_lock:
        _unkillable[:] = [process for process in _unkillable if process.poll() is None]
        return len(_unkillable)


class HelperFailed(Exception):
    """The helper cannot be started, has ended, or is silent; the message is a sentence for the user."""


class NoAnswer(HelperFailed):
    """The helper printed no snapshot within the timeout."""


class HelperProcess:
    """A running `python -m xray_tui.gpu.helper_main`. Raises HelperFailed if it cannot be started, or if too many
    earlier helpers hang in the driver.

    Linux kills it when the *thread* that started it ends (PR_SET_PDEATHSIG), so that thread must outlive it.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        failed = "The GPU helper process cannot be started"
        if unkillable_helpers() >= _MOST_UNKILLABLE:
            hang = f"{_MOST_UNKILLABLE} of them hang in the driver and cannot be killed"
            raise HelperFailed(f"{failed}: {hang}, see `sudo dmesg`.")
        try:
            # -P keeps a json.py in the current folder from being imported. In its own session the helper does not get
            # Ctrl+C and Ctrl+Z from the terminal.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "xray_tui.gpu.helper_main", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HelperFailed(f"{failed}: {error.strerror or error}.") from None
        self._rest = b""

    def snapshot(self, timeout: float) -> GpuSnapshot:
        """The newest snapshot received; after Ctrl+Z and `fg` many lines wait in the pipe. Skips lines that are not
        snapshots, because a library may print text. Raises NoAnswer after `timeout` seconds, or HelperFailed.
        """
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            # The second select checks the pipe if the timeout passed while the app was stopped (Ctrl+Z).
            while selector.select(max(0.0, deadline - time.monotonic())) or selector.select(0):
                data = os.read(output, 1 << 16)
                if not data:
                    raise HelperFailed(f"The GPU helper process ended unexpectedly ({self._how_it_ended()}).")
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in reversed(lines):
                    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                        return from_json(json.loads(line))
                if time.monotonic() >= deadline:
                    break
        raise NoAnswer(f"The NVIDIA driver has not answered for {timeout:.3g} s: `sudo dmesg` shows whether it hangs.")

    def write_line(self, line: str) -> None:
        """Write a line to the helper's stdin; does nothing if it has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode() + b"\n")

    def kill(self) -> None:
        """Send SIGKILL and return at once. May be called from any thread, and repeatedly."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill the helper, close the pipes, and reap it if it ends quickly. Call it from the thread that reads."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with _unkillable_lock:
                _unkillable.append(self._process)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

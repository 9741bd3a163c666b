"""The helper process: `python -m xray_tui.gpu.helper_main` prints a snapshot of the GPUs as a JSON line per interval.

A driver call can hang for ever; in this process it can be killed. A GPU that hangs does not delay the others; while no
GPU answers, no line is printed. The process exits when its stdin is closed, when its parent dies, and after a line that
says why there is no driver or GPU. A number on a line of stdin is a new interval in seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.driver import Driver
from xray_tui.gpu.nvml import NoDriver
from xray_tui.gpu.snapshot import GpuSnapshot, to_json
from xray_tui.system.error_log import log_error

SHORTEST, LONGEST = 0.05, 3600.0
"""Limits of the interval in seconds."""
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print snapshots until the reader is gone or there is no driver; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m xray_tui.gpu.helper_main", description=__doc__)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two lines (default 1)")
    parser.add_argument("--patience", type=float, default=Backoff().hang, help="seconds a GPU may take")
    parser.add_argument("--once", action="store_true", help="print one line and exit")
    options = parser.parse_args(arguments)
    _die_with_the_parent()
    try:
        _serve(options.interval, options.patience, options.once)
    except NoDriver as error:
        _print(GpuSnapshot(problem=str(error), time=time.time()))
    except BrokenPipeError:
        # The reader is gone; without this Python prints a second error when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        log_error("the GPU helper process", error)
        return 1
    if threading.active_count() > 1:
        # A thread hangs in the driver; a normal exit runs the library's exit code, which may wait for that call.
        os._exit(0)
    return 0


def _serve(interval: float, hang: float, once: bool) -> None:
    driver = Driver(hang)
    due = time.monotonic()
    while True:
        snapshot = driver.snapshot(time.time())
        if snapshot is not None:
            _print(snapshot)
            if once:
                return
        due = max(due + interval, time.monotonic())
        while (left := due - time.monotonic()) > 0 and select.select([sys.stdin], [], [], left)[0]:
            lines = os.read(sys.stdin.fileno(), 4096).split()
            if not lines:  # stdin is closed
                return
            before, interval = interval, min(max(float(lines[-1]), SHORTEST), LONGEST)
            # The new interval counts from the last snapshot, so that a shorter one takes effect at once; a longer one
            # does not delay the next line, which the reader may await with the timeout of the former interval.
            due = min(due, max(due - before + interval, time.monotonic()))


def _print(snapshot: GpuSnapshot) -> None:
    sys.stdout.write(json.dumps(to_json(snapshot), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _die_with_the_parent() -> None:
    """Make Linux kill this process when its parent ends, even while it hangs in an interruptible driver call.

    If the parent ended before prctl was called, stdin is already closed, and the process exits here. On other systems
    the closed stdin ends the process at the next wait.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        stdin = select.poll()
        stdin.register(sys.stdin, 0)
        if any(event & select.POLLHUP for _, event in stdin.poll(0)):
            sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())

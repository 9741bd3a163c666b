"""The helper process: `python -m xray_tui.gpu.helper_main` prints what the GPUs do, one JSON line each interval.

A driver call can hang for ever, so it hangs here, where it can be killed. Where one GPU hangs, the others go on; while
none answers, there is no line. The process ends by itself when its stdin is closed, when its parent dies, and after it
has said why there is no driver or GPU; whoever wants to know whether that has changed starts another one. A number on
a line of stdin is a new interval in seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence

from xray_tui.gpu.backoff import Pace
from xray_tui.gpu.driver import Driver
from xray_tui.gpu.nvml import NoDriver
from xray_tui.gpu.snapshot import GpuSnapshot, to_json
from xray_tui.system.error_log import log_error

SHORTEST, LONGEST = 0.05, 3600.0
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print snapshots until there is nobody to read them or nothing to say."""
    parser = argparse.ArgumentParser(prog="python -m xray_tui.gpu.helper_main", description=__doc__)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two lines (default 1)")
    hang = Pace().hang
    parser.add_argument("--patience", type=float, default=hang, help=f"seconds until a GPU hangs (default {hang:g})")
    parser.add_argument("--once", action="store_true", help="one line, then end")
    chosen = parser.parse_args(arguments)
    _die_with_the_parent()
    try:
        _serve(_within(chosen.interval), chosen.patience, chosen.once)
    except NoDriver as error:
        _print(GpuSnapshot(problem=str(error), time=time.time()))
    except BrokenPipeError:
        # Nobody reads any more; without this Python complains once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        log_error("the GPU helper process", error)
        return 1
    if threading.active_count() > 1:
        # A thread hangs in the driver. An orderly end would run the library's own, which may wait for that call.
        os._exit(0)
    return 0


def _serve(interval: float, patience: float, once: bool) -> None:
    driver = Driver(patience)
    due = time.monotonic()
    while True:
        snapshot = driver.look(time.time())
        if snapshot is not None:
            _print(snapshot)
            if once:
                return
        due = max(due + interval, time.monotonic())
        asked = _wait(due)
        while asked is not None and asked > 0:
            before, interval = interval, _within(asked)
            # From the last look on, so that who comes back sees the GPUs of now; and never later than was said
            # before: whoever reads us may be waiting for that line, with little patience.
            due = min(due, max(due - before + interval, time.monotonic()))
            asked = _wait(due)
        if asked is None:
            return


def _wait(due: float) -> float | None:
    """Wait until that moment: 0.0 when it has come, the new interval where one is asked for, None at stdin's end."""
    while (left := due - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if not ready:
            break
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            return None
        for word in reversed(data.split()):
            try:
                return float(word)
            except ValueError:
                continue
    return 0.0


def _within(interval: float) -> float:
    return min(max(interval, SHORTEST), LONGEST) if math.isfinite(interval) else 1.0


def _print(snapshot: GpuSnapshot) -> None:
    sys.stdout.write(json.dumps(to_json(snapshot), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _die_with_the_parent() -> None:
    """Linux kills us when the parent ends, even when it was killed and even while we hang in a call that can be ended.

    Of a parent that has ended before we could ask for that, the closed pipe tells; elsewhere that does it all, at the
    next tick.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        stdin = select.poll()
        stdin.register(sys.stdin, 0)
        if any(event & select.POLLHUP for _, event in stdin.poll(0)):
            sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())

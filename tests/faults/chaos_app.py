"""What an open app does about jobs, over and over: `python chaos_app.py RUNS SUPERVISOR …`."""

import contextlib
import sys
import time
from pathlib import Path

from xray_tui.jobs.control import look
from xray_tui.jobs.store import JobStore

store = JobStore(Path(sys.argv[1]))
while True:
    with contextlib.suppress(OSError):
        look(store, tuple(sys.argv[2:]))
    time.sleep(0.1)

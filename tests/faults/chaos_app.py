"""What an open app does about jobs, over and over: `python chaos_app.py RUNS SUPERVISOR …`."""

import contextlib
import sys
import time
from pathlib import Path

from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.jobs.supervise.recovery import recover_orphans

store = JobStore(Path(sys.argv[1]))
while True:
    with contextlib.suppress(OSError):
        recover_orphans(store, tuple(sys.argv[2:]))
    time.sleep(0.1)

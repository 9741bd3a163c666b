"""Jobs on a disk of 256 KiB that fills up: `python small_disk.py FOLDER`, alone in a mount namespace of its own.

Prints what became of them as JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.queue_actions import release
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.jobs.supervise.recovery import recover_orphans

folder = Path(sys.argv[1])
disk = folder / "disk"
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
runs, leases = disk / "runs", folder / "leases"
runs.mkdir()
store = JobStore(runs)
launcher = LocalLauncher(runs, str(leases))


def command(*words: str) -> JobSpec:
    return JobSpec("command", "a", ("sh", "-c", " ".join(words)), "none")


def until(identity: str, holds) -> None:
    deadline = time.monotonic() + 60
    while not holds(store.get(identity)):
        assert time.monotonic() < deadline, store.get(identity)
        time.sleep(0.05)


FILL = f"for i in 1 2 3 4 5 6 7 8 9 10; do cat /dev/zero >>{disk}/filled 2>/dev/null; sleep 0.2; done;"

# One fills the disk and ends: its end is written as soon as there is room again. One begins when there is none.
waiting = launcher.launch(command("true"), hold=True)
until(waiting.id, lambda job: job.supervisor is not None)
filler = launcher.launch(command(FILL, "exit 5"))
until(filler.id, lambda job: (disk / "filled").exists())
release(store, waiting.id)
time.sleep(0.5)
try:
    launcher.launch(command("true"))
    refused = ""
except BadInput as error:
    refused = error.lines[0]
listed = [job.id for job in store.jobs()]
time.sleep(2.5)
on_full_disk = store.get(filler.id).state
full = (disk / "filled").exists()
tickets = [ticket.job for ticket in Queue(LockDir(leases)).waiting()]
(disk / "filled").unlink()
until(filler.id, lambda job: job.state.ended)
until(waiting.id, lambda job: job.state.ended)
recover_orphans(store)
print(json.dumps({
    "full": full,
    "on_full_disk": on_full_disk,
    "refused": refused,
    "listed": sorted(listed) == sorted([filler.id, waiting.id]),
    "tickets": set(tickets) <= {waiting.id},
    "filler": [store.get(filler.id).state, store.get(filler.id).cause],
    "waiting": store.get(waiting.id).state,
}))  # fmt: skip

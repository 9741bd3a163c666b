"""A user who launches jobs: `python at_work.py GPUS_JSON`.

Each line of JSON, {runs, leases, gpu, run, argv, priority}, is a job on the pretended GPUs; each answer is a line too:
its id, or why it was refused. "here" is said once it is ready.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import BadInput
from xray_tui.gpu.snapshot import from_json
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import JobSpec

HERE = Path(__file__).parent
GPUS = Path(sys.argv[1])


def launch(runs: str, leases: str | None, gpu: str, run: str, argv: Sequence[str], priority: int) -> dict[str, str]:
    launcher = LocalLauncher(
        Path(runs),
        lease_dir=leases,
        snapshot=lambda: from_json(json.loads(GPUS.read_text())),
        engine=(sys.executable, "-S", str(HERE / "programs.py")),
        supervisor=(sys.executable, "-P", str(HERE / "pretended.py"), str(GPUS)),
        grace=0.3,
    )
    try:
        return {"job": launcher.launch(JobSpec("evaluate", run, tuple(argv), gpu, priority=priority)).id}
    except BadInput as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    print(json.dumps("here"), flush=True)
    for line in sys.stdin:
        print(json.dumps(launch(**json.loads(line))), flush=True)

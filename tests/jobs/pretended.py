"""A supervisor on a machine with pretended GPUs: `python pretended.py GPUS_JSON JOB_FOLDER LOCK`."""

import json
import sys
from pathlib import Path

from xray_tui.gpu.snapshot import from_json
from xray_tui.jobs.supervise import detach, engine_process, supervisor

supervisor.POLL, supervisor.FOREIGN_POLL, supervisor.JUDGE_EVERY = 0.1, 0.2, 0.5
engine_process.Child.poll = 0.5
detach.SUPERVISOR = (sys.executable, "-P", __file__, sys.argv[1])  # for those that it starts in its turn
supervisor.main(sys.argv[2:], snapshot=lambda: from_json(json.loads(Path(sys.argv[1]).read_text())))

"""Background threads, each of which watches one source and reports its changes."""

from __future__ import annotations

from typing import Literal

Feed = Literal["board", "jobs", "gpus", "host", "log"]

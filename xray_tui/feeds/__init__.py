"""Background threads: each watches something and posts messages."""

from __future__ import annotations

from typing import Literal

Feed = Literal["board", "jobs", "gpus", "host", "log"]

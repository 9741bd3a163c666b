"""Large artifacts, parsed in a process of their own: json.loads holds the interpreter's lock for a second on 30 MiB.

python -P -m xray_tui.board.large < test_metrics.json > [reason or null, the object cut down]
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

LONGEST_LIST = 100
"""Entries of a list that are kept: no metric, interval or fact needs as many."""
PATIENCE = 60.0
"""Seconds; a process that takes longer hangs."""


def parse_apart(data: bytes) -> tuple[str | None, Any] | None:
    """(why there is no JSON object in the bytes or None, the object with its lists cut); None: no process did it."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__], input=data, capture_output=True, timeout=PATIENCE, check=True
        )
        reason, value = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return reason, value


def cut(value: Any) -> Any:
    """The value with every list's first entries only: what makes an artifact large is a list of images or tries."""
    if isinstance(value, list):
        return [cut(each) for each in value[:LONGEST_LIST]]
    if isinstance(value, dict):
        return {key: cut(each) for key, each in value.items()}
    return value


def main() -> None:
    from xray_tui.board.parser import TOO_DEEP, NotComparable, parse_here

    try:
        answer = [None, cut(parse_here(sys.stdin.buffer.read()))]
    except NotComparable as problem:
        answer = [str(problem), None]
    except RecursionError:
        answer = [TOO_DEEP, None]
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()

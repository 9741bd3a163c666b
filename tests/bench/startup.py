"""How long `xray-tui RUNS` takes from the command to the first row of the board, against importing textual alone.

    python tests/bench/startup.py [RUNS ROUNDS ROW]

ROW is a text of the first row; without arguments 21 runs are made. Both are measured in turn in the same minute, so
that a busy machine slows both. Prints the medians and their ratio.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

APP = (
    "import sys; from pathlib import Path; from xray_tui.app.start import run_app; sys.exit(run_app(Path(sys.argv[1])))"
)


def seconds_of_import() -> float:
    """Of a fresh interpreter that imports textual."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import textual"], check=True)
    return time.perf_counter() - begun


def seconds_to_row(runs: Path, row: bytes, columns: int = 120, lines: int = 40) -> float:
    """From the start of the app in a pty until `row` has been sent to it."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    begun = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(runs)],
        stdin=its, stdout=its, stderr=its, start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(its)
    seen = b""
    try:
        while row not in seen:
            if not select.select([ours], [], [], 20)[0]:
                raise SystemExit(f"{row!r} was not shown within 20 s; the screen got {seen[-500:]!r}")
            seen += os.read(ours, 1 << 16)
        return time.perf_counter() - begun
    finally:
        app.terminate()
        while app.poll() is None and select.select([ours], [], [], 5)[0]:
            try:
                os.read(ours, 1 << 16)
            except OSError:
                break
        app.wait(5)
        os.close(ours)


def make_runs(folder: Path, count: int = 21) -> Path:
    """Some runs to look at."""
    for number in range(count):
        run = folder / "runs" / f"run_{number:03d}"
        run.mkdir(parents=True)
        metrics = {"dice_pos": 0.4 - number / 1000, "roc_auc_presence": 0.8, "threshold": 0.25, "tta_mode": "hv"}
        (run / "test_metrics.json").write_text(json.dumps(metrics))
    return folder / "runs"


def measure(runs: Path, row: bytes, rounds: int) -> tuple[float, float]:
    """Medians of the import and of the first row, in seconds."""
    seconds_to_row(runs, row)  # compiles and fills the page cache
    pairs = [(seconds_of_import(), seconds_to_row(runs, row)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    with tempfile.TemporaryDirectory() as folder:
        made = len(sys.argv) < 2
        runs = make_runs(Path(folder)) if made else Path(sys.argv[1])
        row = b"run_000" if made else sys.argv[3].encode()
        alone, first = measure(runs, row, rounds)
    print(f"import textual {alone:.3f} s, first row {first:.3f} s, ratio {first / alone:.2f} (at most 2.5 is wanted)")


if __name__ == "__main__":
    main()

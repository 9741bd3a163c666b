"""What the app sends to the terminal and spends for a key, beside a DataTable of the same runs.

    python tests/bench/terminal.py [RUNS …]         # default: 21 481 10000

Both run in a terminal of 120x40, one after the other, in the same minute. Printed for each number of runs: bytes and
CPU (user and system, the program alone) of one `j` that moves inside the view and of one that scrolls, medians of
KEYS keys pressed one at a time; the seconds until a burst of BURST such keys is drawn; and what an idle app sends in a
second, with the four pretended GPUs of ../shared/fakenvml where they are at hand, else without a GPU. The runs are
written when the benchmark starts, so that their ages change while it measures.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu import SOURCE, environment, four_gpus
from startup import make_runs
from watched import Watched

KEYS, BURST = 12, 200
QUIET = 0.3
"""Seconds without a byte and without work after which what a key set off counts as done."""
RESTING = 0.005
"""CPU seconds in that time at most."""
SETTLING, IDLE = 4.0, 20.0

PEER = """
import json, sys
from pathlib import Path
from textual.app import App
from textual.widgets import DataTable

class Peer(App):
    def compose(self):
        yield DataTable(cursor_type="row")

    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns("#", "Run", "Dice", "IoU", "AUC", "AP", "Thr", "TTA", "Age", "Artifact")
        for rank, path in enumerate(sorted(Path(sys.argv[1]).glob("*/*.json")), 1):
            read = json.loads(path.read_text())
            table.add_row(str(rank), path.parent.name, f"{read['dice_pos']:.4f}", "-",
                          f"{read['roc_auc_presence']:.4f}", "-", "0.25", read["tta_mode"], "now", path.name)

    def key_j(self):
        self.query_one(DataTable).action_cursor_down()

Peer().run()
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes sent and CPU seconds spent for one key."""

    sent: float
    cpu: float


def one_key(program: Watched) -> Cost:
    """Press `j` and wait until its effects are over."""
    sent, cpu = program.sent, program.spent()[0]
    program.press(b"j")
    settle(program)
    return Cost(program.sent - sent, program.spent()[0] - cpu)


def settle(program: Watched) -> float:
    """Wait until nothing is sent or computed for QUIET seconds; the moment of the last byte."""
    seen, since, cpu, last = program.sent, time.perf_counter(), program.spent()[0], time.perf_counter()
    while time.perf_counter() - since < QUIET:
        time.sleep(0.005)
        if program.sent != seen:
            seen, since, last = program.sent, time.perf_counter(), time.perf_counter()
        if (now := program.spent()[0]) > cpu + RESTING:
            cpu, since = now, time.perf_counter()
    return last


def keys(program: Watched, count: int = KEYS) -> Cost:
    """Median cost of `count` keys, pressed one at a time."""
    costs = [one_key(program) for _ in range(count)]
    return Cost(statistics.median(cost.sent for cost in costs), statistics.median(cost.cpu for cost in costs))


def burst(program: Watched) -> float:
    """Seconds until BURST keys, sent in one piece, are drawn."""
    begun = time.perf_counter()
    program.press(b"j" * BURST)
    return settle(program) - begun


def measure(command: Sequence[str], env: Mapping[str, str], row: str, idle: bool) -> None:
    """Print the figures of one program."""
    with Watched(command, env) as program:
        program.when(re.compile(row))
        time.sleep(SETTLING)
        rate = ""
        if idle:
            sent, begun = program.sent, time.perf_counter()
            time.sleep(IDLE)
            rate = f"   idle {(program.sent - sent) / (time.perf_counter() - begun):6.0f} B/s"
        inside = keys(program)
        program.press(b"j" * 30)
        settle(program)
        scrolled = keys(program)
        took = burst(program)
    one, scrolling = (f"{cost.sent / 1000:5.1f} kB {cost.cpu * 1000:4.1f} ms" for cost in (inside, scrolled))
    print(f"  {one}   scrolling {scrolling}   burst {took:5.2f} s{rate}")


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [21, 481, 10_000]
    for count in counts:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            env = environment(folder)
            if SOURCE.is_dir():
                env |= stack.enter_context(four_gpus(folder))
            runs = make_runs(folder, count)
            for program, command in (("xray-tui", [str(Path(sys.executable).with_name("xray-tui")), str(runs)]),
                                     ("DataTable", [sys.executable, "-c", PEER, str(runs)])):  # fmt: skip
                print(f"{count:6} runs, {program:9}", end="", flush=True)
                measure(command, env, "run_0000|run_000", idle=program == "xray-tui")


if __name__ == "__main__":
    main()

"""What the app's GPU strip costs, against nvitop and gpustat, on one machine of four pretended GPUs.

    python tests/bench/gpu.py [ROUNDS SECONDS]

Each program runs alone in a terminal of 120x40 that is read all the time, one after the other, in rounds, so that a
busy machine slows all. CPU is user and system time of its whole process tree, in % of one core, over SECONDS once its
values are there and it has settled; times run from its start, a part of the starts without the long wait. Printed are
medians and, in brackets, the least and the most. The GPUs are the stand-in NVML's of ../shared/fakenvml, two of them
at work and changing, and their processes exist, so that every program pays for reading /proc.

All three look at the GPUs once a second: the app by itself (at processes every other second), gpustat as it is told,
nvitop by itself, and with --interval 1 at processes too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from startup import make_runs
from watched import COLUMNS, LINES, NotSeen, Watched

SOURCE = Path(__file__).resolve().parents[2].parent / "shared" / "fakenvml"
SCENARIO = "a100x4.txt"
VALUE = re.compile(r"(?<![\d.])97 ?%")
"""The utilisation of the first GPU of that scenario, which all three print."""
PAINTED = re.compile(r"\w{3}")
"""Any word."""
ROUNDS, SECONDS, SETTLING = 3, 20.0, 3.0
SHORT_STARTS = 2
"""In each round, besides the long one: one figure says little about a start."""
MOST_SECONDS = 0.5
"""That the app may take from its first paint to the first values."""
AGE = 3 * 86400
"""Seconds since the runs were written; an age in days does not change while one measures."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one start of a program took: times in seconds, CPU in % of a core; None where that was not waited for."""

    paint: float
    values: float
    own: float | None = None
    below: float | None = None
    kilobytes: float | None = None
    """A second, to the terminal."""

    @property
    def cpu(self) -> float | None:
        """Of the whole process tree."""
        return None if self.own is None or self.below is None else self.own + self.below


def run(command: Sequence[str], env: Mapping[str, str], seconds: float) -> Run:
    """Start it, wait for its first values and then, if `seconds` is not 0, see what it spends. Raises NotSeen."""
    with Watched(command, env) as program:
        paint = program.when(PAINTED)
        values = program.when(VALUE)
        if not seconds:
            return Run(paint, values)
        time.sleep(SETTLING)
        sent, (own, below), begun = program.sent, program.spent(), time.perf_counter()
        time.sleep(seconds)
        sent_after, (own_after, below_after), ended = program.sent, program.spent(), time.perf_counter()
        share = 100 / (ended - begun)
        kilobytes = (sent_after - sent) / 1000 / (ended - begun)
        return Run(paint, values, (own_after - own) * share, (below_after - below) * share, kilobytes)


@contextlib.contextmanager
def four_gpus(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which NVML has four GPUs whose processes exist. Raises OSError or CalledProcessError."""
    nvml = shutil.copytree(SOURCE, folder / "fakenvml", ignore=shutil.ignore_patterns("lib*"))
    subprocess.run(["sh", "build.sh", sys.executable], cwd=nvml, check=True, capture_output=True)
    with contextlib.ExitStack() as stack:

        def sleeper(_: re.Match[str]) -> str:
            process = subprocess.Popen(["sleep", "86400"])
            stack.callback(process.wait)
            stack.callback(process.kill)
            return f"proc = {process.pid} "

        scenario = folder / "scenario.txt"
        scenario.write_text(re.sub(r"(?m)^proc *= *\d+ ", sleeper, (SOURCE / SCENARIO).read_text()))
        yield {"LD_LIBRARY_PATH": str(nvml / "lib"), "FAKENVML_SCENARIO": str(scenario)}


def environment(folder: Path) -> dict[str, str]:
    """A user with no settings of his own, in a terminal of 256 colours."""
    theirs = ("XRAY_", "XDG_", "TEXTUAL", "NVITOP_", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)} | {
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XRAY_TUI_LEASE_DIR": str(folder / "leases"),
    }


def programs(runs: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and command of each that is installed; a line for each that is not."""
    here = Path(sys.executable).parent
    for name, arguments in (
        ("xray-tui", [str(runs)]),
        ("nvitop", ["--monitor", "full", "--interval", "1"]),
        ("gpustat", ["--interval", "1"]),
    ):
        try:
            label = f"{name} {version(name)}"
        except PackageNotFoundError:
            print(f"{name} is not installed, and not measured: `make bench-gpu` installs it")
            continue
        yield label, [str(here / name), *arguments]


def measure(
    found: Mapping[str, Sequence[str]], env: Mapping[str, str], rounds: int, seconds: float
) -> dict[str, list[Run]]:
    """The runs of each program, in rounds; a program that shows no values is left out, and its screen printed."""
    measured: dict[str, list[Run]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name in tuple(measured):
            try:
                if not number:  # compiles, and fills the page cache
                    run(found[name], env, 0)
                    continue
                measured[name] += [run(found[name], env, length) for length in (seconds, *[0.0] * SHORT_STARTS)]
            except NotSeen as why:
                del measured[name]
                print(f"{name} is not measured: {why}")
    return measured


def middle(values: Sequence[float | None]) -> float:
    return statistics.median(value for value in values if value is not None)


def spread(values: Sequence[float | None], digits: int) -> str:
    """Median, and in brackets the least and the most."""
    known = [value for value in values if value is not None]
    return f"{middle(known):.{digits}f} [{min(known):.{digits}f}-{max(known):.{digits}f}]"


def table(measured: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    yield f"{'':16} {'CPU %':>20} {'first paint s':>20} {'first values s':>20} {'KB/s sent':>10}"
    for name, runs in measured.items():
        cpu, paint = spread([run.cpu for run in runs], 2), spread([run.paint for run in runs], 2)
        values, sent = spread([run.values for run in runs], 2), middle([run.kilobytes for run in runs])
        yield f"{name:16} {cpu:>20} {paint:>20} {values:>20} {sent:>10.1f}"
        if name.startswith("xray-tui"):
            yield f"{'  the app':16} {spread([run.own for run in runs], 2):>20}"
            yield f"{'  its helper':16} {spread([run.below for run in runs], 2):>20}"


def verdicts(measured: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    by_name = {name.partition(" ")[0]: runs for name, runs in measured.items()}
    ours, theirs = by_name.get("xray-tui"), by_name.get("nvitop")
    if ours and theirs:
        ratio = middle([run.cpu for run in ours]) / middle([run.cpu for run in theirs])
        yield f"CPU, ours / nvitop: {ratio:.2f} (at most 1 is wanted): {_holds(ratio <= 1)}"
    else:
        yield "CPU, ours / nvitop: not measured"
    if ours:
        late = [run.values - run.paint for run in ours]
        held = _holds(middle(late) <= MOST_SECONDS)
        yield f"Ours, first paint to first values: {spread(late, 2)} s (at most {MOST_SECONDS} s is wanted): {held}"
    else:
        yield "Ours, first paint to first values: not measured"


def _holds(wanted: bool) -> str:
    return "holds" if wanted else "does not hold"


def _about_here() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("textual", "nvidia-ml-py", "psutil"))
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before"
    return f"{load}; Python {sys.version.split()[0]}, {versions}"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    if not SOURCE.is_dir():
        print(f"nothing measured: needs the stand-in NVML in {SOURCE}")
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        try:
            gpus = stack.enter_context(four_gpus(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"nothing measured: the stand-in NVML cannot be built: {error}")
            return
        runs = make_runs(folder, 20)
        for path in runs.rglob("*"):
            os.utime(path, (time.time() - AGE,) * 2)
        found = dict(programs(runs))
        print(f"{rounds} rounds of {seconds:.0f} s, 4 GPUs, {COLUMNS}x{LINES}, {_about_here()}", flush=True)
        measured = measure(found, environment(folder) | gpus, rounds, seconds)
    for line in (*table(measured), *verdicts(measured)):
        print(line)


if __name__ == "__main__":
    main()

"""`make demo`: the whole main job on synthetic radiographs, in a few minutes on two cores.

Makes a small set and launches through the queue: a recipe with and without its presence head, their evaluations with
and without TTA, and a blend. Follows the logs, prints the board and, on a terminal, opens the app on these runs. What a
former demo has finished is kept; a training that was interrupted continues.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import names
from engine.contract.events import parse_events

DEMO = Path("demo")
DATA = DEMO / "data"
RUNS = DEMO / names.RUNS
IMAGES, SIZE = 240, 128

RECIPE = "pretrained_dual_head"
HEADLESS = ("model.classification_head=", "loss.presence=0", "training.selection_metric=dice_pos")
TRAININGS = {"dual_head": (), "without_head": HEADLESS}
SHORT = (
    f"data.manifest={DATA / names.MANIFEST}",
    f"data.image_size={SIZE}",
    "training.epochs=6",
    "training.samples_per_epoch=192",
    "training.batch_size=16",
)
"""What lets the recipe learn something in a minute."""

ENGINE = (sys.executable, "-m", "engine.cli")
APP = (sys.executable, "-m", "xray_tui.cli.main")


@dataclass(frozen=True, slots=True)
class Step:
    """One job of the demo, and whether a former demo has finished it."""

    what: str
    kind: str
    arguments: tuple[str, ...]
    is_done: Callable[[], bool]


def steps() -> list[Step]:
    """The jobs of the demo, in order. Each evaluation and the blend wait for their trainings by themselves."""
    made = [_training(RUNS / run, changes) for run, changes in TRAININGS.items()]
    for run in TRAININGS:
        made += [
            _evaluation(RUNS / run, "test, threshold 0.5", "none", "0.5"),
            _evaluation(RUNS / run, "test with TTA hv, threshold tuned on validation", "hv", "tuned"),
        ]
    blend = RUNS / "blend"
    members = [str(RUNS / run) for run in TRAININGS]
    arguments = ("--members", *members, "--run", str(blend), "--tta", "hv")
    made.append(Step("blend of both, chosen on validation", "blend", arguments, _artifact(blend, "hv", "tuned").exists))
    return made


def _training(run: Path, changes: Sequence[str]) -> Step:
    arguments: tuple[str, ...] = ("--run", str(run), "--resume")
    if not (run / names.CONFIG).exists():
        settings = [word for pair in (*SHORT, *changes) for word in ("--set", pair)]
        arguments = ("--config", RECIPE, "--run", str(run), *settings)
    without = " without its presence head" if changes else ""
    return Step(f"train {run.name} ({RECIPE}{without})", "train", arguments, lambda: _is_trained(run))


def _is_trained(run: Path) -> bool:
    events = run / names.EVENTS
    if not events.exists():
        return False
    last = list(parse_events(events.read_text("utf-8")))[-1:]
    return bool(last) and last[0].get("state") == "done"


def _evaluation(run: Path, what: str, tta: str, threshold: str) -> Step:
    done = _artifact(run, tta, threshold if threshold == "tuned" else float(threshold))
    arguments = ("--run", str(run), "--tta", tta, "--threshold", threshold)
    return Step(f"{run.name}: {what}", "evaluate", arguments, done.exists)


def _artifact(run: Path, tta: str, threshold: float | str) -> Path:
    return run / f"{names.artifact_stem(tta, threshold, 'auto', gated=False)}.json"


def main() -> int:
    """Run the demo; its exit status is that of the first command or job that fails."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))  # two jobs run at once
    RUNS.mkdir(parents=True, exist_ok=True)
    if not (DATA / names.MANIFEST).exists():
        synth = ("synth", "--output", str(DATA), "--images", str(IMAGES), "--size", str(SIZE))
        if status := subprocess.call((*ENGINE, *synth)):
            return status
    active = [job["id"] for job in _jobs().values() if job["ended"] is None]
    if active:
        print(f"waiting for {len(active)} jobs of a former demo …", flush=True)
        subprocess.call((*APP, "wait", "--runs", str(RUNS), *active))
    launched = []
    for step in steps():
        if not step.is_done():
            launch = (*APP, "launch", step.kind, "--runs", str(RUNS), "--gpu", "none", "--", *step.arguments)
            done = subprocess.run(launch, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                return done.returncode
            launched.append((step, done.stdout.strip()))
    for number, (step, identity) in enumerate(launched, 1):
        print(f"\n[{number}/{len(launched)}] {step.what}: job {identity}", flush=True)
        subprocess.call((*APP, "logs", "--follow", "--runs", str(RUNS), identity))
        if status := subprocess.call((*APP, "wait", "--runs", str(RUNS), identity)):
            return status
    print(flush=True)
    if status := subprocess.call((*APP, "export", "--runs", str(RUNS), "--output", "-")):
        return status
    if launched:
        jobs = _jobs()
        print("\n" + table([(step.what, jobs[identity]) for step, identity in launched]))
    if not sys.stdout.isatty():
        return 0
    print("\nOpening the app on these runs (q leaves it) …", flush=True)
    return subprocess.call((*APP, str(RUNS)))


def _jobs() -> dict[str, dict[str, Any]]:
    done = subprocess.run((*APP, "jobs", "--json", "--runs", str(RUNS)), stdout=subprocess.PIPE, check=True)
    return {job["id"]: job for job in json.loads(done.stdout)}


def table(timings: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The running times of the jobs as a Markdown table."""
    lines = ["| Job | Time |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {what} | {job['ended'] - job['started']:.0f} s |" for what, job in timings)])


if __name__ == "__main__":
    sys.exit(main())

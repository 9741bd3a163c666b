"""`make demo`: the whole main job on synthetic radiographs, in a few minutes on two cores.

Makes a small set, trains two recipes, evaluates each with and without TTA, blends them, prints the board and, on a
terminal, opens the app on these runs. What a former run of the demo has finished is taken as it is; a training that was
interrupted goes on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract import names
from engine.contract.events import parse_events

DEMO = Path("demo")
DATA = DEMO / "data"
RUNS = DEMO / names.RUNS
IMAGES, SIZE = 240, 128

RECIPE = "pretrained_dual_head"
TRAININGS = {"plain_unet": ("model.classification_head=", "training.selection_metric=dice_pos"), "dual_head": ()}
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
    """One command of the demo, and how it is seen that it was done before."""

    what: str
    command: tuple[str, ...]
    is_done: Callable[[], bool]


def steps() -> list[Step]:
    """The demo, in order."""
    made = [
        Step(
            f"{IMAGES} synthetic radiographs",
            (*ENGINE, "synth", "--output", str(DATA), "--images", str(IMAGES), "--size", str(SIZE)),
            (DATA / names.MANIFEST).exists,
        )
    ]
    for run, changes in TRAININGS.items():
        made.append(_training(RUNS / run, changes))
    for run in TRAININGS:
        made += [
            _evaluation(RUNS / run, "test, threshold 0.5", "--tta", "none", "--threshold", "0.5"),
            _evaluation(RUNS / run, "test with TTA hv, threshold tuned on validation", "--tta", "hv"),
        ]
    members = [str(RUNS / run) for run in TRAININGS]
    blend = RUNS / "blend"
    command = (*ENGINE, "blend", "--members", *members, "--run", str(blend), "--tta", "hv")
    made.append(Step("blend of both, chosen on validation", command, _artifact(blend, "hv", "tuned").exists))
    return made


def _training(run: Path, changes: Sequence[str]) -> Step:
    command: tuple[str, ...]
    if (run / names.CONFIG).exists():
        command = (*ENGINE, "train", "--run", str(run), "--resume")
    else:
        settings = [word for pair in (*SHORT, *changes) for word in ("--set", pair)]
        config = str(Path("configs") / f"{RECIPE}.yaml")
        command = (*ENGINE, "train", "--config", config, "--run", str(run), *settings)
    return Step(f"train {run.name} ({RECIPE})", command, lambda: _is_trained(run))


def _is_trained(run: Path) -> bool:
    events = run / names.EVENTS
    if not events.exists():
        return False
    last = list(parse_events(events.read_text("utf-8")))[-1:]
    return bool(last) and last[0].get("state") == "done"


def _evaluation(run: Path, what: str, *choices: str) -> Step:
    given = dict(zip(choices[::2], choices[1::2], strict=True))
    threshold = given.get("--threshold", "tuned")
    done = _artifact(run, given["--tta"], "tuned" if threshold == "tuned" else float(threshold))
    return Step(f"{run.name}: {what}", (*ENGINE, "evaluate", "--run", str(run), *choices), done.exists)


def _artifact(run: Path, tta: str, threshold: float | str) -> Path:
    stem = names.artifact_stem(tta, "tuned" if isinstance(threshold, str) else threshold, "auto", gated=False)
    return run / f"{stem}.json"


def main() -> int:
    """Run the demo; its exit status is that of the first step that fails."""
    RUNS.mkdir(parents=True, exist_ok=True)
    timings: list[tuple[str, str]] = []
    todo = steps()
    for number, step in enumerate(todo, 1):
        print(f"\n[{number}/{len(todo)}] {step.what}", flush=True)
        if step.is_done():
            print("there already", flush=True)
            timings.append((step.what, "there already"))
            continue
        started = time.monotonic()
        status = subprocess.call(step.command)
        if status:
            return status
        timings.append((step.what, f"{time.monotonic() - started:.1f} s"))
    print(flush=True)
    if status := subprocess.call((*APP, "export", "--runs", str(RUNS), "--output", "-")):
        return status
    print("\n" + table(timings))
    if not sys.stdout.isatty():
        return 0
    print("\nOpening the app on these runs (q leaves it) …", flush=True)
    return subprocess.call((*APP, str(RUNS)))


def table(timings: Sequence[tuple[str, str]]) -> str:
    """The timings as a Markdown table."""
    lines = ["| Step | Time |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {what} | {took} |" for what, took in timings)])


if __name__ == "__main__":
    sys.exit(main())

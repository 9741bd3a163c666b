"""`xray-engine nnunet train`: export, planning and preprocessing, and training, each done once."""

from __future__ import annotations

import json
import math
import shutil
import time
import zipfile
from pathlib import Path

from engine.contract import names
from engine.contract.errors import Failed, Stopped
from engine.contract.events import parse_events
from engine.contract.files import unfinished, write_whole
from engine.contract.load import save_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.splits import read_samples, write_split
from engine.nnunet.export import export
from engine.nnunet.layout import CONFIGURATION, DATASET, FOLDS, Layout
from engine.nnunet.log import Began, Epoch, LogEvent, LogReader, Trained, Validates
from engine.nnunet.tool import counted, environment, find_command, run_tool
from engine.process.progress import Progress
from engine.training.event_log import EventLog

PLAN, TRAIN = "nnUNetv2_plan_and_preprocess", "nnUNetv2_train"

DEFAULT_EPOCHS = 1000


def train(config: NnunetConfig, run: Path, device: str) -> None:
    """Train into the run folder on cpu or cuda, or continue a stopped training of this config.

    nnU-Net saves a checkpoint every 50 epochs, and one whenever its moving average of pseudo Dice is the highest. A
    stopped training continues from the former or, without it, the latter; later epochs are trained again. A training
    that ends before the export is complete leaves nothing. Raises Stopped, Failed, BadInput.
    """
    layout = Layout(run, config)
    plan, trainer = find_command(PLAN), find_command(TRAIN)
    for half in (*unfinished(run / names.CONFIG), *unfinished(run / names.SPLIT)):
        half.unlink(missing_ok=True)
    resumes = (run / names.CONFIG).exists()
    if not resumes:
        _begin(config, layout)
    if layout.checkpoint("final").exists():
        _name_checkpoints(layout)
        print(f"{clean(str(run))}: already trained", flush=True)
        return
    if not layout.dataset.exists():  # killed while it was written, or removed
        export(config, layout.dataset, run)
    if not layout.folds.exists():
        _preprocess(layout, plan, device)
    _fit(layout, trainer, device, resumes)
    _name_checkpoints(layout)


def _begin(config: NnunetConfig, layout: Layout) -> None:
    """Write the config and the export, or neither: after the data are corrected, the folder is free for the same
    command."""
    split, path = layout.run / names.SPLIT, layout.run / names.CONFIG
    try:
        if config.data.fold is not None:
            write_split(layout.run, read_samples(config.data))
        save_config(config, path)
        export(config, layout.dataset, layout.run)
    except BaseException:
        shutil.rmtree(layout.run / names.CHECKPOINTS, ignore_errors=True)
        path.unlink(missing_ok=True)
        split.unlink(missing_ok=True)
        raise


def _name_checkpoints(layout: Layout) -> None:
    """Link nnU-Net's checkpoints under our names, by which lists and the queue recognise a trained run."""
    for name, which in ((names.BEST, "best"), (names.LAST, "final")):
        link = layout.run / names.CHECKPOINTS / name
        link.unlink(missing_ok=True)
        if layout.checkpoint(which).exists():
            link.symlink_to(layout.checkpoint(which).relative_to(link.parent))


def _preprocess(layout: Layout, plan: str, device: str) -> None:
    """Plan and preprocess. If it was killed, it starts again: the folds, which are written last, are missing."""
    shutil.rmtree(layout.preprocessed, ignore_errors=True)
    layout.preprocessed.mkdir(parents=True)
    processes = str(layout.config.training.processes)
    command = [plan, "-d", str(int(DATASET[7:10])), "-c", CONFIGURATION, "-pl", layout.planner, "--no_pbar"]
    command += ["--verify_dataset_integrity", "-np", processes, "-npfp", processes]
    own = environment(layout, device, compile=False)
    own["nnUNet_n_proc_DA"] = "1"  # the planner uses it as its number of threads, and fails with 0
    cases = {case for fold in _folds(layout) for case in (*fold["train"], *fold["val"])}
    with counted("nnU-Net preprocesses", layout.folds.parent, "*_2d/*_seg.b2nd", len(cases)) as tick:
        run_tool([*command], own, on_tick=tick)
    write_whole(layout.folds, (layout.dataset / FOLDS).read_bytes())


def _fit(layout: Layout, trainer: str, device: str, resumes: bool) -> None:
    layout.results.mkdir(parents=True, exist_ok=True)
    continues = set_damaged_aside(layout)
    if resumes and not continues:
        print(f"{clean(str(layout.run))}: no checkpoint yet; the training starts from the beginning", flush=True)
    number = layout.config.data.nnunet_fold
    command = [trainer, DATASET, CONFIGURATION, str(number), "-p", layout.plans, "-device", device]
    command += ["-tr", layout.config.training.trainer_class, *(["--c"] if continues else [])]
    events = EventWriter(layout.run, layout.trained / "debug.json", len(_folds(layout)[number]["val"]))
    own = environment(layout, device, compile=device == "cuda" and layout.config.training.compile)
    try:
        run_tool(command, own, on_line=events.take)
        events.end("done")
    except Stopped:
        events.end("stopped")
        raise
    except (Failed, MemoryError):
        events.end(None)
        raise
    finally:
        events.close()


def set_damaged_aside(layout: Layout) -> bool:
    """Whether there is a checkpoint to continue from. One that is cut short is renamed: nnU-Net writes in place,
    prefers the latest to the best, and would fail on it every time."""
    for which in ("latest", "best"):
        path = layout.checkpoint(which)
        if not path.exists():
            continue
        if zipfile.is_zipfile(path):  # a zip file's directory is at its end
            return True
        path.rename(path.with_name(f"{path.name}.damaged"))
        print(f"{clean(str(path))}: cut short; renamed to {path.name}.damaged", flush=True)
    return False


def _folds(layout: Layout) -> list[dict[str, list[str]]]:
    """The cases in train and val of each fold."""
    folds: list[dict[str, list[str]]] = json.loads((layout.dataset / FOLDS).read_text("utf-8"))
    return folds


class EventWriter:
    """Writes the events of one training, which may continue a former one. nnU-Net logs nothing within an epoch, so an
    epoch is a step."""

    def __init__(self, run: Path, debug: Path, validation_cases: int) -> None:
        """`debug`: the file in which the trainer writes its number of epochs before the first one begins."""
        self._run, self._debug, self._cases = run, debug, validation_cases
        self._reader = LogReader()
        self._started = time.monotonic()
        self._events: EventLog | None = None
        self._progress: Progress | None = None
        self._epochs, self._done = DEFAULT_EPOCHS, 0
        self._times: list[float] = []

    def take(self, line: str) -> None:
        """Process one line of the trainer's output."""
        self._process(self._reader.take(line))

    def _process(self, events: list[LogEvent]) -> None:
        for event in events:
            match event:
                case Began():
                    self._began(event.epoch - 1)
                case Epoch():
                    self._epoch(event)
                case Trained():
                    self._show("nnU-Net's own validation", self._cases, "images")
                case Validates() if self._progress is not None:
                    self._progress.advance()

    def end(self, state: str | None) -> None:
        """Write the end: done, stopped, or None for a failure. Nothing is written if no epoch began."""
        self._process(self._reader.rest())
        if self._events is not None and state is not None:
            seconds = round(time.monotonic() - self._started, 1)
            self._events.write("end", state=state, step=self._done, seconds=seconds)

    def close(self) -> None:
        """Close file and bar."""
        if self._progress is not None:
            self._progress.close()
        if self._events is not None:
            self._events.close()

    def _began(self, done: int) -> None:
        """The first epoch shows where a training continues: former events of later epochs are cut off."""
        if self._events is not None:
            return
        path = self._run / names.EVENTS
        self._epochs, self._done = epochs_of(self._debug), done
        self._events = EventLog(path, keep_bytes=kept_bytes(path.read_bytes(), done) if path.exists() else 0)
        self._events.write("start", run=self._run.name, epochs=self._epochs, steps=self._epochs, step=done)
        self._show(f"train {self._run.name}", self._epochs, "epochs", done)

    def _epoch(self, epoch: Epoch) -> None:
        if self._events is None:
            return
        self._done = epoch.epoch
        if math.isfinite(epoch.seconds):
            self._times.append(epoch.seconds)
        left = self._epochs - epoch.epoch
        eta = round(sum(self._times) / len(self._times) * left, 1) if self._times else None
        facts = {"epoch": epoch.epoch, "step": epoch.epoch, "loss": epoch.loss, "lr": epoch.lr, "eta_s": eta}
        self._events.write("step", steps=self._epochs, **facts)
        values = {"pseudo_dice": epoch.pseudo_dice, "loss": epoch.val_loss}
        self._events.write("epoch", epochs=self._epochs, **facts, val=values, best=epoch.best)
        if self._progress is not None:
            self._progress.advance(eta_s=eta)

    def _show(self, phase: str, total: int, unit: str, done: int = 0) -> None:
        if self._progress is not None:
            self._progress.close()
        self._progress = Progress(phase, total, unit, done=done)


def kept_bytes(content: bytes, epoch: int) -> int:
    """Length of the part of an events file up to the end of that epoch (0: nothing)."""
    end = offset = 0
    for line in content.splitlines(keepends=True):
        offset += len(line)
        for event in parse_events(line.decode("utf-8", "replace")):
            reached = event.get("epoch")
            if not isinstance(reached, int) or event["event"] not in ("step", "epoch"):
                continue
            if reached > epoch:
                return end
            end = offset
    return end


def epochs_of(debug: Path) -> int:
    """The number of epochs in the trainer's debug.json, in which every value is a text."""
    try:
        return int(json.loads(debug.read_text("utf-8"))["num_epochs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return DEFAULT_EPOCHS

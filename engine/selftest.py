"""`xray-engine selftest`: whether this machine trains and predicts rightly, on one page to paste into a report.

It runs from an installed package, needs no data, and leaves nothing behind. Without a GPU it does the same on the CPU
and says what it could not show.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from engine import __version__
from engine.contract import names
from engine.contract.errors import BadInput, Exit, Failed
from engine.contract.events import parse_events
from engine.contract.models import (
    DeepLabConfig,
    ModelConfig,
    PlainUnetConfig,
    SmpConfig,
    Swin3dConfig,
    TimmClassifierConfig,
)
from engine.contract.text import clean
from engine.models.network import build_network
from engine.process.device import Device, is_out_of_memory, pick_device, to_device
from engine.process.provenance import computed

SIZE, IMAGES, BATCH, EPOCHS = 64, 48, 8, 20
FAMILIES: dict[str, ModelConfig] = {
    "plain U-Net": PlainUnetConfig(levels=2, channels=8),
    "U-Net, ResNet-18": SmpConfig(encoder="resnet18", encoder_weights=None),
    "DeepLabV3, ResNet-50": DeepLabConfig(encoder_weights=None),
    "Swin3D adapter": Swin3dConfig(encoder_weights=None),
    "classifier, ResNet-18": TimmClassifierConfig(encoder="resnet18", encoder_weights=None),
}
TOLERANCE = {"fp32": 2e-3, "bf16": 0.08, "fp16": 0.02}
"""Largest difference of probabilities from the CPU's in float32. bfloat16 has 8 significant bits, float16 has 11."""
PATIENCE_S = 120.0


def selftest(gpu: int | None) -> None:
    """Print the page. `gpu`: the number of a GPU, as torch counts them; None takes the first, or the CPU. Raises Failed
    if a check failed, BadInput for a GPU that is not there."""
    if gpu is not None and gpu >= torch.cuda.device_count():
        raise BadInput(f"--gpu {gpu}: torch sees {torch.cuda.device_count()} GPUs")
    if gpu is not None:
        torch.cuda.set_device(gpu)
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    for line in _machine(kind):
        print(line, flush=True)
    failed = 0
    for ok, line in (*_families(kind), *_work(kind, gpu), *_memory(kind)):
        failed += not ok
        print(f"{'ok  ' if ok else 'BAD '} {line}", flush=True)
    if kind == "cpu":
        print("not shown without a GPU: driver, UUIDs, fp16, bf16 and images/s on a GPU, GPU memory")
    if failed:
        raise Failed(f"{failed} checks failed")


def _machine(kind: str) -> Iterator[str]:
    facts = computed(pick_device(kind, "fp32").name, 0.0)
    versions = facts["versions"]
    assert isinstance(versions, dict)
    yield f"xray-engine {__version__} (commit {facts['git'] or 'unknown'}), Python {platform.python_version()}"
    yield f"{platform.platform()}, {os.cpu_count()} cores; " + ", ".join(f"{k} {v}" for k, v in versions.items())
    yield f"torch built for CUDA {torch.version.cuda or 'none'}; device: {facts['device']}"
    for index in range(torch.cuda.device_count() if kind == "cuda" else 0):
        facts_of = torch.cuda.get_device_properties(index)
        uuid, memory = f"GPU-{getattr(facts_of, 'uuid', '?')}", facts_of.total_memory / 2**30
        yield f"GPU {index}: {clean(facts_of.name)}, {memory:.0f} GiB, {uuid}; driver's number {_driver_index(uuid)}"


def _driver_index(uuid: str) -> str:
    """The number of a GPU in nvidia-smi, by its UUID."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({clean(type(error).__name__)})"
    found = next((line.split(", ") for line in lines if uuid in line), None)
    return "unknown: nvidia-smi lists no such UUID" if found is None else f"{found[0]}, driver {found[-1]}"


def _families(kind: str) -> Iterator[tuple[bool, str]]:
    """Each model family in each precision against the CPU in float32."""
    torch.manual_seed(0)
    images = torch.rand(2, 1, SIZE, SIZE)
    for name, config in FAMILIES.items():
        network = build_network(config, pretrained=False).eval()
        expected = _probabilities(network, images, pick_device("cpu", "fp32"))
        for precision, tolerance in TOLERANCE.items():
            if precision == "fp16" and kind == "cpu":
                continue
            started = time.monotonic()
            device = pick_device(kind, precision)
            found = _probabilities(to_device(network, device), images.to(device.device), device)
            difference = float((found.cpu() - expected).abs().max())
            to_device(network, pick_device("cpu", "fp32"))
            text = f"{name}, {precision}: differs from the CPU by {difference:.1e} (at most {tolerance:g})"
            yield difference <= tolerance, f"{text}, {time.monotonic() - started:.1f} s"


@torch.inference_mode()
def _probabilities(network: torch.nn.Module, images: torch.Tensor, device: Device) -> torch.Tensor:
    with device.autocast():
        prediction = network(images)
    logits = prediction.mask_logits if prediction.mask_logits is not None else prediction.presence_logit
    return torch.as_tensor(logits).float().sigmoid()


def _work(kind: str, gpu: int | None) -> Iterator[tuple[bool, str]]:
    """A training that is stopped by SIGTERM, resumed, and evaluated, in processes of their own."""
    with tempfile.TemporaryDirectory(prefix="xray-selftest-") as folder:
        place = Path(folder)
        env = os.environ | {"XRAY_TUI_RUN": "selftest"}
        if gpu is not None:
            env["CUDA_VISIBLE_DEVICES"] = str(gpu)
        engine = (sys.executable, "-m", "engine.cli")
        run, config = place / names.RUNS / "a", place / "config.yaml"
        config.write_text(
            f"data: {{image_size: {SIZE}, manifest: data/manifest.csv, workers: 0}}\n"
            "model: {arch: plain_unet, levels: 2, channels: 8}\n"
            f"training: {{epochs: {EPOCHS}, batch_size: {BATCH}, samples_per_epoch: {IMAGES}}}\n"
        )
        train = [*engine, "train", "--config", str(config), "--run", str(run)]

        def call(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*engine, *words], cwd=place, env=env, capture_output=True, text=True, check=False)

        call("synth", "--output", str(place / "data"), "--images", str(IMAGES), "--size", str(SIZE))
        with subprocess.Popen(train, cwd=place, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            until = time.monotonic() + PATIENCE_S
            while not (run / names.CHECKPOINTS / names.LAST).exists() and process.poll() is None:
                if time.monotonic() > until:
                    process.kill()
                time.sleep(0.05)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.communicate()
        stopped = process.returncode == Exit.STOPPED
        yield stopped, f"a training stops at SIGTERM with a checkpoint (exit status {process.returncode})"
        done = call("train", "--run", str(run), "--resume")
        yield done.returncode == 0, f"it resumes and ends (exit status {done.returncode}){_last_line(done)}"
        events = (run / names.EVENTS).read_text("utf-8") if (run / names.EVENTS).exists() else ""
        paces = [event["images_per_s"] for event in parse_events(events) if event.get("images_per_s")]
        scored = call("evaluate", "--run", str(run), "--bootstrap", "0")
        text = f"it is evaluated (exit status {scored.returncode}){_last_line(scored)}"
        yield scored.returncode == 0, f"{text}; trained {max(paces, default=0):.0f} images/s of {SIZE} px on {kind}"


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stdout + done.stderr).splitlines()
    return "" if done.returncode == 0 or not lines else f": {clean(lines[-1])}"


def _memory(kind: str) -> Iterator[tuple[bool, str]]:
    """An allocation that cannot succeed is recognised as being out of memory."""
    try:
        torch.empty(1 << 46, dtype=torch.uint8, device=kind)
    except (RuntimeError, MemoryError) as error:
        yield is_out_of_memory(error), "64 TiB of memory are refused, and recognised as out of memory (exit status 4)"
        return
    yield False, "64 TiB of memory were granted"

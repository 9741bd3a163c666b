"""The stand-in NVML, built once from ../shared in a scratch folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.sampler import Sampler

from .fake import QUICK, FakeNvml, Seen, gpu

SOURCE = Path(__file__).resolve().parents[2].parent / "shared" / "fakenvml"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with lib/ and lib-old/ (a driver before 510)."""
    if not SOURCE.is_dir():
        pytest.skip("needs the stand-in NVML in ../shared/fakenvml")
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to build the stand-in NVML")
    folder = tmp_path_factory.mktemp("fakenvml")
    for source in SOURCE.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    subprocess.run(["sh", "build.sh", sys.executable], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def built_to_hang(built: Path) -> Path:
    """The folder of the stand-in whose calls can hang for one GPU alone."""
    folder = built / "lib-hangs"
    folder.mkdir()
    renamed = [f"-D{name}=fake_{name}" for name in ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetHandleByIndex_v2")]
    sources = ["fakenvml.c", "stubs.c", str(Path(__file__).with_name("one_hangs.c"))]
    command = ["gcc", "-O0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-soname,libnvidia-ml.so.1", *renamed]
    command += ["-o", str(folder / "libnvidia-ml.so.1"), *sources, "-lm", "-lpthread"]
    subprocess.run(command, cwd=built, check=True, capture_output=True)
    return folder


@pytest.fixture
def four(nvml: FakeNvml, built_to_hang: Path) -> FakeNvml:
    """A machine with four idle GPUs, any of which can be made to hang."""
    nvml.library = built_to_hang
    nvml.becomes(*(gpu(index) for index in range(4)))
    return nvml


@pytest.fixture
def nvml(built: Path, tmp_path: Path) -> FakeNvml:
    """A machine with one idle GPU."""
    fake = FakeNvml(built / "lib", tmp_path / "scenario.txt")
    fake.becomes(gpu())
    return fake


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def sample(nvml: FakeNvml, seen: Seen) -> Iterator[Callable[..., Sampler]]:
    """Start a sampler on that machine; it is stopped at the end of the test."""
    started: list[Sampler] = []

    def start(interval: float = 0.05, backoff: Backoff = QUICK) -> Sampler:
        sampler = Sampler(seen.snapshots.put, interval, environment=nvml.environment, backoff=backoff)
        sampler.start()
        started.append(sampler)
        return sampler

    yield start
    for sampler in started:
        sampler.stop()

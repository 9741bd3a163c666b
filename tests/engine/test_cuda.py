"""On a real GPU: training in the card's precision, evaluation, and the answer to too little memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main

from .conftest import TINY, arguments

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]


@pytest.fixture(scope="module")
def cuda() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.mark.parametrize("precision", ["auto", "fp16", "bf16", "fp32"])
def test_a_training_and_its_evaluation_run_on_the_gpu(
    precision: str, project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = str(project / "configs" / "pretrained_dual_head.yaml"), tmp_path / "run"
    given = arguments(f"data.manifest={synthetic}", *TINY, f"training.precision={precision}", "device=cuda")
    assert main(["train", "--config", config, "--run", str(run), *given]) == 0
    assert " on cpu " not in capsys.readouterr().out
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0"]) == 0
    artifact = json.loads((run / "test_metrics_tta_hv_tuned.json").read_text())
    assert not artifact["provenance"]["device"].startswith("cpu")


def test_too_little_memory_on_the_gpu_is_exit_status_4_with_a_suggestion(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    config = str(project / "configs" / "pretrained_dual_head.yaml")
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        large = (
            "data.image_size=512",
            "training.batch_size=32",
            "model.encoder=resnet50",
            "model.decoder_channels=null",
        )
        given = arguments(f"data.manifest={synthetic}", *TINY, *large)
        assert main(["train", "--config", config, "--run", str(tmp_path / "run"), *given]) == 4
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "try a smaller training.batch_size" in capsys.readouterr().err

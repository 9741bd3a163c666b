"""The page of `make test-gpu`, on the CPU: what it measures can be measured, and is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("engine_extra")


def test_operations_are_those_of_the_network_forward_and_backward(project: Path) -> None:
    from engine.contract.load import load_config
    from engine.process.device import pick_device
    from engine.training.learner import make_learner
    from tests.bench.acceptance import a_batch, count_operations

    changes = ("model.levels=1", "model.channels=4", "data.image_size=32")
    config = load_config(project / "configs" / "baseline_posmetric.yaml", changes)
    learner = make_learner(config, pick_device("cpu", "fp32"), 1, pretrained=False)
    convolutions = [module for module in learner.network.modules() if hasattr(module, "kernel_size")]
    assert len(convolutions) > 4
    one, two = (count_operations(learner, a_batch(count, 32)) for count in (1, 2))
    assert two == 2 * one > 0
    first = 2 * 32 * 32 * 9 * 4  # of the first convolution, forward: 1 -> 4 channels, 3 x 3
    assert one > 3 * first


def test_the_page_has_a_line_for_each_precision(project: Path) -> None:
    from engine.contract.load import load_config
    from tests.bench.acceptance import page

    changes = ("model.levels=1", "model.channels=4", "data.image_size=32", "training.batch_size=2")
    config = load_config(project / "configs" / "baseline_posmetric.yaml", changes)
    lines = page(config, "cpu", ("fp32", "fp16"), steps=1)
    assert "2 images a step" in lines[2]
    assert lines[-2].startswith("float32 ")
    assert "%" in lines[-2]
    assert lines[-1] == "fp16       training.precision: fp16 needs CUDA; give auto, bf16 or fp32"

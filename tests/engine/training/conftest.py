"""A tiny learner and made-up batches: what an option does is seen in the weights behind a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.cli import main
from engine.contract.events import parse_events

from ..conftest import TINY, arguments

if TYPE_CHECKING:
    import torch

    from engine.data.batches import Batch
    from engine.training.learner import Learner

STEPS_PER_EPOCH = 5


@pytest.fixture(autouse=True)
def _one_thread(engine_extra: None) -> Iterator[None]:
    """Two threads wait for each other more than they compute, on networks as small as these and beside other tests."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MakeLearner = Callable[..., "Learner"]


@pytest.fixture
def make_learner() -> MakeLearner:
    """`make_learner(lr=0.1)`: a network of 0.2 M weights, always the same ones, without dropout or augmentation, with
    these keys of a TrainingConfig."""
    import torch

    from engine.contract.augment import AugmentConfig
    from engine.contract.config import TrainConfig
    from engine.contract.losses import LossConfig
    from engine.contract.models import SmpConfig
    from engine.contract.training import TrainingConfig
    from engine.process.device import pick_device
    from engine.training.learner import make_learner

    def make(*, model: SmpConfig | None = None, pretrained: bool = False, **training: Any) -> Learner:
        torch.manual_seed(0)
        config = TrainConfig(
            model=model or SmpConfig(encoder="tu-test_resnet", decoder_channels=(32, 16, 8, 8)),
            loss=LossConfig(bce=1.0, dice=0.0, presence=0.0),
            augment=AugmentConfig(hflip=0.0, affine_chance=0.0, intensity_chance=0.0),
            training=TrainingConfig(**{"warmup_epochs": 0.0, "weight_decay": 0.0, **training}),
        )
        return make_learner(config, pick_device("cpu", "fp32"), STEPS_PER_EPOCH, pretrained=pretrained)

    return make


def batch_of(count: int, seed: int = 0) -> Batch:
    """Made-up images of 32 pixels with a bright square as their mask."""
    import torch

    from engine.data.augment import NUMBERS
    from engine.data.batches import Batch

    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 100, (count, 1, 32, 32), generator=generator, dtype=torch.uint8)
    mask = torch.zeros(count, 1, 32, 32, dtype=torch.bool)
    mask[..., 8:20, 8:20] = True
    image[mask] += 100
    numbers = torch.rand(count, NUMBERS, generator=generator)
    return Batch(image, mask, torch.ones(count), torch.arange(count), numbers)


def tensors(network: Any) -> dict[str, torch.Tensor]:
    """A copy of all that a network holds."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The names of the tensors that are not the same bit for bit."""
    import torch

    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def in_encoder(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("segmenter.encoder.")}


Train = Callable[..., Path]


@pytest.fixture
def train(project: Path, synthetic: Path, tmp_path: Path) -> Train:
    """`train("name", "training.ema=0.9")`: a real training of the tiny dual head with these changes; its run folder."""
    config = str(project / "configs" / "pretrained_dual_head.yaml")

    def run(name: str, *changes: str, resume: bool = False, status: int = 0) -> Path:
        folder = tmp_path / "runs" / name
        fast = ("data.image_size=32", "training.precision=fp32", "training.samples_per_epoch=24")
        given = ["--config", config, *arguments(f"data.manifest={synthetic}", *TINY, *fast, *changes)]
        assert main(["train", "--run", str(folder), *(["--resume"] if resume else given)]) == status
        return folder

    return run


def epochs(run: Path) -> list[dict[str, Any]]:
    """What the run's events tell of its epochs."""
    return [event for event in parse_events((run / "events.jsonl").read_text()) if event["event"] == "epoch"]


def saved(path: Path) -> dict[str, Any]:
    """The content of a checkpoint."""
    import torch

    return dict(torch.load(path, weights_only=True))

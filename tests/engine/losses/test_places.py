"""Losses where they are computed: on several ranks, in half precision, on a GPU; and that something can be learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.contract.base import Section
from engine.contract.losses import ClassifierLossConfig, FocalLoss, FocalTverskyLoss, LossConfig, MapPresenceLoss
from engine.models.network import Prediction
from engine.training.losses import TERMS, Across, training_loss

from ..fake_cuda import fake_cuda

EVERYTHING = LossConfig(
    bce=0.3,
    bce_on="positives",
    dice=0.7,
    empty_bce=0.1,
    presence=0.35,
    presence_ramp_epochs=4.0,
    focal=FocalLoss(alpha=0.25),
    focal_tversky=FocalTverskyLoss(),
    map_presence=MapPresenceLoss(source="topk_mean"),
)
CONFIGS = [LossConfig(), EVERYTHING, LossConfig(map_presence=MapPresenceLoss()), ClassifierLossConfig(pos_weight=2.0)]


def batch(config: Section, images: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mask logits, presence logits, masks and labels; the positives are the first three images."""
    generator = torch.Generator().manual_seed(3)
    masks = torch.zeros(images, 1, 16, 16)
    masks[:3, :, 4:9, 2:12] = 1
    logits = torch.randn(images, 1, 16, 16, generator=generator)
    return logits, torch.randn(images, generator=generator), masks, masks.amax((1, 2, 3))


def loss_of(config: Section, parts: tuple[torch.Tensor, ...], across: Across) -> torch.Tensor:
    logits, head, masks, fractured = parts
    maps = None if isinstance(config, ClassifierLossConfig) else logits
    return training_loss(Prediction(maps, head), masks, fractured, config, 1.0, across)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", CONFIGS, ids=["usual", "every term", "map maximum", "classifier"])
def test_the_mean_over_ranks_is_the_loss_of_the_whole_batch_with_its_gradients(config: Section) -> None:
    whole = batch(config)
    whole[0].requires_grad_()
    whole[1].requires_grad_()
    expected = loss_of(config, whole, lambda value: value)
    expected.backward()
    ranks = [slice(0, 4), slice(4, 8)]  # all positives on one of them
    shares = [
        tuple(part.detach()[places].requires_grad_(index < 2) for index, part in enumerate(whole)) for places in ranks
    ]
    asked: list[list[torch.Tensor]] = []
    for share in shares:
        asked.append([])
        loss_of(config, share, lambda value, mine=asked[-1]: mine.append(value) or value)  # type: ignore[misc]
    means = [torch.stack(each).mean(0) for each in zip(*asked, strict=True)]
    losses = []
    for share in shares:
        told = iter(means)
        losses.append(loss_of(config, share, lambda _, told=told: next(told)))  # type: ignore[misc]
    (sum(losses) / 2).backward()  # type: ignore[union-attr]
    assert sum(each.item() for each in losses) / 2 == pytest.approx(expected.item(), rel=1e-5)
    for place in range(2):
        if whole[place].grad is not None:
            together = torch.cat([share[place].grad for share in shares])  # type: ignore[misc]
            assert torch.allclose(together, whole[place].grad, atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", CONFIGS, ids=["usual", "every term", "map maximum", "classifier"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_with_in_float32(config: Section, dtype: torch.dtype) -> None:
    logits, head, masks, fractured = batch(config)
    half = logits.to(dtype) * 8, head.to(dtype)
    found = loss_of(config, (*half, masks, fractured), lambda value: value)
    assert found.dtype is torch.float32
    same = half[0].float(), half[1].float()
    assert torch.equal(found, loss_of(config, (*same, masks, fractured), lambda value: value))


@pytest.mark.parametrize("config", CONFIGS, ids=["usual", "every term", "map maximum", "classifier"])
def test_no_term_waits_for_the_gpu_or_leaves_anything_on_the_cpu(config: Section) -> None:
    with fake_cuda():
        logits = torch.empty(8, 1, 16, 16, device="cuda", dtype=torch.bfloat16)
        head = torch.empty(8, device="cuda", dtype=torch.bfloat16)
        masks, fractured = torch.empty(8, 1, 16, 16, device="cuda"), torch.empty(8, device="cuda")
        found = loss_of(config, (logits, head, masks, fractured), lambda value: value)
        assert (found.device.type, found.dtype, found.shape) == ("cuda", torch.float32, ())


def test_every_term_is_among_those_that_these_tests_switch_on() -> None:
    logits, head, masks, fractured = batch(EVERYTHING)
    from engine.training.losses import LossInput

    inputs = LossInput(Prediction(logits, head), masks, fractured, math.inf)
    assert [term.__name__ for term in TERMS[LossConfig] if term(EVERYTHING, inputs) is None] == []


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("scale", [0.0, 30.0, 200.0])
def test_gradients_are_numbers_however_sure_the_network_is(gamma: float, scale: float) -> None:
    masks = batch(EVERYTHING)[2]
    for sign in (1, -1):
        logits = (sign * scale * (2 * masks - 1)).requires_grad_()
        focal, tversky = FocalLoss(gamma=gamma), FocalTverskyLoss(gamma=gamma)
        config = LossConfig(focal=focal, focal_tversky=tversky, map_presence=MapPresenceLoss())
        found = training_loss(Prediction(logits, None), masks, masks.amax((1, 2, 3)), config, 1.0)
        found.backward()
        assert bool(found.isfinite())
        assert bool(logits.grad.isfinite().all())  # type: ignore[union-attr]


@pytest.mark.parametrize("config", CONFIGS[:2], ids=["usual", "every term"])
def test_going_down_the_loss_leads_to_the_masks(config: LossConfig) -> None:
    logits, head, masks, fractured = batch(config)
    free = [logits.clone().requires_grad_(), head.clone().requires_grad_()]
    optimizer = torch.optim.Adam(free, lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        training_loss(Prediction(free[0], free[1]), masks, fractured, config, 1e9).backward()
        optimizer.step()
    found = (free[0] > 0).float()
    positives = slice(0, 3)
    assert torch.equal(found[positives], masks[positives])
    assert np.array_equal((free[1] > 0).float().numpy(), fractured.numpy())

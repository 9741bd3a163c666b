"""Every recipe trains for two epochs on a small synthetic set, is evaluated, and lands on a board."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.load import load_config
from engine.contract.recipes import find_recipes
from xray_tui.board.index import RunIndex
from xray_tui.board.rank import rank

from .conftest import arguments

pytestmark = pytest.mark.usefixtures("engine_extra")
LONG = bool(os.environ.get("XRAY_TUI_LONG"))
RECIPES = {recipe.name: recipe for recipe in find_recipes([Path(__file__).resolve().parents[2] / "configs"])}
LARGE = {
    "challenge_finetune_v1",
    "challenge_patches_v1",
    "deeplabv3_resnet101_full_like_v2",
    "deeplabv3_resnet101_highpower_v1",
    "swin3d_adapter_baseline_like_long_v4",
    "swin3d_adapter_baseline_like_v2",
    "swin3d_adapter_dnpplus_fullsend_v2",
    "swin3d_adapter_dnpplus_v1",
    "swin3d_adapter_fast_v1",
    "swin3d_adapter_rgb_v3",
}
"""Recipes with checkpoints of hundreds of megabytes, which are trained in `make test-long` alone."""

LARGE_IN_SHORT = {"deeplab_full", "swin3d_d1_adapter"}
"""The two large recipes that `make test` trains, for one epoch: most of their time goes into writing checkpoints."""

SMALL = {
    "data.image_size": "64",
    "data.patch.size": "32",
    "training.epochs": "2",
    "training.samples_per_epoch": "4",
    "training.batch_size": "2",
    "training.init_from": "",
    "model.encoder_weights": "",
}
"""All sizes shrunk, and no weights from a hub or another run."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from engine.data.synthetic import make_synthetic

    return make_synthetic(tmp_path_factory.mktemp("few"), 24, 64, 7)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    runs = tmp_path_factory.mktemp("board") / "runs"
    runs.mkdir()
    yield runs
    shutil.rmtree(runs)  # gigabytes


def trained(name: str, manifest: Path, runs: Path) -> Path:
    """The evaluated run of a recipe, made the first time."""
    run = runs / name
    if not run.exists():
        path = RECIPES[name].path
        values = SMALL | ({"training.epochs": "1"} if name in LARGE_IN_SHORT and not LONG else {})
        small = (f"{key}={value}" for key, value in values.items() if has(load_config(path), key))
        given = arguments(f"data.manifest={manifest}", "device=cpu", *small)
        assert main(["train", "--config", str(path), "--run", str(run), *given]) == 0
        assert main(["evaluate", "--run", str(run), "--bootstrap", "0"]) == 0
        (run / "checkpoints" / "last.pt").unlink()
    return run


def has(config: object, key: str) -> bool:
    """Whether this recipe's config has the key, in a section that is there."""
    for part in key.split("."):
        if not hasattr(config, part):
            return False
        config = getattr(config, part)
    return True


def ranked(runs: Path) -> list[str]:
    """The runs on the board."""
    return [row.run for row in rank(RunIndex(runs).scan()).rows]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name in LARGE and not LONG, reason="large: make test-long"))
        for name, recipe in RECIPES.items()
        if recipe.kind == "train"
    ],
)
def test_a_recipe_trains_is_evaluated_and_is_on_the_board(name: str, manifest: Path, runs: Path) -> None:
    trained(name, manifest, runs)
    assert name in ranked(runs)


def test_the_blends_are_made_of_what_the_recipes_made(
    manifest: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blends = {name: load_config(recipe.path) for name, recipe in RECIPES.items() if recipe.kind == "blend"}
    for config in blends.values():
        for member in filter(None, (*config.members, config.presence_run)):
            trained(Path(member).name, manifest, runs)
    monkeypatch.chdir(runs.parent)
    for name in blends:
        small = arguments("bootstrap=0", "weight_step=0.5", "threshold_step=0.1")
        assert main(["blend", "--config", str(RECIPES[name].path), "--run", f"runs/{name}", *small]) == 0
        assert name in ranked(runs)
    assert "presence_classifier" not in ranked(runs), "a classifier has no mask"

"""The recipes: one for every row of the board; what a recipe's file may say, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from engine.contract.load import load_config
from engine.contract.recipes import find_recipes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = find_recipes([CONFIGS])
ROWS = [
    "baseline_posmetric",
    "challenge_dual_head_v1",
    "dg_aug_seeds",
    "challenge_presence_aux_v1",
    "challenge_finetune_v1",
    "deeplab_full",
    "deeplabv3_resnet101_full_like_v2",
    "deeplabv3_resnet101_highpower_v1",
    "final_round_modern_v2",
    "swin3d_adapter_fast_v1",
    "swin3d_adapter_baseline_like_v2",
    "swin3d_adapter_rgb_v3",
    "swin3d_adapter_baseline_like_long_v4",
    "swin3d_adapter_dnpplus_v1",
    "swin3d_adapter_dnpplus_fullsend_v2",
    "swin3d_d1_adapter",
    "nnunet_fold0",
    "blend_dual_presence_valjoint",
    "final_presence_fusion",
]


def test_every_row_of_the_board_has_its_recipe() -> None:
    assert set(ROWS) <= {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_valid_and_says_what_it_is(recipe) -> None:
    config = load_config(recipe.path)
    assert config.kind == recipe.kind
    assert config.description == recipe.description != ""
    assert recipe.path.read_text().startswith("# "), "its header says more"
    if recipe.name in ROWS:
        assert "; got " in recipe.facts, "what the system got"


def test_the_baseline_like_adapter_has_the_baselines_sampling_loss_and_size() -> None:
    base, adapter = (
        load_config(CONFIGS / f"{name}.yaml") for name in ("baseline_posmetric", "swin3d_adapter_baseline_like_v2")
    )
    assert adapter.loss == base.loss
    assert adapter.data.image_size == base.data.image_size
    assert adapter.training.positive_share == base.training.positive_share
    assert adapter.training.selection_metric == base.training.selection_metric


@pytest.mark.usefixtures("engine_extra")
def test_the_size_that_a_recipe_names_is_its_networks() -> None:
    import torch

    from engine.models.network import build_network

    for recipe in RECIPES:
        if recipe.kind in ("train", "classifier"):
            with torch.device("meta"):
                network = build_network(load_config(recipe.path).model, pretrained=False)
            counted = sum(parameter.numel() for parameter in network.parameters()) / 1e6
            assert recipe.facts.startswith(f"{round(counted, 2):g} M parameters"), recipe.name


def test_a_recipe_takes_what_its_base_says_and_changes_some_of_it(tmp_path: Path) -> None:
    (tmp_path / "_all.yaml").write_text("seed: 7\ntraining: {epochs: 9, lr: 0.5}\nabout: {needs: luck}\n")
    (tmp_path / "one.yaml").write_text("base: _all.yaml\ntraining: {epochs: 3}\n")
    config = load_config(tmp_path / "one.yaml", ["training.batch_size=2"])
    assert (config.seed, config.training.epochs, config.training.lr, config.training.batch_size) == (7, 3, 0.5, 2)
    (recipe,) = find_recipes([tmp_path])
    assert (recipe.name, recipe.facts) == ("one", "needs luck"), "a part is no recipe, and nobody is asked about it"


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("none.yaml", "one.yaml: base: {folder}/none.yaml: No such file"),
        ("../one.yaml", "expected the name of a file beside it"),
        ("[1]", "expected the name of a file beside it"),
        ("two.yaml", "base: two.yaml has a base itself; a base must have none"),
        ("one.yaml", "one.yaml has a base itself"),
    ],
)
def test_a_base_that_cannot_be_is_one_line(tmp_path: Path, base: str, says: str) -> None:
    (tmp_path / "one.yaml").write_text(f"base: {base}\n")
    (tmp_path / "two.yaml").write_text("base: three.yaml\n")
    with pytest.raises(BadInput) as caught:
        load_config(tmp_path / "one.yaml")
    assert len(caught.value.lines) == 1
    says = says.format(folder=tmp_path)
    assert says in caught.value.lines[0]
    assert says in (next(recipe.problem for recipe in find_recipes([tmp_path]) if recipe.name == "one") or "")


def test_what_a_recipe_says_about_itself_is_no_part_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("about: {parameters: 2.5, needs: luck, board: nothing}\n")
    assert "about" not in load_config(tmp_path / "one.yaml").model_dump()
    (recipe,) = find_recipes([tmp_path])
    assert recipe.facts == "2.5 M parameters, 10 MB; needs luck; got nothing"


def test_a_recipe_of_no_known_kind_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("kind: [train]\n")
    (tmp_path / "typo.yaml").write_text("kind: trian\n")
    wrong = {recipe.name: recipe.problem for recipe in find_recipes([tmp_path])}
    right = "give one of train, classifier, nnunet, blend"
    assert wrong == {
        "odd": f"{tmp_path / 'odd.yaml'}: kind: ['train'] is unknown; {right}",
        "typo": f"{tmp_path / 'typo.yaml'}: kind: 'trian' is unknown; {right}",
    }


def test_the_engine_takes_a_recipe_by_its_name_and_no_empty_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", "baseline_posmetric", "--run", "runs/a"]) == 2
    assert f"{tmp_path / 'data' / 'manifest.csv'}: No such file" in capsys.readouterr().err
    Path("nothing.yaml").write_text("# data: {manifest: m.csv}\n")
    assert main(["train", "--config", "nothing.yaml", "--run", "runs/a"]) == 2
    assert capsys.readouterr().err == "nothing.yaml: empty; expected a config, such as a copy of a recipe\n"

"""Configs: every error at once, each with file, field and what is right; paths that survive a move."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.contract.config import BlendConfig, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.load import load_config, save_config
from engine.contract.models import SmpConfig
from engine.contract.recipes import find_recipes, recipe_folders


def test_every_error_is_reported_at_once_with_file_field_and_meaning(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("training: {epochs: 0, lr: fast, epocs: 3}\nmodel: {arch: Vnet}\nqqqq: 1\n")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    text = "\n".join(caught.value.lines)
    assert len(caught.value.lines) == 5
    assert all(line.startswith(str(path)) for line in caught.value.lines)
    assert "training.epochs: 0: Input should be greater than or equal to 1 (passes over the images)" in text
    assert "training.lr: 'fast'" in text
    assert "training.epocs: unknown key; did you mean epochs?" in text
    assert "model.arch: 'Vnet'" in text
    assert "'Unet'" in text
    assert "qqqq: unknown key; known here: kind" in text


def test_of_a_network_that_nobody_knows_only_the_name_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("model: {arch: plain_unett, levels: 3, channels: 32}\ntraining: {lr: fast}\n")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert [line.removeprefix(f"{path}: ").partition(": ")[0] for line in caught.value.lines] == [
        "model.arch",
        "training.lr",
    ]


def test_the_errors_of_a_network_name_its_own_keys(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("model: {arch: swin3d_adapter, depht: 3, depth: 9, volume: ball}\n")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert [line.removeprefix(f"{path}: ").partition(" (")[0] for line in caught.value.lines] == [
        "model.volume: 'ball': Input should be 'repeat', 'pyramid' or 'dnp_plus'",
        "model.depth: 9: Input should be less than or equal to 5",
        "model.depht: unknown key; did you mean depth?",
    ]


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ("selection_metric: dice", None),
        ("selection_metric: dice_pos + 0.5 * roc_auc_presence", None),
        ("selection_metric: dice_pos - loss", "no metric"),
        ("selection_metric: dice_poz", "'dice_poz' is no metric; give joint, one of dice_pos"),
    ],
)
def test_a_selection_metric_is_a_measure_or_a_weighted_sum(tmp_path: Path, training: str, says: str | None) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"training: {{{training}}}\n")
    if says is None:
        load_config(path)
        return
    with pytest.raises(BadInput, match=says):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"training: [1, 2", "not YAML at line"),
        (b"- 1\n- 2\n", "expected a mapping of keys to values"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"kind: nonsense\n", "give one of train, "),
        (b"kind: [train]\n", "give one of train, "),
        (b"!!python/object/apply:os.system ['true']\n", "not YAML"),
        (b"x: \"\x1b[31m\"\n", "not YAML"),
        (b"[" * 3000, "not YAML"),
        (b"training:\n  lr: 1.0e-5\ntraining:\n  epochs: 3\n", "line 3: duplicate key training"),
        (b"model: {<<: {arch: Unet}, arch: FPN}\ntraining:\n", "training: None: expected keys with values"),
        (b"training: {init_from: \"a\\0b\"}\n", "training.init_from: a␀b: a path cannot contain a null byte"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_config_gets_one_clean_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "odd\x1b[31m.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert len(caught.value.lines) == 1
    assert says in caught.value.lines[0]
    assert caught.value.lines[0].isprintable()


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")


def test_set_reaches_into_sections_that_are_off(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("{}")
    config = load_config(path, ["model.classification_head.hidden=64", "training.lr=1e-3", "seed=7"])
    assert isinstance(config, TrainConfig)
    assert config.model.classification_head is not None
    assert (config.model.classification_head.hidden, config.training.lr, config.seed) == (64, 1e-3, 7)


@pytest.mark.parametrize("name", ["../outside", "/tmp/x", "a/../../b", ".hidden", "a\x1bb", "2024-13-01", "[" * 3000])
def test_a_run_name_that_leads_elsewhere_or_nowhere_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("{}")
    if name == "2024-13-01":  # looks like a date that does not exist, and is a name
        assert load_config(path, [f"name={name}"]).name == name
        return
    with pytest.raises(BadInput) as caught:
        load_config(path, [f"name={name}"])
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].isprintable()


def test_set_without_an_equals_sign_says_how(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("{}")
    with pytest.raises(BadInput, match="give KEY=VALUE"):
        load_config(path, ["training.epochs"])


def test_a_saved_config_still_finds_its_data_after_its_folders_moved(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    (here / "data" / "manifest.csv").touch()
    (here / "runs" / "a").mkdir(parents=True)
    (here / "recipe.yaml").write_text("data: {manifest: data/manifest.csv}\n")
    save_config(load_config(here / "recipe.yaml"), here / "runs" / "a" / "config.yaml")
    there = tmp_path / "there"
    shutil.move(here, there)
    config = load_config(there / "runs" / "a" / "config.yaml")
    assert isinstance(config, TrainConfig)
    assert Path(config.data.manifest).resolve() == (there / "data" / "manifest.csv").resolve()


def test_no_path_of_a_run_is_looked_up_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other data, weights and runs lie where the same relative paths lead from another folder."""
    mine, others = tmp_path / "mine", tmp_path / "others"
    for folder in (mine / "runs" / "a", mine / "runs" / "blend", others / "x" / "y"):
        folder.mkdir(parents=True)
    for name in ("data.csv", "weights.pth", "begun.pt", "m", "p"):
        (others / name).touch()
        (others / "x" / name).touch()
    (mine / "r.yaml").write_text(
        f"data: {{manifest: {mine}/data.csv}}\nmodel: {{encoder_weights: {mine}/weights.pth}}\n"
        f"training: {{init_from: {mine}/begun.pt}}\n"
    )
    save_config(load_config(mine / "r.yaml"), mine / "runs" / "a" / "config.yaml")
    parts = BlendConfig(members=(f"{mine}/runs/m", f"{mine}/runs/o"), presence_run=f"{mine}/runs/p")
    save_config(parts, mine / "runs" / "blend" / "config.yaml")
    monkeypatch.chdir(others / "x" / "y")
    run, blend = load_config(mine / "runs" / "a" / "config.yaml"), load_config(mine / "runs" / "blend" / "config.yaml")
    assert isinstance(run, TrainConfig)
    assert isinstance(run.model, SmpConfig)
    assert [run.data.manifest, run.model.encoder_weights, run.training.init_from] == [
        f"{mine}/{name}" for name in ("data.csv", "weights.pth", "begun.pt")
    ]
    assert isinstance(blend, BlendConfig)
    assert [*blend.members, blend.presence_run] == [f"{mine}/runs/{name}" for name in ("m", "o", "p")]


def test_the_fold_is_filled_into_the_path_of_the_first_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "second.yaml"
    recipe.write_text("training: {init_from: 'runs/first_sweep/fold_{fold}'}\n")

    def begins(*overrides: str) -> str | None:
        config = load_config(recipe, overrides)
        assert isinstance(config, TrainConfig)
        return config.training.init_from

    assert begins("data.fold=3") == f"{tmp_path}/runs/first_sweep/fold_3"
    assert begins("data.fold=0", "training.init_from=runs/first_{fold}") == f"{tmp_path}/runs/first_0"
    with pytest.raises(BadInput, match=r"training\.init_from: \{fold\} is replaced by data\.fold, which is empty"):
        begins()


def test_a_config_beside_a_training_is_the_runs_however_little_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").touch()
    for name in ("a", "recipes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("data: {manifest: data.csv}\n")
    (tmp_path / "a" / "events.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    run, recipe = (load_config(tmp_path / name / "config.yaml") for name in ("a", "recipes"))
    assert isinstance(run, TrainConfig)
    assert isinstance(recipe, TrainConfig)
    assert run.data.manifest == f"{tmp_path}/a/data.csv"
    assert recipe.data.manifest == f"{tmp_path}/data.csv"


def test_a_blend_keeps_its_members_relative_to_its_config(tmp_path: Path) -> None:
    for run in ("a", "b", "blend"):
        (tmp_path / "runs" / run).mkdir(parents=True)
    members = tuple(str(tmp_path / "runs" / run) for run in ("a", "b"))
    path = tmp_path / "runs" / "blend" / "config.yaml"
    save_config(BlendConfig(members=members), path)
    assert "../a" in path.read_text()
    loaded = load_config(path)
    assert isinstance(loaded, BlendConfig)
    assert [Path(member).resolve() for member in loaded.members] == [Path(member) for member in members]


def test_recipes_are_found_beside_the_runs_folder_and_the_nearer_one_wins(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "baseline_posmetric.yaml").write_text("description: my own\n")
    (folder / "broken.yaml").write_text("a: [")
    recipes = {recipe.name: recipe for recipe in find_recipes(recipe_folders(tmp_path / "runs"))}
    assert "not YAML" in (recipes["broken"].problem or "")
    assert "challenge_dual_head_v1" in recipes
    if Path("configs").resolve() != folder.resolve() and not Path("configs/baseline_posmetric.yaml").exists():
        assert recipes["baseline_posmetric"].description == "my own"


def test_what_is_wrong_with_a_section_is_said_without_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("data: {fold: 7, folds: 5}\ntraining: {positive_share: 0.5}\n")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert caught.value.lines == (f"{path}: data: fold: expected 0 to 4, got 7",)

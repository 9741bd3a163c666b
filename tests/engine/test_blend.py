"""Blending: chosen on validation, applied once to test."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.contract.errors import BadInput

pytestmark = pytest.mark.usefixtures("engine_extra")


def blend(runs: Path, *more: str) -> int:
    members = ["--members", str(runs / "plain"), str(runs / "dual")]
    return main(["blend", *members, "--run", str(runs / "both"), "--tta", "none", "--set", "bootstrap=20", *more])


def test_a_blend_is_at_least_its_better_member_on_validation(runs_copy: Path) -> None:
    for run in ("plain", "dual"):
        assert main(["evaluate", "--run", str(runs_copy / run), "--tta", "none", "--bootstrap", "0"]) == 0
    assert blend(runs_copy) == 0
    found = json.loads((runs_copy / "both" / "test_metrics_tuned.json").read_text())
    members = [json.loads((runs_copy / run / "test_metrics_tuned.json").read_text()) for run in ("plain", "dual")]
    for member in members:
        joint = member["validation"]["dice_pos"] + member["validation"]["roc_auc_presence"]
        assert found["validation"]["dice_pos"] + found["validation"]["roc_auc_presence"] >= joint - 1e-6
    assert found["data"] == {key: value for key, value in members[0]["data"].items() if key != "record"}
    assert found["selection"]["members"] == ["../plain", "../dual"]
    assert sum(found["selection"]["weights"]) == pytest.approx(1)
    assert found["selection"]["threshold_source"] == "val"
    assert [item["path"] for item in found["provenance"]["checkpoints"]] == [
        "../plain/checkpoints/best.pt",
        "../dual/checkpoints/best.pt",
    ]
    assert (runs_copy / "both" / found["per_image"]).exists()


def test_the_order_of_a_members_manifest_does_not_matter(runs_copy: Path, synthetic: Path) -> None:
    assert blend(runs_copy) == 0
    expected = json.loads((runs_copy / "both" / "test_metrics_tuned.json").read_text())
    rows = synthetic.read_text().splitlines()
    other = synthetic.with_name("backwards.csv")
    other.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    config = runs_copy / "dual" / "config.yaml"
    config.write_text(config.read_text().replace(str(synthetic), str(other)))
    assert blend(runs_copy) == 0
    other.unlink()
    found = json.loads((runs_copy / "both" / "test_metrics_tuned.json").read_text())
    for name in ("dice_pos", "roc_auc_presence", "precision_pos", "validation"):
        assert found[name] == pytest.approx(expected[name]), name


def test_one_run_and_its_copy_blend_to_that_runs_figures(runs_copy: Path) -> None:
    shutil.rmtree(runs_copy / "plain")
    shutil.copytree(runs_copy / "dual", runs_copy / "plain")
    assert main(["evaluate", "--run", str(runs_copy / "dual"), "--tta", "none", "--bootstrap", "0"]) == 0
    alone = json.loads((runs_copy / "dual" / "test_metrics_tuned.json").read_text())
    assert blend(runs_copy, "--set", "presence_sources=[cls]") == 0
    found = json.loads((runs_copy / "both" / "test_metrics_tuned.json").read_text())
    for name in ("dice_pos", "roc_auc_presence", "average_precision_presence", "precision_pos"):
        assert found[name] == pytest.approx(alone[name], abs=1e-6), name


def test_a_member_without_a_head_has_a_share_in_presence_by_the_maximum_of_its_map(runs_copy: Path) -> None:
    own = []
    for run, source in (("plain", "max"), ("dual", "cls")):
        given = ["--tta", "none", "--threshold", "0.5", "--bootstrap", "0", "--presence", source]
        assert main(["evaluate", "--run", str(runs_copy / run), *given]) == 0
        own.append(json.loads((runs_copy / run / f"test_metrics_thr050_{source}.json").read_text()))
    assert blend(runs_copy, "--set", "presence_sources=[cls]", "--set", "objective=roc_auc_presence") == 0
    found = json.loads((runs_copy / "both" / "test_metrics_tuned.json").read_text())
    weights = found["selection"]["presence_weights"]
    assert len(weights) == 2
    assert sum(weights) == pytest.approx(1)
    assert found["selection"]["member_presence"] == ["max", "cls"]
    alone = [scores_in(runs_copy / run / each["per_image"]) for run, each in zip(("plain", "dual"), own, strict=True)]
    mixed = scores_in(runs_copy / "both" / found["per_image"])
    for name, score in mixed.items():
        assert score == pytest.approx(weights[0] * alone[0][name] + weights[1] * alone[1][name], abs=1e-6), name
    best = max(each["validation"]["roc_auc_presence"] for each in own)
    assert found["validation"]["roc_auc_presence"] >= best - 1e-9


def scores_in(table: Path) -> dict[str, float]:
    with table.open() as file:
        return {row["id"]: float(row["presence_score"]) for row in csv.DictReader(file)}


@pytest.fixture
def with_nnunet(runs_copy: Path, synthetic: Path) -> Path:
    """`runs_copy` and `nn`, a run of nnU-Net's as its own commands leave it, that says what `plain` says."""
    return add_nnunet(runs_copy, synthetic, fold=None)


def add_nnunet(runs_copy: Path, synthetic: Path, fold: int | None) -> Path:
    from engine.contract.load import save_config
    from engine.contract.nnunet import NnunetConfig, NnunetDataConfig

    assert main(["evaluate", "--run", str(runs_copy / "plain"), "--tta", "none", "--bootstrap", "0"]) == 0
    nn = runs_copy / "nn"
    for split in ("val", "test"):
        kept = nn / "predictions" / f"{split}_mirror"
        shutil.copytree(runs_copy / "plain" / "predictions" / f"{split}_none", kept)
        index = json.loads((kept / "index.json").read_text())
        own = {"checkpoint": "5" * 64, "tta": "mirror", "masks": False, "device": "cpu, float32, nnU-Net"}
        (kept / "index.json").write_text(json.dumps({**index, **own}))
    config = NnunetConfig(data=NnunetDataConfig(manifest=str(synthetic), image_size=64, fold=fold))
    save_config(config, nn / "config.yaml")
    return runs_copy


def blend_nnunet(runs: Path) -> int:
    given = ["--tta", "none", "--set", "bootstrap=0", "--set", "presence_sources=[max]"]
    return main(["blend", "--members", str(runs / "plain"), str(runs / "nn"), "--run", str(runs / "both"), *given])


def test_a_run_of_nnunets_that_was_predicted_is_a_member(with_nnunet: Path) -> None:
    runs = with_nnunet
    threshold = ["--tta", "none", "--presence", "max", "--bootstrap", "0"]
    assert main(["evaluate", "--run", str(runs / "plain"), *threshold]) == 0
    alone = json.loads((runs / "plain" / "test_metrics_tuned_max.json").read_text())
    assert blend_nnunet(runs) == 0
    found = json.loads((runs / "both" / "test_metrics_tuned.json").read_text())
    for name in ("dice_pos", "roc_auc_presence", "precision_pos"):
        assert found[name] == pytest.approx(alone[name], abs=1e-6), name
    assert found["selection"]["member_tta"] == ["none", "mirror"]
    assert found["provenance"]["checkpoints"][1] == {"path": "../nn/predictions/test_mirror", "sha256": "5" * 64}


def move_to_fold(run: Path, fold: int) -> None:
    """Make the run one of a fold, as an earlier version would have trained it: without a split.csv."""
    from engine.models.checkpoint import load_checkpoint, save_checkpoint

    config, best = run / "config.yaml", run / "checkpoints" / "best.pt"
    config.write_text(config.read_text().replace("fold: null", f"fold: {fold}"))
    state = load_checkpoint(best)
    state["config"]["data"]["fold"] = fold
    save_checkpoint(best, state)


def test_a_fold_of_nnunets_is_a_member_beside_the_same_fold_of_ours(runs_copy: Path, synthetic: Path) -> None:
    move_to_fold(runs_copy / "plain", 1)
    assert blend_nnunet(add_nnunet(runs_copy, synthetic, fold=1)) == 0


def test_a_run_of_nnunets_that_was_not_predicted_or_of_other_data_says_what_to_do(
    with_nnunet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = with_nnunet / "nn" / "predictions" / "test_mirror" / "index.json"
    kept = json.loads(index.read_text())
    index.write_text(json.dumps({**kept, "data": "sha256:0"}))
    assert blend_nnunet(with_nnunet) == 2
    assert "evaluate the run again" in capsys.readouterr().err
    index.unlink()
    assert blend_nnunet(with_nnunet) == 2
    assert "run xray-engine evaluate --run" in capsys.readouterr().err


def test_blending_again_replaces_the_blend_and_another_one_is_refused(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert blend(runs_copy) == 0
    before = sorted(os.listdir(runs_copy / "both"))
    assert blend(runs_copy) == 0
    assert sorted(os.listdir(runs_copy / "both")) == before
    assert blend(runs_copy, "--set", "weight_step=0.5") == 2
    assert "holds another run; give another --run" in capsys.readouterr().err
    assert blend(runs_copy, "--tta", "auto") == 2  # the default, after a version whose default was hv
    assert "holds this blend with --tta none; give that, or another --run" in capsys.readouterr().err


def test_a_blend_takes_the_flips_that_its_members_were_trained_with(runs_copy: Path) -> None:
    members = ("--members", str(runs_copy / "plain"), str(runs_copy / "dual"))
    command = ["blend", *members, "--run", str(runs_copy / "both"), "--set", "bootstrap=0", "--set", "weight_step=0.5"]
    assert main(command) == 0
    found = json.loads((runs_copy / "both" / "test_metrics_tta_hv_tuned.json").read_text())
    assert (found["tta_mode"], found["selection"]["member_tta"]) == ("hv", ["hv", "hv"])
    assert found["selection"]["optimism"] is None, "the threshold was chosen together with the weights"
    assert main(command) == 0
    assert len(list((runs_copy / "both").glob("test_metrics*.json"))) == 1


def test_a_blend_from_a_config_of_its_own_is_the_same(runs_copy: Path) -> None:
    config = runs_copy.parent / "blend.yaml"
    config.write_text("kind: blend\nmembers: [runs/plain, runs/dual]\ntta: none\nbootstrap: 0\n")
    assert main(["blend", "--config", str(config), "--run", str(runs_copy / "both")]) == 0
    assert (runs_copy / "both" / "test_metrics_tuned.json").exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_members_of_different_data_are_refused_before_anything_is_written(
    split: str, runs_copy: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.models.checkpoint import load_checkpoint, save_checkpoint

    rows = synthetic.read_text().splitlines()
    dropped = next(row for row in rows if row.endswith(f",{split}"))
    other = synthetic.with_name(f"fewer_{split}.csv")
    other.write_text("\n".join(row for row in rows if row != dropped) + "\n")
    config = runs_copy / "dual" / "config.yaml"
    config.write_text(config.read_text().replace(str(synthetic), str(other)))
    assert blend(runs_copy) == 2
    assert f"whose {split} images differ; restore it" in capsys.readouterr().err
    best = runs_copy / "dual" / "checkpoints" / "best.pt"
    save_checkpoint(best, {name: part for name, part in load_checkpoint(best).items() if name != "fingerprints"})
    status = blend(runs_copy)
    other.unlink()
    assert status == 2
    assert "members need the same data" in capsys.readouterr().err
    assert not (runs_copy / "both").exists()


def test_the_grid_of_weights_covers_the_corners_and_sums_to_one() -> None:
    from engine.blending.search import simplex

    grid = np.array(simplex(3, 0.25))
    assert np.allclose(grid.sum(1), 1)
    assert len(grid) == 15
    for corner in np.eye(3):
        assert any(np.array_equal(corner, weights) for weights in grid)


def test_a_grid_that_would_take_for_ever_is_refused() -> None:
    from engine.blending.search import simplex

    with pytest.raises(BadInput, match="give a larger step"):
        simplex(8, 0.05)


def test_a_validation_split_without_negatives_leaves_only_dice_to_search_by(synthetic: Path) -> None:
    from engine.blending.members import Members
    from engine.blending.search import search
    from engine.contract.config import BlendConfig
    from engine.data.manifest import read_manifest
    from engine.evaluation.predictions import Predictions

    samples = tuple(sample for sample in read_manifest(synthetic) if sample.split == "val" and sample.fractured)
    generator = np.random.default_rng(0)

    def part(presence: np.ndarray | None) -> Predictions:
        levels = generator.integers(0, 65536, (len(samples), 64, 64)).astype(np.uint16)
        return Predictions(samples, levels, presence, False, "", "cpu")

    members = Members((part(generator.random(len(samples))), part(None)), generator.random(len(samples)))
    found = search(members, BlendConfig(objective="dice_pos"))
    assert 0 < found.threshold < 1
    for objective in ("joint", "roc_auc_presence"):
        with pytest.raises(BadInput, match=r"no image without a fracture.*give objective: dice_pos"):
            search(members, BlendConfig(objective=objective))

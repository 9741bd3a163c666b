"""The config belongs to the checkpoint, cached predictions to both, and a run records its images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.files import file_sha256
from engine.data.data_record import read_data_record


def edit(run: Path, before: str, after: str) -> None:
    config = run / "config.yaml"
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))


def evaluate(run: Path) -> int:
    return main(["evaluate", "--run", str(run), "--tta", "none", "--threshold", "0.5", "--bootstrap", "0"])


def test_an_edited_config_is_refused_key_by_key(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs_copy / "plain"
    assert evaluate(run) == 0
    before = (run / "test_metrics_thr050.json").read_bytes()
    edit(run, "keep_aspect: false", "keep_aspect: true")
    edit(run, "image_size: 64", "image_size: 96")
    capsys.readouterr()
    assert evaluate(run) == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"{run}/config.yaml: data.image_size is 96, but best.pt was trained with 64; restore it",
        f"{run}/config.yaml: data.keep_aspect is true, but best.pt was trained with false; restore it",
    ]
    assert (run / "test_metrics_thr050.json").read_bytes() == before


def test_a_resume_and_a_blend_refuse_it_too(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(runs_copy / "plain", "keep_aspect: false", "keep_aspect: true")
    members = ["--members", str(runs_copy / "plain"), str(runs_copy / "dual")]
    assert main(["blend", *members, "--run", str(runs_copy / "both")]) == 2
    assert "data.keep_aspect is true, but best.pt was trained with false" in capsys.readouterr().err
    assert main(["train", "--run", str(runs_copy / "plain"), "--resume"]) == 2
    assert "data.keep_aspect is true, but last.pt was trained with false" in capsys.readouterr().err


def test_a_section_that_was_switched_off_is_refused(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs_copy / "plain"
    edit(run, "map_presence: null", "map_presence: {weight: 0.25, source: topk_mean}")
    assert evaluate(run) == 2
    expected = f"{run}/config.yaml: loss.map_presence is on, but off in the training of best.pt; restore it\n"
    assert capsys.readouterr().err == expected


def test_an_average_refuses_an_edited_config(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs_copy / "plain"
    edit(run, "keep_aspect: false", "keep_aspect: true")
    for epoch in (1, 2):
        shutil.copy(run / "checkpoints/best.pt", run / f"checkpoints/best_{epoch}.pt")
    assert main(["average", "--run", str(run), "--output", str(runs_copy / "mean")]) == 2
    assert "data.keep_aspect is true, but best_1.pt was trained with false" in capsys.readouterr().err
    assert not (runs_copy / "mean").exists()


def test_keys_that_cannot_change_predictions_may_be_edited(runs_copy: Path) -> None:
    edit(runs_copy / "plain", "epochs: 2", "epochs: 9")
    edit(runs_copy / "plain", "seed: 42", "seed: 43")
    assert evaluate(runs_copy / "plain") == 0


def test_predictions_of_another_size_are_not_reused(runs_copy: Path) -> None:
    run = runs_copy / "plain"
    assert evaluate(run) == 0
    index = run / "predictions/test_none/index.json"
    values = json.loads(index.read_text())
    index.write_text(json.dumps({**values, "config": "0" * 16}))
    assert evaluate(run) == 0
    assert json.loads(index.read_text()) == values, "made again"


def test_a_cache_that_cannot_be_written_is_one_line(
    runs_copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("engine.evaluation.predictions.new_array", refuse)  # root may write anywhere
    assert evaluate(runs_copy / "plain") == 0
    assert f"{runs_copy}/plain/predictions/val_none: predictions are not cached: Permission denied" in (
        capsys.readouterr().out
    )


def test_a_run_records_its_images_and_its_artifact_names_the_record(runs_copy: Path, synthetic: Path) -> None:
    run = runs_copy / "plain"
    record = read_data_record(run)
    assert record is not None
    assert len(record.ids) == 60
    assert set(record.splits) == {"train", "val", "test"}
    assert evaluate(run) == 0
    artifact = json.loads((run / "test_metrics_thr050.json").read_text())
    assert artifact["data"]["record"] == file_sha256(run / "data.csv")


def test_a_run_of_an_earlier_version_gets_its_record_when_it_is_resumed(runs_copy: Path) -> None:
    run = runs_copy / "plain"
    shutil.copy(run / "data.csv", runs_copy / "expected.csv")
    (run / "data.csv").unlink()
    assert main(["train", "--run", str(run), "--resume"]) == 0
    assert (run / "data.csv").read_text() == (runs_copy / "expected.csv").read_text()


def test_a_resume_refuses_what_would_change_the_training(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs_copy / "plain"
    edit(run, "epochs: 2", "epochs: 3")
    assert main(["train", "--run", str(run), "--resume"]) == 2
    assert "training.epochs is 3, but last.pt was trained with 2; restore it" in capsys.readouterr().err
    assert evaluate(run) == 0, "predictions do not depend on it"


def test_other_data_under_the_same_run_are_refused_and_moved_data_are_not(
    runs_copy: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = runs_copy / "plain", runs_copy / "plain" / "config.yaml"
    text, rows = synthetic.read_text(), synthetic.read_text().splitlines()
    moved, fewer = synthetic.with_name("moved.csv"), synthetic.with_name("fewer.csv")
    moved.write_text(text)
    dropped = next(row for row in rows if row.endswith(",test"))
    fewer.write_text("\n".join(row for row in rows if row != dropped) + "\n")
    before = config.read_text()
    config.write_text(before.replace(str(synthetic), str(fewer)))
    assert evaluate(run) == 2
    assert f"trained with {synthetic}, whose test images differ; restore it" in capsys.readouterr().err
    config.write_text(before.replace(str(synthetic), str(moved)))
    assert evaluate(run) == 0


def test_an_average_records_its_images_and_checkpoints_hold_the_hash(runs_copy: Path) -> None:
    from engine.models.checkpoint import load_checkpoint

    run = runs_copy / "plain"
    for name in ("best", "last"):
        saved = load_checkpoint(run / "checkpoints" / f"{name}.pt")
        assert saved["record"] == file_sha256(run / "data.csv")
        assert saved["training"]["device"] in ("cpu, float32", "cpu, bfloat16")

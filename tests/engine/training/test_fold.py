"""A fold of a cross-validation, trained and evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli import main

from .conftest import Train


def test_training_and_evaluation_see_the_same_fold(
    train: Train, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.contract.data import DataConfig
    from engine.data.splits import read_samples
    from engine.evaluation.run import open_run

    given = ("data.fold=1", "data.folds=3", "training.epochs=1")
    run = train("fold1", *given)
    expected = read_samples(DataConfig(manifest=str(synthetic), fold=1, folds=3))
    counts = [sum(sample.split == split for sample in expected) for split in ("train", "val")]
    assert f"{counts[0]} training images (" in capsys.readouterr().out
    for split in ("val", "test"):
        found = [sample.id for sample in open_run(run).samples(split)]
        assert found == [sample.id for sample in expected if sample.split == split]
    published = [sample.id for sample in read_samples(DataConfig(manifest=str(synthetic))) if sample.split == "val"]
    assert [sample.id for sample in open_run(run).samples("val")] != published
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0", "--tta", "none"]) == 0
    assert main(["train", "--run", str(run), "--resume"]) == 0
    split = run / "split.csv"
    swapped = {"train": "val", "val": "train", "split": "split"}
    rows = [line.split(",") for line in split.read_text().splitlines()]
    split.write_text("".join(f"{identity},{swapped[part]}\n" for identity, part in rows))
    assert main(["train", "--run", str(run), "--resume"]) == 2, "resume reads split.csv"
    assert "the training images have changed" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_without_a_split_file_keeps_its_fold(
    train: Train, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.data import splits
    from engine.data.manifest import read_manifest
    from engine.evaluation.run import open_run

    earlier = splits.earlier_fold(read_manifest(synthetic), 1, 3)
    with monkeypatch.context() as patched:
        patched.setattr(splits, "draw_folds", lambda samples, folds: [[], earlier, []])
        run = train("earlier", "data.fold=1", "data.folds=3", "training.epochs=1")
    (run / "split.csv").unlink()
    assert open_run(run).samples("val") == [sample for sample in earlier if sample.split == "val"]
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0", "--tta", "none"]) == 0
    assert main(["train", "--run", str(run), "--resume"]) == 0

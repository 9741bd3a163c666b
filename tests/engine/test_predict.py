"""`xray-engine predict`: masks and scores of images without labels are those that an evaluation computes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli import main


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def decoded(text: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask from Kaggle's run lengths, as the competitions describe them."""
    flat = np.zeros(shape[0] * shape[1], bool)
    numbers = list(map(int, text.split()))
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(shape, order="F")


@pytest.mark.parametrize("gate", ["none", "0.51"])
def test_masks_and_scores_are_those_of_the_evaluation(
    runs_copy: Path, synthetic: Path, tmp_path: Path, gate: str
) -> None:
    run = runs_copy / "dual"
    assert main(["evaluate", "--run", str(run), "--tta", "hv", "--gate", gate]) == 0
    scored = rows(next(run.glob("test_metrics*.images.csv")))
    out = tmp_path / "out"
    wanted = ["--maps", "--overlays", "--submission", "rle"]
    assert main(["predict", "--run", str(run), str(synthetic.parent / "images"), "--output", str(out), *wanted]) == 0
    scores, submission = rows(out / "scores.csv"), rows(out / "submission.csv")
    assert len(scores) == len(submission) == 60
    for name, row in scored.items():
        mask = np.asarray(Image.open(out / "masks" / f"{name}.png"))
        assert set(np.unique(mask)) <= {0, 255}
        area = int((mask == 255).sum())
        assert area == int(row["tp"]) + int(row["fp"]) == int(scores[name]["area"])
        assert float(scores[name]["presence_score"]) == pytest.approx(float(row["presence_score"]), abs=1e-6)
        assert (decoded(submission[name]["rle"], mask.shape) == (mask == 255)).all()
        assert Image.open(out / "maps" / f"{name}.png").mode.startswith("I")
        assert Image.open(out / "overlays" / f"{name}.png").mode == "RGB"


def test_a_table_names_the_images_and_every_bad_one_is_listed_before_anything_is_predicted(
    runs_copy: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(runs_copy / "plain"), tmp_path / "out"
    assert main(["evaluate", "--run", run]) == 0
    image = next((synthetic.parent / "images").iterdir())
    table = tmp_path / "new.csv"
    table.write_text(f"id,image\nfirst,{image}\n../up,{image}\nlost,lost.png\n")
    assert main(["predict", "--run", run, str(table), "--output", str(out)]) == 2
    error = capsys.readouterr().err
    assert "lost.png: no such file" in error
    assert "id '../up': expected a unique name without .." in error
    assert not out.exists()
    table.write_text(f"id,image\nfirst,{image}\n")
    assert main(["predict", "--run", run, str(table), "--output", str(out)]) == 0
    assert list(rows(out / "scores.csv")) == ["first"]
    assert main(["predict", "--run", run, str(table), "--output", str(out)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_other_files_of_a_folder_are_named(
    runs_copy: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(runs_copy / "plain")
    assert main(["evaluate", "--run", run]) == 0
    folder = tmp_path / "new"
    (folder / "a").mkdir(parents=True)
    (folder / "a/x.png").write_bytes(next((synthetic.parent / "images").iterdir()).read_bytes())
    (folder / "scan.dcm").write_bytes(b"")
    assert main(["predict", "--run", run, str(folder), "--output", str(tmp_path / "out")]) == 0
    assert "1 files are no PNG, JPEG, TIFF or BMP and are left out: scan.dcm" in capsys.readouterr().out
    assert (tmp_path / "out/masks/a/x.png").is_file()


def test_a_classifier_has_scores_and_no_masks(with_classifier: Path, synthetic: Path, tmp_path: Path) -> None:
    run = str(with_classifier / "classifier")
    assert main(["evaluate", "--run", run]) == 0
    out = tmp_path / "out"
    assert main(["predict", "--run", run, str(synthetic.parent / "images"), "--output", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["scores.csv"]
    scored = rows(next((with_classifier / "classifier").glob("test_metrics*.images.csv")))
    for name, row in scored.items():
        assert float(rows(out / "scores.csv")[name]["presence_score"]) == pytest.approx(
            float(row["presence_score"]), abs=1e-6
        )


def test_choices_come_from_an_artifact_of_this_checkpoint(
    runs_copy: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = str(synthetic.parent / "images"), str(tmp_path / "out")
    assert main(["predict", "--run", str(runs_copy / "plain"), images, "--output", out]) == 2
    assert "no test artifact of best.pt; run `xray-engine evaluate" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(runs_copy / "dual"), "--threshold", "0.25", "--tta", "none"]) == 0
    other = next((runs_copy / "dual").glob("test_metrics*.json"))
    assert main(["predict", "--run", str(runs_copy / "plain"), images, "--output", out, "--artifact", str(other)]) == 2
    assert "expected a test artifact of" in capsys.readouterr().err
    assert main(["predict", "--run", str(runs_copy / "dual"), images, "--output", out, "--artifact", str(other)]) == 0
    assert "TTA none, threshold 0.25, presence from cls" in capsys.readouterr().out

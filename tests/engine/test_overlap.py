"""Validation and test images that a run was trained on are refused, or marked in every artifact that they reach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.cli import main
from engine.contract.load import load_config
from engine.data.data_record import read_images, write_data_record
from engine.data.manifest import Sample, read_manifest, write_manifest
from engine.data.overlap import read_mark
from engine.data.splits import read_samples

from .conftest import TINY, arguments

pytestmark = pytest.mark.usefixtures("engine_extra")

SCORING = ("--tta", "none", "--bootstrap", "0")


def train(
    project: Path, manifest: Path, run: Path, *changes: str, options: tuple[str, ...] = (), status: int = 0
) -> Path:
    """Train the plain network for one epoch."""
    plain = ("model.classification_head=", "loss.presence=0", "training.selection_metric=dice_pos")
    fast = ("training.precision=fp32", "data.image_size=32")
    given = arguments(f"data.manifest={manifest}", *TINY, *plain, *fast, "training.epochs=1", *changes)
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    assert main(["train", "--config", config, "--run", str(run), *given, *options]) == status
    return run


def record(run: Path) -> None:
    """Write the run's data.csv."""
    config = load_config(run / "config.yaml")
    write_data_record(run, read_images(read_samples(config.data, run), None))  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def folds(project: Path, engine_extra: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `fold_0` and `fold_1` of one set. Its test split has a copy of a training image, saved again
    as JPEG under another name."""
    from engine.data.synthetic import make_synthetic

    folder = tmp_path_factory.mktemp("folds")
    manifest = make_synthetic(folder / "data", 40, 64, 3)
    samples = read_manifest(manifest)
    flawed = next(sample for sample in samples if sample.split == "train" and not sample.fractured)
    with Image.open(flawed.image) as image:
        image.save(folder / "data" / "again.jpg", quality=95)
    again = Sample("again", folder / "data" / "again.jpg", None, False, "test")
    write_manifest(manifest, [*samples, again])
    for fold in ("0", "1"):
        train(project, manifest, folder / "runs" / f"fold_{fold}", f"data.fold={fold}", "data.folds=3")
    return folder


@pytest.fixture
def place(folds: Path, tmp_path: Path) -> Path:
    """A copy of `folds` of the test's own."""
    shutil.copytree(folds, tmp_path, dirs_exist_ok=True)
    return tmp_path


def artifact_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "test_metrics_tuned.json").read_text())
    return found


@pytest.mark.parametrize("recorded", [True, False], ids=["data.csv", "earlier version"])
def test_a_second_stage_of_another_fold_is_refused_with_a_count_and_three_ids(
    recorded: bool, place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, first = place / "data" / "manifest.csv", place / "runs" / "fold_0"
    if recorded:
        record(first)
        (first / "config.yaml").write_text((first / "config.yaml").read_text().replace("manifest.csv", "gone.csv"))
    given = ("data.fold=1", "data.folds=3", "training.epochs=1")
    validated = [
        sample.id
        for sample in read_samples(load_config(place / "runs/fold_1/config.yaml").data)
        if sample.split == "val"
    ]  # type: ignore[union-attr]
    train(project, manifest, place / "runs" / "second", *given, f"training.init_from={first}", status=2)
    says = capsys.readouterr().err
    tests = sum(sample.split == "test" for sample in read_manifest(manifest))
    count = (
        f"{first} was trained on {len(validated)} of the {len(validated) + tests} validation and test images, such as "
    )
    assert f"training.init_from: {count}" in says
    assert ", ".join(validated[:3]) + "; give a run of the same split and fold" in says
    assert "--allow-overlap" in says
    assert not (place / "runs" / "second").exists()


def test_a_second_stage_of_the_same_fold_goes_on_although_the_split_itself_has_copies(
    place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = place / "data" / "manifest.csv"
    given = ("data.fold=1", "data.folds=3", f"training.init_from={place}/runs/fold_{{fold}}")
    run = train(project, manifest, place / "runs" / "second", *given)
    assert "init_from: ../fold_1\n" in (run / "config.yaml").read_text()
    assert main(["evaluate", "--run", str(run), *SCORING]) == 0
    assert "overlap" not in artifact_of(run)["data"]
    assert "was trained on" not in capsys.readouterr().out


def test_overlap_is_found_through_a_chain_of_runs(
    place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second stage has the images of fold 1 for validation, the third those of fold 0, which the first was not
    trained on; the second was."""
    manifest, runs = place / "data" / "manifest.csv", place / "runs"
    folds = ("data.folds=3", "data.fold=0")
    middle = train(project, manifest, runs / "middle", *folds, f"training.init_from={runs / 'fold_0'}")
    config = middle / "config.yaml"
    config.write_text(config.read_text().replace("init_from: ../fold_0", "init_from: ../fold_1/checkpoints/best.pt"))
    train(project, manifest, runs / "third", *folds, f"training.init_from={middle}", status=2)
    says = capsys.readouterr().err
    assert f"training.init_from: {runs / 'fold_1'} was trained on" in says
    assert f"{middle} was trained on" not in says


def test_an_allowed_overlap_marks_the_run_and_all_that_is_made_of_it(
    place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, runs = place / "data" / "manifest.csv", place / "runs"
    given = ("data.fold=1", "data.folds=3", "training.keep_best=2", "training.epochs=2")
    source = f"training.init_from={runs / 'fold_0'}"
    run = train(project, manifest, runs / "second", *given, source, options=("--allow-overlap",))
    (overlap,) = read_mark(run)
    assert overlap.run == (runs / "fold_0").resolve()
    says = capsys.readouterr().out
    assert f"fold_0 was trained on {len(overlap.ids)} of the" in says
    assert "artifacts are marked and not ranked" in says
    shutil.rmtree(runs / "fold_0")
    mark = {"count": len(overlap.ids), "with": ["../fold_0"]}
    assert main(["evaluate", "--run", str(run), *SCORING]) == 0
    assert artifact_of(run)["data"]["overlap"] == mark
    assert main(["average", "--run", str(run), "--output", str(runs / "mean")]) == 0
    assert main(["evaluate", "--run", str(runs / "mean"), *SCORING]) == 0
    assert artifact_of(runs / "mean")["data"]["overlap"] == mark
    both = ["--members", str(runs / "fold_1"), str(run), "--run", str(runs / "both"), "--tta", "none"]
    assert main(["blend", *both, "--set", "bootstrap=0"]) == 0
    assert artifact_of(runs / "both")["data"]["overlap"] == mark
    assert main(["train", "--run", str(run), "--resume"]) == 0, "the mark stays, and the option is not needed again"
    assert read_mark(run) == [overlap]


def test_a_leaking_run_of_an_earlier_version_is_scored_and_marked(
    place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, runs = place / "data" / "manifest.csv", place / "runs"
    given = ("data.fold=1", "data.folds=3", f"training.init_from={runs / 'fold_0'}")
    run = train(project, manifest, runs / "second", *given, options=("--allow-overlap",))
    (run / "overlap.json").unlink()
    capsys.readouterr()
    assert main(["evaluate", "--run", str(run), *SCORING]) == 0
    assert "artifacts are marked and not ranked" in capsys.readouterr().out
    assert artifact_of(run)["data"]["overlap"]["with"] == ["../fold_0"]


def test_a_run_that_cannot_be_checked_is_named_in_a_line(
    place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = place / "weights.pt"
    shutil.copy(place / "runs" / "fold_0" / "checkpoints" / "best.pt", weights)
    run = train(project, place / "data" / "manifest.csv", place / "runs" / "second", f"training.init_from={weights}")
    assert f"overlap with {weights} could not be checked: {place / 'config.yaml'}: " in capsys.readouterr().out
    assert read_mark(run) == []


def test_the_mark_of_a_killed_start_is_removed_by_the_next_training(place: Path, project: Path) -> None:
    run = place / "runs" / "second"
    run.mkdir()
    (run / "overlap.json").write_text(f'[{{"run": "{place}/runs/fold_0", "ids": ["a"]}}]')
    manifest, leaking = place / "data" / "manifest.csv", f"training.init_from={place}/runs/fold_0"
    train(project, manifest, run, "data.fold=1", "data.folds=3", leaking, status=2)
    train(project, manifest, run)
    assert not (run / "overlap.json").exists()


def test_a_damaged_mark_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "runs" / "fold_0" / "overlap.json").write_text('{"run": 1}')
    assert main(["evaluate", "--run", str(place / "runs" / "fold_0"), *SCORING]) == 2
    assert "overlap.json: damaged; expected a list of run and ids" in capsys.readouterr().err


@pytest.mark.parametrize("leaking", ["member", "presence_run"])
def test_a_blend_with_a_run_that_was_trained_on_its_validation_images_is_refused(
    leaking: str, place: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have the same validation and test images; to one, two of them were added as training images, renamed."""
    data, runs = place / "data", place / "runs"
    samples = read_manifest(data / "manifest.csv")
    taken = [sample for sample in samples if sample.split == "val"][:2]
    copies = []
    for number, sample in enumerate(taken):
        with Image.open(sample.image) as image:
            image.save(data / f"copy_{number}.tiff")
        copies.append(Sample(f"copy_{number}", data / f"copy_{number}.tiff", sample.mask, sample.fractured, "train"))
    write_manifest(data / "more.csv", [*samples, *copies])
    train(project, data / "manifest.csv", runs / "plain")
    head = ("model.classification_head={}", "loss.presence=1")
    train(project, data / "more.csv", runs / "more", *head)
    capsys.readouterr()
    given = ["blend", "--run", str(runs / "both"), "--tta", "none", "--set", "bootstrap=0"]
    if leaking == "member":
        given += ["--members", str(runs / "plain"), str(runs / "more")]
    else:
        given += ["--members", str(runs / "plain"), "--set", f"presence_run={runs / 'more'}"]
    assert main(given) == 2
    says = capsys.readouterr().err
    assert f"members: {runs / 'more'} was trained on 2 of the" in says
    assert f"such as {taken[0].id}, {taken[1].id}; give members of the same split, or add --allow-overlap" in says
    assert not (runs / "both").exists()
    assert main([*given, "--allow-overlap"]) == 0
    assert artifact_of(runs / "both")["data"]["overlap"] == {"count": 2, "with": ["../more"]}


def test_other_data_with_training_images_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under other names, at half the size."""
    run, data = place / "runs" / "fold_0", place / "data"
    images = []
    for sample in read_samples(load_config(run / "config.yaml").data, run):  # type: ignore[union-attr]
        path = data / f"half_{sample.id}.png"
        for source, target in ((sample.image, path), (sample.mask, path.with_suffix(".mask.png"))):
            if source is not None:
                with Image.open(source) as image:
                    image.resize((32, 32), Image.Resampling.NEAREST if target is not path else None).save(target)
        mask = path.with_suffix(".mask.png") if sample.mask else None
        images.append((sample.split, Sample(f"other {sample.id}", path, mask, sample.fractured, "test")))
    trained = [sample for split, sample in images if split == "train"]
    unseen = [sample for split, sample in images if split == "val"]
    write_manifest(data / "unseen.csv", unseen)
    write_manifest(data / "other.csv", [*trained[:4], *unseen])
    given = ["evaluate", "--run", str(run), *SCORING, "--output", str(place / "external.json"), "--manifest"]
    assert main([*given, str(data / "unseen.csv")]) == 0
    assert "overlap" not in json.loads((place / "external.json").read_text())["data"]
    assert main([*given, str(data / "other.csv")]) == 2
    shown = ", ".join(sample.id for sample in trained[:3])
    count = f"was trained on 4 of the {4 + len(unseen)} images, such as {shown}; give images that no training used"
    assert count in capsys.readouterr().err
    assert main([*given, str(data / "other.csv"), "--allow-overlap"]) == 0
    assert json.loads((place / "external.json").read_text())["data"]["overlap"] == {"count": 4, "with": ["runs/fold_0"]}

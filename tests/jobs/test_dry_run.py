"""`xray-tui launch --dry-run`, with the real command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.errors import Exit
from xray_tui.cli.main import main
from xray_tui.jobs.locks import lock_dir

from .conftest import Place
from .test_outlook import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(lock_dir.LOCK_DIR_ENV, str(tmp_path / "leases"))
    (tmp_path / "runs").mkdir()
    return Desk(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "other").mkdir()
    place = Place(tmp_path / "other")
    yield place
    place.clear()


def test_it_says_everything_and_launches_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--gpu", "none", "train", "--run", "a b", "--", "--config", "configs/unet.yaml", "--set", "seed=1")
    assert main(["launch", "--dry-run", *words]) == Exit.DONE
    data, disk, command = capsys.readouterr().out.splitlines()
    assert data == f"✓ data: 2 train and 2 val images in {desk.manifest}"
    assert disk.startswith("✓ disk: ")
    assert command == "xray-engine train --config configs/unet.yaml --run 'runs/a b' --set seed=1"
    assert list(desk.runs.iterdir()) == []
    assert not (desk.folder / "leases").exists()


def test_what_is_bad_makes_the_exit_status_two(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.manifest.unlink()
    words = ("--gpu", "none", "train", "--run", "a", "--", "--config", "configs/unet.yaml")
    assert main(["launch", "--dry-run", *words]) == Exit.BAD_INPUT
    # Where nothing lies beside the config, a path counts from the working folder, as for the engine.
    assert "✗ data: " in capsys.readouterr().out


def test_a_launch_runs_the_same_checks_and_refuses_what_would_fail(
    desk: Desk, other: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_tui.jobs.launch.launcher.LocalLauncher.of", lambda settings, runs: other.launcher())
    launch = ("launch", "--runs", str(other.runs), "--gpu", "none")
    train = ("train", "--run", "a", "--", "--config", "configs/unet.yaml")
    assert main([*launch, "evaluate", "--run", "gone"]) == Exit.BAD_INPUT
    assert "gone/checkpoints/best.pt: no such file" in capsys.readouterr().err
    assert main([*launch, "blend", "--run", "b", "--", "--members", str(other.runs / "gone")]) == Exit.BAD_INPUT
    assert "members: got 1" in capsys.readouterr().err
    desk.manifest.unlink()
    assert main([*launch, *train]) == Exit.BAD_INPUT
    assert "manifest.csv: No such file" in capsys.readouterr().err
    assert other.store.jobs() == []
    first = other.launch("until", other.folder / "never")
    assert main([*launch, "--after", first.id, *train]) == Exit.DONE, "the first job may write the manifest"
    assert "No such file" in capsys.readouterr().err


def test_a_recipe_is_named_from_any_folder(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "far").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk.folder / "far")
        words = ("--runs", str(desk.runs), "--gpu", "none", "train", "--run", "a", "--", "--config")
        assert main(["launch", "--dry-run", *words, "unet"]) == Exit.DONE
        assert "✓ data: 2 train and 2 val images" in capsys.readouterr().out
        main(["launch", "--dry-run", *words, "baseline_posmetric"])
        assert "configs/baseline_posmetric.yaml" in capsys.readouterr().out.splitlines()[-1]
        assert main(["launch", "--dry-run", *words, "no_such_recipe"]) == Exit.BAD_INPUT
        assert "no_such_recipe: No such file" in capsys.readouterr().out


def test_what_the_launch_would_refuse_comes_first(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.trained("a", 1.0)
    words = ("--gpu", "none", "train", "--run", "a", "--", "--config", "configs/unet.yaml")
    assert main(["launch", "--dry-run", *words]) == Exit.BAD_INPUT
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "✗ runs/a: not empty; give --resume to continue it, or another name"


def test_a_seed_group_is_checked_once_and_each_command_shown(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--gpu", "none", "--seeds", "1,2,3", "train", "--run", "a", "--", "--config", "configs/unet.yaml")
    assert main(["launch", "--dry-run", "--then-evaluate", *words]) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("✓ data: 2 train and 2 val images") for line in lines) == 1
    assert [line for line in lines if line.startswith("xray-engine")] == [
        command
        for seed in (1, 2, 3)
        for command in (
            f"xray-engine train --config configs/unet.yaml --run runs/a_seeds/seed_{seed} --set seed={seed}",
            f"xray-engine evaluate --run runs/a_seeds/seed_{seed} --tta auto --threshold tuned",
        )
    ]


def test_the_commands_shown_are_those_that_the_launch_then_queues(
    desk: Desk, other: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_tui.jobs.launch.launcher.LocalLauncher.of", lambda settings, runs: other.launcher())
    words = ("--runs", str(other.runs), "--gpu", "none", "--sweep", "training.lr=1e-3,3e-4", "train", "--run", "a")
    arguments = ("--then-evaluate", *words, "--", "--config", "configs/unet.yaml")
    main(["launch", "--dry-run", *arguments])
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("xray-engine")]
    assert main(["launch", *arguments]) == Exit.DONE
    jobs = [other.store.get(identity) for identity in capsys.readouterr().out.split()]
    assert shown == [shlex.join(("xray-engine", *job.spec.argv)) for job in jobs]
    assert len(shown) == 4


def test_a_command_has_room_alone_to_be_checked(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--gpu", "none", "command", "--run", "a", "--", "sh", "scripts/old train.sh")
    assert main(["launch", "--dry-run", *words]) == Exit.DONE
    disk, command = capsys.readouterr().out.splitlines()
    assert disk.startswith("✓ disk: ")
    assert command == "sh 'scripts/old train.sh'"

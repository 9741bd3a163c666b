"""What is looked at before a launch: real files, a real port, and a real small disk's figures."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from xray_tui.jobs import checks as module
from xray_tui.jobs.asked import Asked
from xray_tui.jobs.checks import BAD, OK, WARNING, Check, checks, room_check
from xray_tui.jobs.hub import hub_problem
from xray_tui.jobs.quota import Quota, parse_quota
from xray_tui.jobs.room import room, written


def make_set(folder: Path, images: int = 4, splits: str = "train val test") -> Path:
    names = splits.split()
    lines = ["id,image,mask,fractured,split"]
    for number in range(images):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / f"images/{number}.png").touch()
        lines.append(f"{number},images/{number}.png,,0,{names[number % len(names)]}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def training(manifest: Path | None, **model: Any) -> Asked:
    return Asked("train", Path("/runs/a"), {"model": {"encoder": "resnet18", **model}}, manifest)


# -- data -------------------------------------------------------------------------------------------------------------


def test_a_set_that_is_whole_is_counted(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, 6)
    assert checks(training(manifest)) == [Check(OK, f"data: 2 train and 2 val images in {manifest}")]


def test_of_many_images_some_are_looked_at(tmp_path: Path) -> None:
    (check,) = checks(training(make_set(tmp_path, 900, "train val")))
    assert check.text.startswith("data: 450 train and 450 val images in ")
    assert int(check.text.rpartition(", ")[2].split()[0]) in range(module.SAMPLE, 2 * module.SAMPLE)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (
            lambda path: (path.parent / "images/1.png").unlink(),
            "files of 1 of 6 images are missing, such as images/1.png",
        ),
        (lambda path: path.write_text("id,image\n"), "no column mask, split; that is no manifest"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8 text"),
        (lambda path: path.write_text("id,image,mask,split\n1,images/1.png,,train\n"), "no image of split val"),
    ],
)
def test_what_is_wrong_with_the_data_is_said_in_one_line(tmp_path: Path, spoil: Any, reason: str) -> None:
    manifest = make_set(tmp_path, 6, "train val")
    spoil(manifest)
    (check,) = checks(training(manifest))
    assert check.is_bad
    assert reason in check.text
    assert str(manifest) in check.text


def test_a_run_without_a_config_has_no_data() -> None:
    assert [check.sign for check in checks(Asked("evaluate", Path("/runs/a")))] == [BAD, BAD]


# -- weights ----------------------------------------------------------------------------------------------------------


def test_weights_in_a_file_are_looked_for(tmp_path: Path) -> None:
    manifest, weights = make_set(tmp_path), tmp_path / "encoder.pt"
    assert checks(training(manifest, encoder_weights=str(weights)))[1] == Check(
        BAD, f"weights: {weights}: no such file"
    )
    weights.touch()
    assert checks(training(manifest, encoder_weights=str(weights)))[1] == Check(OK, f"weights: {weights}")


def test_weights_in_the_hubs_cache_need_no_network(tmp_path: Path) -> None:
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert hub_problem("imagenet", "resnet18", offline) == (
        "imagenet for resnet18 is not in the hub's cache, and HF_HUB_OFFLINE is set"
    )
    for repository in ("smp-hub--resnet18.imagenet", "timm--convnext_tiny.in12k_ft_in1k"):
        snapshot = tmp_path / f"hub/models--{repository}/snapshots/abc"
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").touch()
    assert hub_problem("imagenet", "resnet18", offline) is None
    assert hub_problem("imagenet", "tu-convnext_tiny", offline) is None
    assert hub_problem("imagenet", "resnet1", offline) is not None


def test_the_hub_is_asked_whether_it_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asked = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
        assert hub_problem("imagenet", "resnet18", asked) is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    problem = hub_problem("imagenet", "resnet18", asked | {"HF_ENDPOINT": f"http://127.0.0.1:{closed}"})
    assert problem == "imagenet for resnet18 is not in the hub's cache, and 127.0.0.1 does not answer; give a file"


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_members_need_checkpoints_or_a_training_that_comes_before(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "a/checkpoints/best.pt").touch()
    blend = Asked("blend", tmp_path / "c", {}, members=(tmp_path / "a", tmp_path / "b"))
    assert checks(blend) == [
        Check(OK, "checkpoint: a/checkpoints/best.pt"),
        Check(BAD, "checkpoint: b/checkpoints/best.pt: no such file, and no job will write it"),
    ]
    coming = {tmp_path / "b": "b, which is running"}.get
    assert checks(blend, coming)[1] == Check(OK, "checkpoint: b/checkpoints/best.pt comes from b, which is running")
    assert checks(Asked("blend", tmp_path / "c"))[-1].text == "members: 0 given; a blend needs two runs or more"


# -- room -------------------------------------------------------------------------------------------------------------


def test_room_is_weighed_against_what_similar_runs_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = room(tmp_path).free
    assert room_check(tmp_path, free // 2).sign == OK
    short = room_check(tmp_path, free * 2)
    assert short.sign == BAD
    assert "by similar runs it takes" in short.text
    assert room_check(tmp_path, None).sign == OK
    monkeypatch.setattr(module, "LEAST_ROOM", free * 2)
    assert room_check(tmp_path, None).sign == WARNING
    assert room_check(tmp_path / "not/there/yet", None).sign == WARNING


def test_what_a_run_wrote_is_counted_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.pt").write_bytes(b"x" * 1000)
    (tmp_path / "all").symlink_to("/usr")
    assert written(tmp_path) in range(1000, 1100)
    assert written(tmp_path / "gone") is None


def test_the_quota_of_the_runs_file_system_counts() -> None:
    told = """Disk quotas for user ana (uid 1000):
     Filesystem   blocks   quota   limit   grace   files   quota   limit   grace
server:/home  1000000 2000000 2500000       0    1000       0       0       0
/dev/sda1     3000000* 2000000 2500000   6days    1000       0       0       0
/dev/sdb1     3000000       0       0       0    1000       0       0       0
"""
    server = parse_quota(told, "server:/home")
    assert server == Quota(used=1_000_000 << 10, limit=2_000_000 << 10, files=1000)
    assert server.left == 1_000_000 << 10
    passed = parse_quota(told, "/dev/sda1")
    assert passed is not None
    assert passed.left == -1_000_000 << 10
    assert parse_quota(told, "/dev/sdb1") == Quota(used=3_000_000 << 10, limit=None, files=1000)
    assert parse_quota(told, "/dev/sdc1") is None
    assert parse_quota("no quota here", "") is None

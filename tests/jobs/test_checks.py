"""What is looked at before a launch: real files, every recipe, and a real small disk's figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.contract.augment import AugmentConfig
from engine.contract.recipes import TAKES, read_recipe
from tests.conftest import calls_of
from xray_tui.jobs.launch.resolve import ResolvedJob, resolve
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.preflight import checks as module
from xray_tui.jobs.preflight import dataset
from xray_tui.jobs.preflight.checks import BAD, OK, WARNING, Check, check_space, checks
from xray_tui.jobs.preflight.dataset import SAMPLE
from xray_tui.jobs.preflight.disk_space import Quota, free_space, parse_quota, size_of_run
from xray_tui.jobs.preflight.estimate import needs


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


def training(manifest: Path | None, **config: Any) -> ResolvedJob:
    return ResolvedJob("train", Path("/runs/a"), config, manifest)


def make_run(folder: Path, checkpoint: str | None = "best.pt", **config: Any) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    if checkpoint is not None:
        (folder / "checkpoints" / checkpoint).touch()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


# -- data -------------------------------------------------------------------------------------------------------------


def test_a_set_that_is_whole_is_counted(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, 6)
    assert checks(training(manifest)) == [Check(OK, f"data: 2 train and 2 val images in {manifest}")]


def test_folds_are_made_of_all_that_is_not_test(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, 6, "train test")
    folds = {"data": {"fold": 0, "folds": 3}}
    assert checks(training(manifest))[0] == Check(BAD, f"data: {manifest}: no image of split val")
    assert checks(training(manifest, **folds))[0] == Check(OK, f"data: 3 train or val images in {manifest}")
    run = make_run(tmp_path / "a", **folds)
    found = checks(ResolvedJob("evaluate", run, folds, manifest))
    assert found[1] == Check(OK, f"data: 3 train or val and 3 test images in {manifest}")


def test_of_many_images_some_are_looked_at(tmp_path: Path) -> None:
    (check,) = checks(training(make_set(tmp_path, 900, "train val")))
    assert check.text.startswith("data: 450 train and 450 val images in ")
    assert int(check.text.rpartition(", ")[2].split()[0]) in range(SAMPLE, 2 * SAMPLE)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (
            lambda path: (path.parent / "images/1.png").unlink(),
            "files of 1 of 6 images are missing, such as images/1.png",
        ),
        (lambda path: path.write_text("id,image\n"), "no column mask, split; expected a manifest"),
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


def test_images_are_looked_for_each_time_and_the_manifest_is_read_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_set(tmp_path, 6)
    image, away = tmp_path / "images/1.png", tmp_path / "away.png"
    image.rename(away)
    assert checks(training(manifest))[0].is_bad
    away.rename(image)
    assert not checks(training(manifest))[0].is_bad
    read = calls_of(monkeypatch, dataset, "_read_manifest")
    assert not checks(training(manifest))[0].is_bad
    assert read == []
    before = manifest.stat()
    manifest.write_text(manifest.read_text().replace("train", "other"))
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checks(training(manifest))[0].text == f"data: {manifest}: no image of split train"


def test_a_run_without_a_config_has_no_data() -> None:
    assert [check.sign for check in checks(ResolvedJob("evaluate", Path("/runs/a")))] == [BAD, BAD]


# -- weights ----------------------------------------------------------------------------------------------------------


def test_an_evaluation_of_a_blend_is_refused_in_one_line() -> None:
    (found,) = checks(ResolvedJob("evaluate", Path("/runs/a"), {"kind": "blend"}, None, checkpoint="best.pt"))
    assert found == Check(BAD, "a: a blend, which was scored when it was made; evaluate its members")


def test_the_data_of_a_run_are_looked_for_where_the_run_says_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = tmp_path / "mine" / "runs" / "a", tmp_path / "other"
    (other / "x" / "y").mkdir(parents=True)
    (other / "m.csv").touch()
    make_run(run, data={"manifest": "../../m.csv"})
    monkeypatch.chdir(other / "x" / "y")
    wanted = resolve(run.parent, JobSpec("evaluate", "a", ("evaluate", "--run", str(run))), Path.cwd())
    assert wanted.manifest == tmp_path / "mine" / "m.csv"
    says = (
        f"data: {wanted.manifest}: No such file or directory; if the data were moved: xray-engine evaluate --run {run}"
    )
    assert any(check.is_bad and check.text.startswith(says) for check in checks(wanted))


def test_weights_in_a_file_are_looked_for(tmp_path: Path) -> None:
    manifest, weights = make_set(tmp_path), tmp_path / "encoder.pt"
    wanted = training(manifest, model={"arch": "Unet", "encoder": "resnet18", "encoder_weights": str(weights)})
    assert checks(wanted)[1] == Check(
        BAD, f"weights: {weights}: no such file; give imagenet, efficientnet-lite0 or a file"
    )
    weights.touch()
    assert checks(wanted)[1] == Check(OK, f"weights: {weights}")


def test_a_training_that_goes_on_needs_neither_weights_nor_what_it_began_from(tmp_path: Path) -> None:
    config = {"model": {"encoder_weights": "gone.pt"}, "training": {"init_from": "gone"}}
    run = make_run(tmp_path / "a", "last.pt")
    found = checks(ResolvedJob("train", run, config, make_set(tmp_path), checkpoint="last.pt"))
    assert [check.sign for check in found] == [OK, OK]
    assert found[1].text == "checkpoint: a/checkpoints/last.pt"


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_members_need_checkpoints_or_a_training_that_comes_before(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "a/checkpoints/best.pt").touch()
    blend = ResolvedJob("blend", tmp_path / "c", {}, members=(tmp_path / "a", tmp_path / "b"))
    assert checks(blend) == [
        Check(OK, "member: a/checkpoints/best.pt"),
        Check(BAD, "member: b/checkpoints/best.pt: no such file, and no job will write it"),
    ]
    coming = {str(tmp_path / "b"): "b, which is running"}
    assert checks(blend, coming)[1] == Check(OK, "member: b/checkpoints/best.pt comes from b, which is running")


def test_a_blend_has_two_members_or_one_and_a_presence_run(tmp_path: Path) -> None:
    one = (make_run(tmp_path / "a", kind="train"),)
    few = "members: got {}; expected at least two runs, or one and presence_run"
    assert checks(ResolvedJob("blend", tmp_path / "c"))[-1] == Check(BAD, few.format(0))
    assert checks(ResolvedJob("blend", tmp_path / "c", {}, members=one))[-1] == Check(BAD, few.format(1))
    twice = checks(ResolvedJob("blend", tmp_path / "c", {}, members=one * 2))
    assert twice[-1] == Check(BAD, "members: a run is listed twice; expected each run once")
    classifier = make_run(tmp_path / "presence", kind="classifier")
    fused = checks(ResolvedJob("blend", tmp_path / "c", {"presence_run": str(classifier)}, members=one))
    assert fused == [
        Check(OK, "member: a/checkpoints/best.pt"),
        Check(OK, "presence_run: presence/checkpoints/best.pt"),
    ]


def test_auto_is_shown_as_the_tta_that_the_engine_will_use(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, config in (
        ("none", {"augment": {"hflip": 0.0}}), ("h", {}), ("hv", {"augment": {"hflip": 0.5, "vflip": 0.5}}),
        ("nn", {"kind": "nnunet"}), ("gone", None),
    ):  # fmt: skip
        if config is not None:
            make_run(runs / name, **{"kind": "train", **config})

    def shown(kind: str, run: str, *arguments: str) -> list[str]:
        job = resolve(runs, JobSpec(kind, run, (kind, "--run", f"runs/{run}", *arguments)), tmp_path)
        return [check.text for check in checks(job) if check.text.startswith("TTA ")]

    for run, tta in (("none", "none"), ("h", "h"), ("hv", "hv"), ("nn", "mirror")):
        assert shown("evaluate", run) == [f"TTA {tta}"]
        assert shown("evaluate", run, "--tta", "none") == ["TTA none"]
    assert shown("evaluate", "h", "--tta", "d4") == ["TTA d4"]
    assert shown("evaluate", "gone") == []
    for members, expected in (("hv h", ["TTA h"]), ("hv nn", ["TTA hv"]), ("hv none", ["TTA none"]), ("hv gone", [])):
        assert shown("blend", "b", "--members", *(f"runs/{name}" for name in members.split())) == expected
    assert AugmentConfig().hflip, "as for a config without augmentations above"
    assert not AugmentConfig().vflip
    fused = ("--members", "runs/hv", "--set", f"presence_run={runs}/h")
    assert shown("blend", "b", *fused) == ["TTA h"]


@pytest.mark.parametrize(
    ("use", "config", "reason"),
    [
        ("member", {"kind": "classifier"}, "a classifier, which has no masks; it can be the presence_run"),
        ("member", {"kind": "blend"}, "a blend; expected its members"),
        (
            "presence_run",
            {"kind": "train", "model": {"arch": "plain_unet", "classification_head": None}},
            "no classification head; expected a classifier or a run with such a head",
        ),
        ("presence_run", {"kind": "nnunet"}, "no classification head; expected a classifier or a run with such a head"),
    ],
)
def test_a_run_that_a_blend_cannot_use_is_refused_with_the_reason(
    tmp_path: Path, use: str, config: dict[str, Any], reason: str
) -> None:
    other, run = make_run(tmp_path / "a"), make_run(tmp_path / "b", **config)
    if use == "member":
        found = checks(ResolvedJob("blend", tmp_path / "c", {}, members=(other, run)))
    else:
        found = checks(ResolvedJob("blend", tmp_path / "c", {"presence_run": str(run)}, members=(other,)))
    assert found[1] == Check(BAD, f"{use}: b: {reason}")


def test_nnunets_run_is_a_member_once_it_was_predicted(tmp_path: Path) -> None:
    other, run = make_run(tmp_path / "a"), make_run(tmp_path / "nn", None, kind="nnunet")
    blend = ResolvedJob("blend", tmp_path / "c", {}, members=(other, run))
    remedy = f"create them: xray-engine evaluate --run {run}"
    assert checks(blend)[1] == Check(BAD, f"member: nn/predictions: incomplete for val or test; {remedy}")
    for split in ("val", "test"):
        (run / f"predictions/{split}_mirror").mkdir(parents=True)
    assert checks(blend)[1] == Check(OK, "member: nn/predictions of nnU-Net")


def test_nnunet_is_trained_where_its_commands_are_and_evaluated_as_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, run = make_set(tmp_path), make_run(tmp_path / "nn", None, kind="nnunet")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    resumed = ResolvedJob("train", run, {"kind": "nnunet"}, manifest, checkpoint="last.pt")
    assert checks(resumed)[1:] == [Check(BAD, "nnU-Net: nnUNetv2_train is missing: pip install 'xray-tui[nnunet]'")]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nnUNetv2_train").touch(0o755)
    assert checks(resumed)[1:] == [Check(OK, "nnU-Net: nnUNetv2_train")]
    evaluation = checks(ResolvedJob("evaluate", run, {"kind": "nnunet"}, manifest, checkpoint="best.pt"))
    assert evaluation[0].text == "checkpoint: nn/checkpoints/best.pt: no such file, and no job will write it"


def test_what_a_training_begins_from_is_looked_for(tmp_path: Path) -> None:
    manifest, run, file = make_set(tmp_path), make_run(tmp_path / "first"), tmp_path / "patches.pt"
    file.touch()

    def begins(path: Path, **coming: str) -> Check:
        return checks(training(manifest, training={"init_from": str(path)}), coming)[1]

    assert begins(run) == begins(run / "checkpoints/best.pt") == Check(OK, "init_from: first/checkpoints/best.pt")
    assert begins(file) == Check(OK, f"init_from: {file}")
    assert begins(tmp_path / "gone.pt") == Check(BAD, f"init_from: {tmp_path / 'gone.pt'}: no such file")
    waiting = tmp_path / "later"
    assert begins(waiting) == Check(BAD, "init_from: later/checkpoints/best.pt: no such file, and no job will write it")
    coming = {str(waiting): "train later, which is queued"}
    assert begins(waiting, **coming) == Check(
        OK, "init_from: later/checkpoints/best.pt comes from train later, which is queued"
    )
    both = checks(training(manifest, model={"encoder_weights": "/no/file.pt"}, training={"init_from": str(run)}))
    assert [check.sign for check in both] == [OK, OK], "what it begins from stands for its encoder's weights"


# -- every recipe -----------------------------------------------------------------------------------------------------

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[!_]*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_that_is_launched_can_be_looked_at(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = next((kind for kind, taken in TAKES.items() if read_recipe(path).get("kind", "train") in taken), None)
    if kind is None:
        pytest.skip("its kind of config is no job's")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    argv = (kind, "--config", str(path))
    if kind == "train":
        argv = (*argv, "--set", f"data.manifest={make_set(tmp_path, 2, 'train val')}")
    wanted = resolve(tmp_path / "runs", JobSpec(kind, "a", argv), tmp_path)
    found = checks(wanted)
    assert all("None" not in check.text for check in found)
    config = yaml.safe_load(yaml.safe_dump(wanted.config))
    if kind == "train":
        weights, init_from = config.get("model", {}).get("encoder_weights"), config["training"].get("init_from")
        assert found[0].text.startswith("data: 1 train and 1 val images in ")
        said = [check.text.partition(":")[0] for check in found[1:]]
        begins = ["init_from"] if init_from else ["weights"] if weights else []
        assert said == (["nnU-Net"] if config["kind"] == "nnunet" else begins)
    else:
        uses = ["member"] * len(config["members"]) + ["presence_run"] * bool(config["presence_run"])
        assert [check.text.partition(":")[0] for check in found] == uses
    one, other = needs(wanted, gpus=1), needs(wanted, gpus=0)
    assert one is not None
    assert other is not None
    assert one.key != other.key
    assert one.work >= 1.0


# -- room -------------------------------------------------------------------------------------------------------------


def test_room_is_weighed_against_what_similar_runs_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_space(tmp_path)[0]
    assert check_space(tmp_path, free // 2).sign == OK
    short = check_space(tmp_path, free * 2)
    assert short.sign == BAD
    assert "similar runs needed" in short.text
    assert check_space(tmp_path, None).sign == OK
    monkeypatch.setattr(module, "RECOMMENDED_SPACE", free * 2)
    assert check_space(tmp_path, None).sign == WARNING
    assert check_space(tmp_path / "not/there/yet", None).sign == WARNING


def test_what_a_run_wrote_is_counted_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.pt").write_bytes(b"x" * 1000)
    (tmp_path / "all").symlink_to("/usr")
    assert size_of_run(tmp_path) in range(1000, 1100)
    assert size_of_run(tmp_path / "gone") is None


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

"""What jobs will take, estimated from similar ones: pure functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xray_tui.jobs.launch.resolve import ResolvedJob
from xray_tui.jobs.preflight.estimate import Needs, Past, estimate, needs

HOUR = 3600.0
GIB = 1 << 30


def training(**changes: Any) -> ResolvedJob:
    config = {
        "model": {"arch": "Unet", "encoder": changes.get("encoder", "resnet18"), "classification_head": None},
        "data": {"image_size": changes.get("image_size", 256)},
        "training": {
            "epochs": changes.get("epochs", 20),
            "batch_size": changes.get("batch_size", 16),
            "samples_per_epoch": changes.get("samples"),
        },
    }
    return ResolvedJob("train", Path("/runs/a"), config, Path(changes.get("manifest", "/data/manifest.csv")))


def wants(gpus: int = 1, **changes: Any) -> Needs:
    found = needs(training(**changes), gpus)
    assert found is not None
    return found


def took(needed: Needs, hours: float | None, gib: int = 9, written: int | None = None) -> Past:
    seconds = None if hours is None else hours * HOUR
    return Past(needed, seconds, gpu_memory=gib * GIB, written=written)


# -- time and memory --------------------------------------------------------------------------------------------------


def test_similar_runs_give_a_span_and_the_most_memory() -> None:
    past = [took(wants(), 1.2, 8), took(wants(), 1.1, 9), took(wants(), 1.4, 7)]
    found = estimate(wants(), past)
    assert found is not None
    assert found.sentence == "1h06m to 1h24m, 9.0 GiB GPU, from 3 similar runs"


NETWORKS: dict[str, dict[str, Any]] = {
    "smp": {"arch": "Unet", "encoder": "resnet18", "decoder_channels": [64, 32, 16], "encoder_weights": None},
    "plain": {"arch": "plain_unet", "levels": 3, "channels": 32},
    "deeplab": {"arch": "torchvision_deeplabv3", "backbone": "resnet50"},
    "swin": {"arch": "swin3d_adapter", "volume": "repeat", "depth": 5, "reduce": "mean", "decoder_channels": 64},
    "classifier": {"arch": "timm_classifier", "encoder": "resnet18", "dropout": 0.2},
}


def key(model: dict[str, Any], kind: str = "train", data: Any = None, job: str = "train", **training: Any) -> str:
    config = {
        "kind": kind,
        "model": model,
        "data": {"image_size": 256, "patch": None, **(data or {})},
        "training": {"epochs": 20, "batch_size": 4, "accumulate": 1, "samples_per_epoch": None, **training},
    }
    found = needs(ResolvedJob(job, Path("/runs/a"), config, Path("/data/manifest.csv"), options=("hv", "16")), gpus=1)
    assert found is not None
    return found.key


def test_networks_are_told_apart_by_all_their_sizes() -> None:
    changes = [
        ("smp", {"decoder_channels": [128, 64, 32]}),
        ("smp", {"arch": "FPN"}),
        ("smp", {"classification_head": {"hidden": 128}}),
        ("plain", {"channels": 64}),
        ("plain", {"levels": 4}),
        ("deeplab", {"backbone": "resnet101"}),
        ("swin", {"depth": 1}),
        ("swin", {"decoder_channels": 128}),
        ("classifier", {"encoder": "convnext_tiny"}),
    ]
    models = [*NETWORKS.values(), *(NETWORKS[name] | change for name, change in changes)]
    for job in ("train", "evaluate"):
        assert len({key(model, job=job) for model in models}) == len(models)


def test_what_costs_nothing_makes_no_difference() -> None:
    smp, classifier = NETWORKS["smp"], NETWORKS["classifier"]
    assert key(smp) == key(smp | {"encoder_weights": "imagenet", "classification_head": None})
    assert key(classifier) == key(classifier | {"dropout": 0.5})
    small, large = ({"classification_head": {"hidden": hidden}} for hidden in (64, 128))
    assert key(smp | small) == key(smp | large)
    assert key(smp) == key(smp, lr=1e-5, epochs=40)


def test_trainings_are_told_apart_by_patches_accumulation_and_kind_of_config() -> None:
    model = NETWORKS["smp"]
    whole, patches = key(model), key(model, data={"patch": {"size": 128, "on_positive": 0.85}})
    assert whole != patches
    assert patches == key(model, data={"patch": {"size": 128, "on_positive": 0.5}})
    assert patches != key(model, data={"patch": {"size": 192, "on_positive": 0.85}})
    assert key(model, data={"patch": {"size": 128}}, job="evaluate") == key(model, job="evaluate")
    assert whole != key(model, accumulate=2)
    assert whole != key(model, kind="classifier")


def test_nnunets_trainings_are_told_apart_by_plans_and_take_longer_with_more_epochs() -> None:
    def of(**training: Any) -> Needs:
        config = {"kind": "nnunet", "data": {"image_size": 512}, "training": {"plans": "default", **training}}
        found = needs(ResolvedJob("train", Path("/runs/a"), config, Path("/data/manifest.csv")), gpus=1)
        assert found is not None
        return found

    assert of(epochs=100).key == of(epochs=250).key != of(epochs=250, plans="resenc_l").key
    assert of(epochs=250).work == 2.5 * of(epochs=100).work


def test_blends_are_told_apart_by_members_views_and_a_presence_run() -> None:
    def blend(members: int = 2, **config: Any) -> str:
        folders = tuple(Path(f"/runs/{number}") for number in range(members))
        found = needs(ResolvedJob("blend", Path("/runs/c"), {"tta": "hv", **config}, members=folders), gpus=1)
        assert found is not None
        return found.key

    assert blend() == blend(presence_run=None, description="another")
    assert len({blend(), blend(3), blend(tta="d4"), blend(presence_run="/runs/p"), blend(gamma_step=0.05)}) == 5


@pytest.mark.parametrize("change", ["encoder", "image_size", "batch_size", "manifest", "gpus"])
def test_nothing_is_said_without_a_similar_run(change: str) -> None:
    other: dict[str, Any] = {"encoder": "resnet50", "image_size": 512, "batch_size": 8, "manifest": "/b.csv"}
    other["gpus"] = 0
    assert estimate(wants(), [took(wants(**{change: other[change]}), 1.0)]) is None
    assert estimate(wants(), []) is None


def test_time_grows_with_the_epochs_and_their_images() -> None:
    found = estimate(wants(epochs=40, samples=500), [took(wants(epochs=20, samples=1000), 1.0)])
    assert found is not None
    assert found.seconds == (HOUR, HOUR)
    found = estimate(wants(epochs=40), [took(wants(epochs=20), 1.0)])
    assert found is not None
    assert found.sentence == "about 2h00m, 9.0 GiB GPU, from 1 similar run"


def test_from_a_smoke_test_of_one_epoch_the_memory_is_known_and_not_the_time() -> None:
    found = estimate(wants(epochs=100), [took(wants(epochs=1), 0.02, 9)])
    assert found is not None
    assert found.sentence == "9.0 GiB GPU, from 1 similar run"


def test_epochs_of_all_images_and_of_some_are_not_compared() -> None:
    assert estimate(wants(samples=500), [took(wants(samples=None), 1.0)]) is None


def test_a_command_is_like_itself_alone() -> None:
    def command(*words: str) -> Needs:
        found = needs(ResolvedJob("command", Path("/runs/a"), options=words), gpus=1)
        assert found is not None
        return found

    past = [took(command("python", "train.py"), 1.0)]
    assert estimate(command("python", "train.py"), past) is not None
    assert estimate(command("python", "other.py"), past) is None


def test_of_a_run_without_a_config_nothing_is_known() -> None:
    assert needs(ResolvedJob("evaluate", Path("/runs/a")), gpus=1) is None


def test_similar_runs_of_which_nothing_was_recorded_say_nothing() -> None:
    assert estimate(wants(), [Past(wants())]) is None

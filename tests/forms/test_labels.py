"""How names and paths are cut to the width of a field."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.app.piloting import screen_text
from xray_tui.forms.labels import cut_apart, cut_front

from .place import FormApp, focus, settle, type_over

SWEEP = tuple(
    f"baseline_sweep/lr_{lr}_image_size_{size}_weight_decay_0.01" for lr in ("1e-3", "3e-4") for size in (256, 384)
)


@pytest.mark.parametrize("width", [10, 16, 20, 28, 34, 80])
@pytest.mark.parametrize("names", [SWEEP, ("a" * 40, "a" * 41, "b"), ("\u5199\u771f" * 20 + "1" * 20, "\u5199" * 41)])
def test_names_that_are_cut_differ(names: tuple[str, ...], width: int) -> None:
    shown = cut_apart(names, width).values()
    assert len({*shown}) == len(names)
    assert all(cell_len(text) <= width for text in shown)


def test_a_cut_name_shows_the_word_that_differs() -> None:
    names = ("base_sweep/lr_0.001_image_size_256_wd_0.01", "base_sweep/lr_0.0003_image_size_256_wd_0.01")
    assert [*cut_apart(names, 28).values()] == ["…0.001_image_s…e_256_wd_0.01", "…0.0003_image_…e_256_wd_0.01"]
    assert [*cut_apart(SWEEP[:2], 28).values()] == ["…256_weight_decay_0.01", "…384_weight_decay_0.01"]


def test_a_path_loses_its_beginning() -> None:
    assert cut_front("/data/very/long/manifest.csv", 14) == "…/manifest.csv"
    assert cut_front("manifest.csv", 14) == "manifest.csv"


async def test_a_long_path_shows_its_end_and_the_members_of_a_sweep_differ(place: Path) -> None:
    for name in SWEEP:
        (place / "runs" / name / "checkpoints").mkdir(parents=True)
        (place / "runs" / name / "checkpoints" / "best.pt").touch()
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "data.manifest", "/data" * 30 + "/manifest.csv")
        focus(app, "seed")
        await settle(pilot)
        assert "/data/manifest.csv" in screen_text(app)
    app = FormApp("blend")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        lines = [line for line in screen_text(app).splitlines() if "size_" in line]
        assert len({*lines}) == len(SWEEP)

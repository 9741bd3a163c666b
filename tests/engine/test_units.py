"""Durations and sizes as short words."""

from __future__ import annotations

import pytest

from engine.contract.units import GIB, duration, gibibytes, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (float("nan"), ""), (float("inf"), ""), (-1, ""), (0, "0s"), (42.9, "42s"), (60, "1m00s"),
     (190, "3m10s"), (3599, "59m59s"), (7500, "2h05m"), (86400 + 3 * 3600, "1d03h")],
)  # fmt: skip
def test_a_duration_is_short_and_never_nonsense(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 MiB"), (GIB - 1, "1023 MiB"), (GIB, "1.0 GiB"), (int(9.3 * GIB), "9.3 GiB"), (1536 * GIB, "1,536 GiB")],
)
def test_a_size_has_its_unit(count: int, text: str) -> None:
    assert size(count) == text


def test_a_size_in_a_column_of_gib_has_no_unit_and_an_unknown_one_a_dash() -> None:
    assert [gibibytes(41 * GIB + GIB // 4), gibibytes(41 * GIB, 0), gibibytes(None)] == ["41.2", "41", "-"]

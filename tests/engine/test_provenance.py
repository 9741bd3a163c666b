"""Which commit an artifact names: the checkout's, or what a job that runs a copy of the engine was told."""

from __future__ import annotations

import pytest

from engine.contract.names import ENGINE_GIT_ENV
from engine.process.provenance import git_state


@pytest.mark.parametrize(("told", "named"), [("0123456789ab-dirty", "0123456789ab-dirty"), ("", None)])
def test_a_copy_names_the_commit_that_it_came_from(
    monkeypatch: pytest.MonkeyPatch, told: str, named: str | None
) -> None:
    monkeypatch.setenv(ENGINE_GIT_ENV, told)
    assert git_state() == named

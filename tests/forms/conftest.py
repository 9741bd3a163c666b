from __future__ import annotations

from pathlib import Path

import pytest

from xray_tui.system.login_session import Session

from .place import make_place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user with recipes, runs and data."""
    make_place(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("xray_tui.forms.screen.this_session", Session)  # one that ends nothing, wherever this runs
    return tmp_path

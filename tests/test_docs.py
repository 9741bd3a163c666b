"""README and docs: shell lines are run, unless they say why not; links lead to files; the keys are those of the app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.storage.job_store import JobStore

PROJECT = Path(__file__).parents[1]
PAGES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
SAMPLE = "evaluation.md"
"""The page whose commands `make test` runs; `make test-long` runs them all."""
NOT_RUN = re.compile(r"# not run: \S")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(page: Path) -> list[str]:
    """The shell lines of a page that are to be run, in order."""
    text = page.read_text("utf-8")
    found = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in found if line.strip() and not NOT_RUN.search(line)]


RUN = [page for page in PAGES if lines(page)]


def test_the_pages_have_commands_to_run() -> None:
    assert SAMPLE in {page.name for page in RUN}
    assert len([line for page in RUN for line in lines(page)]) >= 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_blocks_that_are_run(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    outside = re.sub(r"^```text\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {4}xray-(?:tui|engine) .*", outside, re.MULTILINE) == []


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_in_any_folder(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra `engine`")
    if page.name != SAMPLE and not os.environ.get("XRAY_TUI_LONG"):
        pytest.skip("trains networks: make test-long")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XRAY_", "XDG_"))} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XRAY_TUI_LEASE_DIR": str(tmp_path / "leases"),
        "HF_HUB_OFFLINE": "1",
    }
    here = tmp_path / "here"
    (here / "runs" / "unet").mkdir(parents=True)
    (here / "runs" / "unet" / "test_metrics_tta_hv.json").write_text('{"dice_pos": 0.3, "tta_mode": "hv"}')
    try:
        for line in lines(page):
            done = subprocess.run(
                ["bash", "-c", line], cwd=here, env=env, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    finally:
        for job in JobStore(here / "runs").jobs():
            if not job.state.ended:
                stop(JobStore(here / "runs"), job.id)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_keys_of_the_app_are_on_its_page() -> None:
    done = subprocess.run([sys.executable, PROJECT / "scripts" / "docs_keys.py", "--check"], check=False)
    assert done.returncode == 0, "docs/app.md is out of date: python scripts/docs_keys.py"

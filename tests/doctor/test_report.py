"""`xray-tui doctor --report`: all that a bug report needs, and nothing that has to stay secret."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write
from xray_tui.cli.main import main
from xray_tui.doctor import bug_report as module
from xray_tui.doctor.bug_report import redacted
from xray_tui.doctor.run_checks import CHECKS
from xray_tui.system.error_log import error_log, log_error

USER = pwd.getpwuid(os.getuid()).pw_name
SETTINGS = """
theme: nord
colours: hunter2
on_end: [curl, -H, "Authorization: Bearer abc", "https://hooks.example.org/T0/B0/hunter2"]
columns: "https://ana:hunter2@example.org"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with settings, a runs folder with a job, and a log file with an error."""
    home = tmp_path / "home"
    write(home / ".config/xray-tui/settings.yaml", SETTINGS)
    write(home / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    write(home / "runs/b/test_metrics.json", "{")
    write(home / "runs/.jobs/j1/job.json", "{")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".state"))
    monkeypatch.setenv("XRAY_TUI_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5150 192.0.2.8 22")
    monkeypatch.setenv("TERM", "xterm-\x1b[31m")
    monkeypatch.chdir(home)
    monkeypatch.setattr(module, "CHECKS", [check for check in CHECKS if check[0] not in ("torch", "driver")])  # slow
    try:
        raise RuntimeError(f"cannot open {home}/runs/a for {USER}: password='hunter2 x'")
    except RuntimeError as error:
        log_error("reading the jobs", error)
    return home


def test_the_report_is_written_whole_and_says_where(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--report"]) == 0
    assert capsys.readouterr().out.startswith("xray-tui-report.txt: written; read it before you send it")
    path = place / "xray-tui-report.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    for needed in (
        "\ntextual 8.",
        f"Python {sys.version.split()[0]}",
        "TERM=xterm-␛[31m",
        "SSH: yes",
        "theme: nord",
        "on_end: curl with 3 arguments",
        "colours: unknown key",
        "3 folders; artifacts: 1 ranked, 1 unranked; no board.yaml, 0 problems; jobs: 1 lost",
        "reading the jobs failed\nTraceback (most recent call last):\n",
        "RuntimeError: cannot open ~/runs/a for <user>: password=<redacted>",
    ):
        assert needed in text, text


def test_the_report_holds_no_secret_no_home_and_no_address(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--report", "-"]) == 0
    text = capsys.readouterr().out
    for secret in ("hunter2", "192.0.2.", str(place), "Bearer", "API_TOKEN"):
        assert secret not in text
    assert not (place / "xray-tui-report.txt").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HF_TOKEN=abc rest", "HF_TOKEN=<redacted> rest"),
        ("{'api_key': 'a b', 'x': 1}", "{'api_key': <redacted>, 'x': 1}"),
        ("notify --auth-token abc rest", "notify --auth-token <redacted> rest"),
        ("Authorization: Basic abc", "Authorization: <redacted>"),
        ("https://ana:pw@example.org:80/hook/x?y rest", "https://example.org:80/<redacted> rest"),
        ("key sk0aBcDeFgHiJkLmNoPqRs", "key <redacted>"),
        ("GPU-5a1bC9d2-3456-7890-abcd-ef0123456789", "GPU-5a1bC9d2-3456-7890-abcd-ef0123456789"),
        ("challenge_dual_head_v1_seeds/seed_42 keymap: {}", "challenge_dual_head_v1_seeds/seed_42 keymap: {}"),
        ("/home/ana/runs /home/anabel ana banana", "~/runs /home/anabel <user> banana"),
    ],
)
def test_what_looks_secret_or_names_the_user_is_replaced(text: str, shown: str) -> None:
    assert redacted(text, "/home/ana", "ana") == shown


def test_a_report_that_cannot_be_written_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--report", "none/report.txt"]) == 2
    assert "none/report.txt: cannot be written: No such file or directory" in capsys.readouterr().err


def test_doctor_names_the_log_file(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xray_tui.cli.main", "doctor"], capture_output=True, text=True, check=False
    )
    assert f"{error_log()}, last error 20" in " ".join(done.stdout.split())

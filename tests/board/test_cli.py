"""`xray-tui export` and `xray-tui check`, as commands in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .place import put


def xray_tui(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, with settings of its own (none) and the project on its path."""
    project = Path(__file__).resolve().parents[2]
    env = {**os.environ, "XDG_CONFIG_HOME": str(cwd / "no-config"), "PYTHONPATH": str(project), **environment}
    command = [sys.executable, "-m", "xray_tui.cli.main", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", timeout=30)


def without_gpu_section(text: str) -> str:
    before, _, rest = text.partition("## GPU Status\n")
    return before + "## Ranking" + rest.partition("## Ranking")[2]


def test_check_names_an_artifact_of_a_newer_version(tmp_path: Path) -> None:
    put(tmp_path / "runs/a/test_metrics.json", {"schema": "xray-test-metrics/2", "dice_pos": 0.5})
    done = xray_tui("check", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert done.returncode == 1
    assert "written by a newer version (xray-test-metrics/2); this version reads xray-test-metrics/1" in done.stdout


def test_the_users_board_comes_out_of_the_command_but_for_the_gpus(shared: Path, tmp_path: Path) -> None:
    stamp, output = "2026-02-15 00:38:52", tmp_path / "out.md"
    done = xray_tui(
        "export", "--runs", shared / "seed_board/runs", "--generated", stamp, "--output", output, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{output}: 21 runs ranked, 9 artifacts unranked\n"
    written = output.read_text("utf-8")
    assert without_gpu_section(written) == without_gpu_section(
        (shared / "seed_board/LEADERBOARD.md").read_text("utf-8")
    )
    gpu = written.partition("## GPU Status\n\n")[2].partition("\n\n## Ranking")[0]
    assert gpu.startswith("- ")


def test_without_output_the_board_lies_beside_the_runs_folder(generated_runs: Path, tmp_path: Path) -> None:
    done = xray_tui("export", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "LEADERBOARD.md").read_text("utf-8").startswith("# Generated board\n")
    assert xray_tui("export", "--format", "csv", cwd=tmp_path).returncode == 0
    assert (tmp_path / "LEADERBOARD.csv").read_text("utf-8").startswith("rank,run,dice_pos,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LEADERBOARD.csv", "LEADERBOARD.md", "runs"]


def test_a_dash_prints_the_board_as_utf_8_whatever_the_locale(generated_runs: Path, tmp_path: Path) -> None:
    done = xray_tui("export", "--output", "-", cwd=tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "- written by “hand”\n" in done.stdout
    assert not (tmp_path / "LEADERBOARD.md").exists()


def test_an_export_is_written_only_if_the_board_has_changed(generated_runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "LEADERBOARD.md"
    assert "runs ranked" in xray_tui("export", "--if-changed", cwd=tmp_path).stdout
    before = file.stat().st_mtime_ns
    assert xray_tui("export", "--if-changed", "--generated", "later", cwd=tmp_path).stdout.endswith("md: unchanged\n")
    assert file.stat().st_mtime_ns == before
    put(generated_runs / "new/test_metrics.json", {"dice_pos": 0.99})
    assert "runs ranked" in xray_tui("export", "--if-changed", cwd=tmp_path).stdout
    assert "`new`" in file.read_text("utf-8")


def test_a_watched_export_follows_the_board_until_ctrl_c(generated_runs: Path, tmp_path: Path) -> None:
    assert xray_tui("export", "--watch", "--output", "-", cwd=tmp_path).returncode == 2
    project = Path(__file__).resolve().parents[2]
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "no-config"), "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "xray_tui.cli.main", "export", "--watch"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "ranked" not in process.stdout.readline():
            assert process.poll() is None
        put(generated_runs / "new/test_metrics.json", {"dice_pos": 0.99})
        while "`new`" not in (tmp_path / "LEADERBOARD.md").read_text("utf-8"):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


HINT = "give a runs folder, or set runs_dir in the settings"


def test_the_settings_say_where_the_runs_are(generated_runs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere / "config/xray-tui/settings.yaml", f"runs_dir: {generated_runs}\n")
    done = xray_tui("check", cwd=elsewhere, XDG_CONFIG_HOME=str(elsewhere / "config"))
    assert done.returncode == 1, done.stderr
    assert "nan/test_metrics.json: dice_pos is NaN\n" in done.stdout


def test_without_any_runs_folder_there_is_one_clear_line(tmp_path: Path) -> None:
    for command in ("export", "check"):
        done = xray_tui(command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"xray-tui: runs: No such file or directory; {HINT}\n"


@pytest.mark.parametrize("command", [["export"], ["check"], []])
def test_a_runs_folder_that_is_none_is_one_clear_line(tmp_path: Path, command: list[str]) -> None:
    put(tmp_path / "file", "x")
    for name, problem in (("none\x1b[31m", "No such file or directory"), ("file", "Not a directory")):
        done = xray_tui(*command, *(["--runs"] if command else []), name, cwd=tmp_path)
        shown = name.replace("\x1b", "␛")
        assert (done.returncode, done.stderr) == (2, f"xray-tui: {shown}: {problem}; {HINT}\n")


def test_check_names_everything_that_does_not_rank_and_what_could(generated_runs: Path, tmp_path: Path) -> None:
    done = xray_tui("check", "--runs", generated_runs, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 9
    assert "Smoke_dg/seed_1/test_metrics.json: its path contains smoke\n" in done.stdout
    advice = 'add it in board.yaml: artifacts: ["val_metrics.json"]'
    assert f"blend/val_metrics.json: contains dice_pos but is not a test artifact; {advice}\n" in done.stdout


def test_the_line_that_check_advises_adds_the_file(runs: Path, tmp_path: Path) -> None:
    put(runs / "a/val[1].json", {"metrics": {"dice_pos": 0.5}})
    put(runs / "a/other.json", {"loss": 0.5})
    done = xray_tui("check", cwd=tmp_path)
    assert done.returncode == 0
    line = done.stdout.splitlines()[0].partition("add it in board.yaml: ")[2]
    put(runs / "board.yaml", line + "\n")
    assert xray_tui("check", cwd=tmp_path).stdout == "1 artifact, none unranked\n"


def test_check_is_content_with_a_board_on_which_all_rank(runs: Path, tmp_path: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.5})
    done = xray_tui("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "2 artifacts, none unranked\n")


def test_check_names_the_problems_of_board_yaml(runs: Path, tmp_path: Path) -> None:
    put(runs / "board.yaml", "best_by: train\n")
    done = xray_tui("check", cwd=tmp_path)
    assert done.stdout.startswith("board.yaml: best_by: expected 'test' or 'val', got 'train' ")


def test_an_export_that_cannot_be_written_is_one_clear_line(runs: Path, tmp_path: Path) -> None:
    done = xray_tui("export", "--output", "none/x.md", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "xray-tui: none/x.md: cannot be written: No such file or directory\n"
    done = xray_tui("export", "--output", ".", cwd=tmp_path)
    assert done.stderr == "xray-tui: .: a folder; expected a file\n"


def test_a_wrong_argument_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = xray_tui("export", "--format", "pdf", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "invalid choice: 'pdf'" in done.stderr


def test_a_mistyped_command_is_recognised(tmp_path: Path) -> None:
    done = xray_tui("exprt", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "xray-tui: exprt: No such file or directory; did you mean the command export?\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_one_clear_line(generated_runs: Path, tmp_path: Path) -> None:
    project = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "xray_tui.cli.main", "check", "--runs", str(generated_runs)]
    with open("/dev/full", "w") as full:
        env = {**os.environ, "PYTHONPATH": str(project)}
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.stderr == "xray-tui: No space left on device\n"
    assert done.returncode == 1


def test_help_names_every_command_and_version_its_number(tmp_path: Path) -> None:
    from engine import __version__

    done = xray_tui("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("export", "check", "launch", "jobs", "logs", "stop", "wait"):
        assert f"\n  {command} " in done.stdout
    assert xray_tui("--version", cwd=tmp_path).stdout == f"xray-tui {__version__}\n"


def test_a_reader_that_goes_away_early_is_no_traceback(generated_runs: Path, tmp_path: Path) -> None:
    project = Path(__file__).resolve().parents[2]
    line = f"{sys.executable} -m xray_tui.cli.main check --runs {generated_runs} | true"
    env = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""


def test_the_board_starts_without_textual_pydantic_yaml_and_psutil(generated_runs: Path, tmp_path: Path) -> None:
    (generated_runs / "board.yaml").unlink()
    code = (
        "import sys; from pathlib import Path\n"
        "import xray_tui.cli.main, xray_tui.board.exports.formats\n"
        "from xray_tui.board.index import RunIndex; from xray_tui.board.rank import rank\n"
        "from xray_tui.board.watch import Watch; from xray_tui.board.analysis import sentences\n"
        f"runs = Path({str(generated_runs)!r}); watch = Watch(runs, RunIndex(runs).matters, print)\n"
        "watch.start(); watch.stop()\n"
        "assert len(rank(RunIndex(runs).scan()).rows) == 7\n"
        "heavy = {'textual', 'pydantic', 'yaml', 'psutil', 'numpy', 'torch', 'pandas', 'PIL'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    project = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr

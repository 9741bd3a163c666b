"""The settings file: what it sets, and what is said about what is wrong in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write
from xray_tui.cli.main import COMMANDS, main
from xray_tui.keymap import usable_keymap
from xray_tui.settings import Settings, load_settings, runs_folder, settings_path


def test_without_a_file_everything_has_its_default(tmp_path):
    assert load_settings(tmp_path / "settings.yaml") == (Settings(), ())


def test_the_file_sets_what_it_names_and_leaves_the_rest(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("runs_dir: ~/runs\nmouse: false\ncolumns: [dice_pos, ece]\nkeymap: {job.stop: ctrl+k}\n")
    settings, problems = load_settings(path)
    assert problems == ()
    assert settings == Settings(
        runs_dir=Path.home() / "runs", mouse=False, columns=("dice_pos", "ece"), keymap={"job.stop": "ctrl+k"}
    )


def test_a_bad_key_is_named_and_the_good_ones_count(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("theme: nord\nmouse: perhaps\nwidth: many\nslotts: 2\n")
    settings, problems = load_settings(path)
    assert settings == Settings(theme="nord")
    assert len(problems) == 3
    assert any("mouse: 'perhaps': Input should be a valid boolean" in line for line in problems)
    assert any("width: unknown key; expected one of runs_dir" in line for line in problems)
    assert f"{path}: slotts: unknown key; did you mean slots?" in problems


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- a\n- b\n", b"a: [", b"1: 2\n", b'theme: "\\e[31m": x'])
def test_a_file_that_is_no_mapping_is_one_line_and_the_app_goes_on(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    settings, problems = load_settings(path)
    assert settings == Settings()
    assert len(problems) == 1
    assert problems[0].isprintable()


def test_the_file_lies_in_the_config_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_path() == tmp_path / "xray-tui" / "settings.yaml"


def test_without_a_file_neither_pydantic_nor_yaml_is_loaded(tmp_path):
    code = (
        "import sys; from pathlib import Path; from xray_tui.settings import load_settings;"
        f"load_settings(Path({str(tmp_path / 'none.yaml')!r}));"
        "print(sorted({'pydantic', 'yaml'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_home_of_a_user_that_there_is_not_is_one_line_and_the_rest_counts(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("runs_dir: ~nosuchuser/runs\nexport: ~/board.md\n")
    settings, problems = load_settings(path)
    assert settings == Settings(export=Path.home() / "board.md")
    assert problems == (f"{path}: runs_dir: unknown user nosuchuser; the default is used",)


def test_the_runs_folder_is_the_given_one_else_that_of_the_settings_else_the_one_here():
    settings = Settings(runs_dir=Path("/data/runs"))
    assert runs_folder(Path("mine"), settings) == Path("mine")
    assert runs_folder(None, settings) == Path("/data/runs")
    assert runs_folder(None, Settings()) == Path("runs")


def test_a_settings_file_that_cannot_be_reached_is_one_line(tmp_path):
    settings, problems = load_settings(tmp_path / ("x" * 300) / "settings.yaml")
    assert settings == Settings()
    assert len(problems) == 1
    assert problems[0].endswith("File name too long")


WORDS = {
    "about": ["a"],
    "launch": ["train", "--dry-run", "--", "--config", "none.yaml", "--run", "runs/a"],
    "move": ["none", "up"],
    **dict.fromkeys(["logs", "stop", "wait", "hold", "release", "resume"], ("none",)),
    "export": ["--format", "csv", "--output", "-"],
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "doctor"])  # it has a line for the settings
def test_every_command_says_once_what_is_wrong_in_the_settings(command, tmp_path, monkeypatch, capsys):
    write(tmp_path / "config/xray-tui/settings.yaml", "colours: many\nmouse: perhaps\n")
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XRAY_TUI_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.chdir(tmp_path)
    main([command, *WORDS.get(command, [])])
    said = [line for line in capsys.readouterr().err.splitlines() if "settings.yaml" in line]
    assert len(said) == 2
    assert all(line.startswith("xray-tui: ") for line in said)


def test_doctor_names_values_that_mean_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("xray_tui.doctor.run_checks.run_checks", lambda context: [])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = settings_path()
    path.parent.mkdir(parents=True)
    main(["doctor", "--runs", str(tmp_path)])
    assert "no such file; all settings have their defaults" in capsys.readouterr().out
    for line, said in {
        "hours: tonight": "settings.yaml: hours: 'tonight': give a span such as 20:00-08:00",
        "hours: tonight\nslots: 9": "settings.yaml: hours: 'tonight': give a span such as 20:00-08:00",
        "foreign: maybe": "settings.yaml: foreign: 'maybe': give refuse, share",
        "max_gpus: 0": "settings.yaml: max_gpus: 0: give 1 or more",
        "theme: noord": "theme: noord: unknown theme; expected one of",
        "columns: [dice_poss]": "columns: dice_poss: unknown metric; did you mean dice_pos?",
        "keymap: {job.stop: q}": "keymap: job.stop: q is also the key of app.quit; the default is kept",
    }.items():
        path.write_text(f"{line}\n")
        main(["doctor", "--runs", str(tmp_path)])
        assert said in " ".join(capsys.readouterr().out.split()), line


def test_a_key_of_another_command_is_refused_and_the_default_kept():
    assert usable_keymap({"job.stop": "q"}) == {}
    swapped = {"job.stop": "R", "job.resume": "K"}
    assert usable_keymap(swapped) == swapped
    assert usable_keymap({"job.stop": "q", "job.resume": "K"}) == {}, "K is the key of job.stop again"

"""What a job gets of the environment of the shell that launches it: variables that look secret are left out."""

from __future__ import annotations

import json

import pytest

from xray_tui.cli.main import main
from xray_tui.jobs.actions.resume import resume
from xray_tui.jobs.locks import lock_dir
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.storage.saved_environment import KEPT, Filter

from .conftest import Place

SECRETS = ("HF_TOKEN", "WANDB_API_KEY", "my_password", "AWS_SECRET_ACCESS_KEY", "DB_PASSWD", "SSH_AUTH_SOCK",
           "GOOGLE_APPLICATION_CREDENTIALS")  # fmt: skip
PLAIN = ("TOKENIZERS_PARALLELISM", "KEYBOARD", "LR", "MONKEY", "XSSH_A")


@pytest.fixture(autouse=True)
def shell(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the launching shell."""
    for name in (*SECRETS, *PLAIN):
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.setenv(lock_dir.LOCK_DIR_ENV, str(place.leases))


def kept(place: Place, job: Job) -> dict[str, str]:
    """What the job's folder keeps while the job waits."""
    found: dict[str, str] = json.loads((place.store.folder(job.id) / KEPT).read_text())
    return found


def test_the_kept_environment_holds_no_variable_that_looks_secret(place: Place) -> None:
    job = place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none"), hold=True)
    assert not kept(place, job).keys() & {*SECRETS}
    assert kept(place, job).keys() >= {*PLAIN, "PATH"}
    assert (place.store.folder(job.id) / KEPT).stat().st_mode & 0o777 == 0o600
    for path in place.store.folder(job.id).iterdir():
        assert not any(f"value of {name}" in path.read_text() for name in SECRETS), path


@pytest.mark.parametrize("name", ["HF_TOKEN", "LR"])
def test_a_job_does_not_get_what_is_left_out_whether_its_supervisor_lives_or_not(name: str, place: Place) -> None:
    shown = "None" if name in SECRETS else f"value of {name}"
    assert place.log(place.until(place.launch("tell", name))) == f"{shown}\n"
    job = place.launcher().launch(JobSpec("evaluate", "a", ("tell", name), "none"), hold=True)
    place.kill_supervisor(job)
    (place.store.folder(job.id) / "hold.json").unlink()
    place.look()
    assert place.log(place.until(job)) == f"{shown}\n"


def test_the_settings_keep_and_drop_by_patterns_and_keep_wins(place: Place) -> None:
    given = Filter(drop=("l?", "MONKEY", "XSSH_*"), keep=("hf_*", "*_API_KEY", "MONKEY"))
    job = place.launcher(environment=given).launch(JobSpec("evaluate", "a", ("succeed",), "none"), hold=True)
    assert kept(place, job).keys() & {*SECRETS, *PLAIN} == {
        "HF_TOKEN", "WANDB_API_KEY", "TOKENIZERS_PARALLELISM", "KEYBOARD", "MONKEY"
    }  # fmt: skip


def test_a_resumed_training_keeps_no_secret_either(place: Place) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    place.launch("until", place.folder / "never", cpu_slots=1)
    resume(place.store, job.id, ("true",), environment=Filter(keep=("HF_TOKEN",)))
    assert kept(place, job).keys() & {*SECRETS} == {"HF_TOKEN"}


def test_the_launch_names_once_what_it_leaves_out_and_how_to_keep_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--runs", str(place.runs), "--gpu", "none", "--hold", "--run", "a", "--", "true")
    assert main(["launch", "command", *words]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not given" in line]
    names = "AWS_SECRET_ACCESS_KEY, DB_PASSWD, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, WANDB_API_KEY, my_password"
    assert line == (f"xray-tui: not given to jobs: {names}; environment_keep in the settings keeps what a job needs")
    path = place.folder / "config" / "xray-tui" / "settings.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("environment_keep: ['*']\nenvironment_drop: [LR]\n")
    assert main(["launch", "command", *words]) == 0
    seen = capsys.readouterr()
    assert "not given" not in seen.err
    assert kept(place, place.store.get(seen.out.strip())).keys() >= {*SECRETS, *PLAIN}

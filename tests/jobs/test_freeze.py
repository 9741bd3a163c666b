"""What was asked is what runs: a job's code and config are those of its launch, whatever is edited afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.contract.errors import BadInput
from engine.contract.load import load_config
from xray_tui.jobs.launch import frozen_engine
from xray_tui.jobs.launch.freeze import EngineCopy, config_text, engines_folder, freeze_engine, keep_config
from xray_tui.jobs.launch.frozen_engine import flaw
from xray_tui.jobs.model.code_version import Source
from xray_tui.jobs.model.request import BlendRequest, TrainRequest
from xray_tui.jobs.storage.job_store import JobStore

CLI = """
import multiprocessing, sys
from engine.words import WORD

def say(): print("a child:", WORD, flush=True)

def main():
    print("the engine:", WORD, flush=True)
    if "--spawn" in sys.argv:
        child = multiprocessing.get_context("spawn").Process(target=say)
        child.start()
        child.join()
    return 0
"""
HOOK = """
import importlib.machinery, sys

class First:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "engine":
            return importlib.machinery.PathFinder.find_spec(name, [{folder!r}] if name == "engine" else path)

sys.meta_path.insert(0, First)
"""


class Project:
    """A checkout with a small engine, and a runs folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.package = self.folder / "engine"
        self.jobs = folder / "runs" / ".jobs"
        self.jobs.mkdir(parents=True)
        self.write("engine/__init__.py", '"""An engine."""\n\n__version__ = "1.2.3"\n')
        self.write("engine/cli.py", CLI)
        self.say("as it was")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def say(self, word: str) -> None:
        self.write("engine/words.py", f"WORD = {word!r}\n")

    def freeze(self) -> EngineCopy:
        return freeze_engine(self.jobs, self.package)

    def source(self) -> Source:
        source = self.freeze().source
        assert source is not None
        return source

    def copies(self) -> list[Path]:
        return sorted(engines_folder(self.jobs).iterdir())

    def git(self, *words: str) -> None:
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(self.folder), "PATH": os.environ["PATH"]}
        settings = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
        subprocess.run(["git", *settings, *words], cwd=self.folder, env=own, check=True, capture_output=True)

    def commit(self) -> str:
        self.git("init", "-q")
        self.git("add", "-f", ".")
        self.git("commit", "-q", "-m", "all")
        return (self.folder / ".git" / "refs" / "heads" / self.branch()).read_text().strip()

    def branch(self) -> str:
        return (self.folder / ".git" / "HEAD").read_text().strip().rpartition("/")[2]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def run(frozen: EngineCopy, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [*frozen.command, *arguments], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.stdout + done.stderr


# -- the code ---------------------------------------------------------------------------------------------------------


def test_an_edit_after_the_launch_reaches_the_next_job_only(project: Project) -> None:
    first = project.freeze()
    project.say("edited at midnight")
    second = project.freeze()
    assert run(first) == "the engine: as it was\n"
    assert run(second) == "the engine: edited at midnight\n"


def test_no_other_engine_comes_before_the_copy(project: Project, tmp_path: Path) -> None:
    """Not the one that is installed here, nor one in PYTHONPATH, in the working folder, or of an import hook that an
    editable install has put before all others."""
    frozen = project.freeze()
    project.say("edited")
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK.format(folder=str(project.folder)))
    assert run(frozen, cwd=project.folder, PYTHONPATH=f"{hook}:{project.folder}") == "the engine: as it was\n"
    assert (
        "engine: edited"
        in subprocess.run(
            [sys.executable, "-c", "from engine.cli import main; main()"],
            env={**os.environ, "PYTHONPATH": str(hook)},
            capture_output=True,
            text=True,
        ).stdout
    ), "the hook of this test leads nowhere"


def test_an_engine_that_was_imported_before_the_copy_is_not_run(project: Project, tmp_path: Path) -> None:
    frozen = project.freeze()
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys; sys.path.insert(0, {str(project.folder)!r}); import engine.cli"
    )
    said = run(frozen, PYTHONPATH=str(tmp_path))
    assert (
        said == f"{project.package}/cli.py: was imported instead of the engine in {Path(frozen.command[-1]).parent}\n"
    )


def test_processes_that_the_engine_spawns_run_the_copy_too(project: Project) -> None:
    frozen = project.freeze()
    project.say("edited")
    said = run(frozen, "--spawn", cwd=project.folder, PYTHONPATH=str(project.folder))
    assert said == "the engine: as it was\na child: as it was\n"


def test_the_real_engine_runs_from_its_copy(tmp_path: Path) -> None:
    frozen = freeze_engine(tmp_path)
    assert frozen.source is not None
    assert run(frozen, "--version", cwd=tmp_path) == f"xray-engine {frozen.source.version}\n"
    said = run(frozen, "evaluate", "--run", "nowhere", cwd=tmp_path, PYTHONVERBOSE="1")
    imported = set(re.findall(r"^# code object from '?(.*/engine/[^']*)", said, re.MULTILINE))
    assert imported
    assert all(path.startswith(str(Path(frozen.command[-1]).parent)) for path in imported)


def test_a_hundred_jobs_share_one_copy(project: Project) -> None:
    assert len({project.freeze().command for _ in range(3)}) == 1
    assert len(project.copies()) == 1
    project.say("another")
    project.freeze()
    project.say("as it was")
    project.freeze()
    assert len(project.copies()) == 2


def test_the_first_launch_makes_the_folder_of_the_jobs(project: Project) -> None:
    project.jobs.rmdir()
    project.jobs.parent.rmdir()
    assert run(project.freeze()) == "the engine: as it was\n"


def test_copies_are_no_jobs(project: Project) -> None:
    project.freeze()
    assert JobStore(project.jobs.parent).jobs() == []


def test_a_copy_holds_the_package_with_its_data_and_nothing_else(project: Project) -> None:
    project.write("engine/configs/unet.yaml", "seed: 1\n")
    for rest in ("engine/__pycache__/cli.cpython-311.pyc", "engine/old.pyc", "engine/.cli.py.swp", "README.md"):
        project.write(rest, "")
    (project.package / ".#cli.py").symlink_to("ana@server.4711")  # the mark of an editor
    place = Path(project.freeze().command[-1]).parent
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert names == ["engine/__init__.py", "engine/cli.py", "engine/configs/unet.yaml", "engine/words.py", "run.py"]


def test_a_copy_that_was_changed_is_not_run_and_the_next_launch_mends_it(project: Project) -> None:
    frozen = project.freeze()
    place = Path(frozen.command[-1]).parent
    words = place / "engine/words.py"
    words.chmod(0o644)
    words.write_text("WORD = 'changed'\n")
    assert run(frozen) == f"{place}: changed since it was copied; launch the job again\n"
    assert project.freeze() == frozen
    assert run(frozen) == "the engine: as it was\n"
    (place / "engine/cli.py").unlink()
    assert project.freeze() == frozen
    assert project.copies() == [place]


@pytest.mark.parametrize("kind", ["link", "linked folder", "pipe"])
def test_what_is_no_plain_file_is_refused_and_never_followed(project: Project, kind: str) -> None:
    odd = project.package / "odd"
    os.mkfifo(odd) if kind == "pipe" else odd.symlink_to("cli.py" if kind == "link" else "..")
    with pytest.raises(BadInput) as error:
        project.freeze()
    what = "a special file" if kind == "pipe" else "a link"
    assert error.value.lines == (f"{odd}: {what}; expected only regular files in the engine",)
    assert not engines_folder(project.jobs).exists()


def test_too_large_an_engine_is_refused_in_one_line(project: Project) -> None:
    with (project.package / "weights.bin").open("wb") as file:
        file.truncate(frozen_engine.LARGEST + 1)
    with pytest.raises(BadInput) as error:
        project.freeze()
    assert error.value.lines == (f"{project.package}: larger than 16 MiB; expected an engine",)


def test_a_copy_that_cannot_be_finished_leaves_nothing(project: Project) -> None:
    """The disk is full, as the process may write no more than so many bytes into a file."""
    project.write("engine/large.bin", "x" * 200_000)
    program = f"""
import resource, signal, sys
from pathlib import Path
from xray_tui.jobs.launch.freeze import freeze_engine
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    freeze_engine(Path({str(project.jobs)!r}), Path({str(project.package)!r}))
except OSError as error:
    sys.exit(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == "File too large\n"
    assert project.copies() == []


def test_nobody_runs_a_copy_that_others_can_change(project: Project) -> None:
    project.freeze()
    engines_folder(project.jobs).chmod(0o777)
    with pytest.raises(BadInput, match="can be changed by others"):
        project.freeze()


def test_many_launches_at_once_make_one_copy(project: Project) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from xray_tui.jobs.launch.freeze import freeze_engine\n"
        "sys.stdin.read(); freeze_engine(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(project.jobs), str(project.package)]
    launches = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for launch in launches:
        assert launch.stdin is not None
        launch.stdin.close()
    assert [launch.wait() for launch in launches] == [0] * 4
    (place,) = project.copies()
    assert flaw(place) is None


# -- where it came from -----------------------------------------------------------------------------------------------


def test_the_commit_is_told_and_whether_the_engine_differs_from_it(project: Project) -> None:
    commit = project.commit()
    source = project.source()
    assert (source.version, source.commit, source.dirty, source.git) == ("1.2.3", commit, False, commit[:12])
    project.write("notes.txt", "no part of the engine")
    project.write("engine/__pycache__/x.pyc", "")
    source = project.source()
    assert source.dirty is False
    project.write("engine/new.py", "")
    source = project.source()
    assert source.git == f"{commit[:12]}-dirty"
    (project.package / "new.py").unlink()
    project.say("edited")
    source = project.source()
    assert source.dirty is True


def test_outside_of_a_checkout_there_is_no_commit(project: Project) -> None:
    source = project.source()
    assert (source.commit, source.dirty, source.git) == (None, None, "")


def test_an_engine_in_the_venv_of_another_checkout_has_not_its_commit(project: Project) -> None:
    project.write(".gitignore", "engine\n")
    project.git("init", "-q")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "somebody's project")
    source = project.source()
    assert source.commit is None


def test_a_git_that_hangs_holds_up_no_launch(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.commit()
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *status*) exec sleep 60;; esac\nPATH={os.environ["PATH"]} exec git "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("xray_tui.jobs.model.code_version.PATIENCE", 0.5)
    source = project.source()
    assert source.commit is not None
    assert source.git.endswith("-dirty?")


def test_variables_of_a_git_hook_lead_to_no_other_repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = project.commit()
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    source = project.source()
    assert source.commit == commit


# -- the config -------------------------------------------------------------------------------------------------------


def kept_config(project: Project, request: TrainRequest | BlendRequest) -> TrainRequest | BlendRequest:
    """The request of a job whose config is kept in the folder of the jobs."""
    text = config_text("train" if isinstance(request, TrainRequest) else "blend", request)
    assert text is not None
    return keep_config(project.jobs, request, text)


def test_the_config_is_that_of_the_launch_with_what_was_set(project: Project) -> None:
    config = project.write("configs/unet.yaml", "seed: 7\ntraining: {epochs: 9}\n")
    overrides = ("training.epochs=3", "training.lr=0.5")
    request = kept_config(project, TrainRequest(config=str(config), runs="runs", overrides=overrides, gpus=2))
    config.write_text("seed: 8\n")
    path = project.jobs / "unet.yaml"
    assert request == TrainRequest(config=str(path), runs="runs", gpus=2)
    kept = load_config(path)
    assert kept.kind == "train"
    assert (kept.seed, kept.training.epochs, kept.training.lr, kept.training.batch_size) == (7, 3, 0.5, 16)
    assert path.read_text().startswith(f"# as launched: --config {config} --set training.epochs=3 ")


@pytest.mark.parametrize("there", ["beside the config", "in the working folder"])
def test_paths_mean_what_they_meant(project: Project, monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    monkeypatch.chdir(project.folder)
    holder = "configs/" if there == "beside the config" else ""
    manifest, weights = project.write(f"{holder}data/m.csv", ""), project.write(f"{holder}w/enc.pt", "")
    text = "data: {manifest: data/m.csv}\nmodel: {encoder_weights: w/enc.pt}\n"
    config = project.write("configs/unet.yaml", text)
    before = load_config(config)
    kept = kept_config(project, TrainRequest(config="configs/unet.yaml", runs="runs"))
    monkeypatch.chdir("/")
    after = load_config(Path(kept.config or ""))
    assert after == before
    assert after.kind == "train"
    assert (after.data.manifest, after.model.encoder_weights) == (str(manifest), str(weights))


def test_a_blend_keeps_its_members(project: Project) -> None:
    for name in ("runs/a", "runs/b"):
        (project.folder / name).mkdir(parents=True)
    config = project.write("configs/b.yaml", "kind: blend\nmembers: [../runs/a, ../runs/b]\n")
    kept = kept_config(project, BlendRequest(config=str(config), runs="runs", tta="h"))
    assert kept.tta == "h"  # type: ignore[union-attr]
    members = [str(project.folder / "runs" / name) for name in "ab"]
    assert yaml.safe_load(Path(kept.config or "").read_text())["members"] == members


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("training: {epochs: 0}", "training.epochs: 0: "),
        ("kind: blend", "kind: blend; train needs kind: train"),
        ("[", "not YAML"),
    ],
)
def test_a_config_that_cannot_run_is_refused_at_the_launch(project: Project, text: str, line: str) -> None:
    config = project.write("configs/unet.yaml", text)
    with pytest.raises(BadInput) as error:
        config_text("train", TrainRequest(config=str(config), runs="runs"))
    assert line in error.value.lines[0]


def test_without_a_config_nothing_is_kept() -> None:
    assert config_text("train", TrainRequest(runs="runs", resume=True, overrides=("seed=1",))) is None
    assert config_text("command", ("python", "scripts/train.py", "--config", "theirs.json")) is None

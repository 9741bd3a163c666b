"""The app in a real terminal: what bytes it sends, how it starts, and how it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyte
import pytest

from engine.contract.names import JOBS, LOG
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.system.process import host, user

LONG = bool(os.environ.get("XRAY_TUI_LONG"))
RUN = (
    "import sys; from pathlib import Path; from xray_tui.app.start import run_app; sys.exit(run_app(Path(sys.argv[1])))"
)


class Terminal:
    """The app in a pty of 100 by 30, with all that it sent and the screen that came of it."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.descriptor = descriptor
        self.sent = b""
        self.screen = pyte.Screen(100, 30)
        self._stream = pyte.ByteStream(self.screen)

    def read(self, seconds: float) -> bytes:
        """What it sends in this time."""
        new, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.descriptor], [], [], left)[0]:
                break
            try:
                new += os.read(self.descriptor, 1 << 16)
            except OSError:
                break
        self.sent += new
        self._stream.feed(new)
        return new

    def until(self, text: str, seconds: float = 60.0) -> None:
        """Read until the screen shows the text."""
        end = time.monotonic() + seconds
        while not any(text in line for line in self.screen.display):
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} is not on the screen:\n" + "\n".join(self.screen.display))
            self.read(0.05)

    def resize(self, lines: int, columns: int) -> None:
        """Give the terminal another size, of which the kernel tells the app."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def ends(self, seconds: float = 30.0) -> int:
        """Its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.read(0.05)
        self.read(0.1)
        return self.process.returncode

    def stops(self, seconds: float = 30.0) -> None:
        """Read until it is suspended, and has said what it says before."""
        end = time.monotonic() + seconds
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < end, "it is not suspended"
            self.read(0.05)
        self.read(0.1)


@contextmanager
def terminal(runs: Path, command: Sequence[str] = (), **environment: str) -> Iterator[Terminal]:
    """The app on these runs, or another command, killed at the end."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        command or [sys.executable, "-c", RUN, str(runs)],
        env={**os.environ, "TERM": "xterm-256color", **environment},
        preexec_fn=lambda: os.login_tty(its),  # as its controlling terminal, or it would not be told when that goes
    )
    os.close(its)
    found = Terminal(process, ours)
    try:
        yield found
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(found.descriptor)


@pytest.fixture(scope="module")
def some_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("work") / "runs"
    for number in range(30):
        artifact(runs, f"run_{number:02d}", {"dice_pos": 0.4 - number / 100})
    return runs


def artifact(runs: Path, run: str, values: Mapping[str, object]) -> None:
    (runs / run).mkdir(parents=True)
    (runs / run / "test_metrics.json").write_text(json.dumps(values))


def test_bad_names_send_no_stray_escape_and_no_markup(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    names = ["esc\x1b[31mred", "title\x1b]0;owned\x07", "csi\x9b2J", "bidi\u202egnp", "pipe|tick`", "new\nline",
             "[bold]x[/]y[/bold]", "[/]", "${x}[link=http://a]"]  # fmt: skip
    for place, name in enumerate(names):
        artifact(runs, name, {"dice_pos": 0.5 - place / 100, "tta_mode": "\x1b[5m"})
    artifact(runs, "bad\x1b[41m", {"dice_pos": "\x1b]0;x\x07"})
    (runs / "board.yaml").write_text('title: "\\e]0;owned\\a[/]"\n')
    with terminal(runs) as app:
        app.until("[bold]x[/]y[/bold]")
        for keys in (b"j", b"p", b"\x1b", b"\r", b"q", b"/[/]\r", b"\x1b", b"t", b"\x1b", b"3", b"K", b"?"):
            os.write(app.descriptor, keys)
            app.read(0.3)
        assert app.process.poll() is None
        for stray in (b"\x1b[31mred", b"owned\x07", b"\x1b]0;x", b"\x9b2J", b"\x1b[41m", "\u202e".encode(), b"\x1b[5m"):
            assert stray not in app.sent
        assert "esc␛[31mred".encode() in app.sent


def test_an_idle_app_sends_almost_nothing(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        app.read(2.0)
        assert len(app.read(3.0)) < 3 * 500  # 2,000 bytes a second are allowed


def test_a_key_that_moves_the_cursor_repaints_two_rows_and_not_the_board(some_runs: Path) -> None:
    with terminal(some_runs, COLORTERM="truecolor") as app:
        app.until("run_00")
        app.read(2.0)
        os.write(app.descriptor, b"j")
        app.read(1.0)
        for key in (b"j", b"j", b"k"):
            os.write(app.descriptor, key)
            assert 0 < len(app.read(0.7)) < 1500


def test_what_is_typed_at_once_after_a_key_that_opens_a_line_goes_into_that_line(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        os.write(app.descriptor, b"jj/e_07\x7f\x7f\x7f\x7frun_07\rjk")  # an e on the board would open a form
        app.until("1 of 30 runs")
        os.write(app.descriptor, b"\x1b")
        app.until("  30 runs")
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_a_key_typed_at_once_after_one_that_opens_a_screen_goes_to_that_screen(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        os.write(app.descriptor, b"j\rq/")  # on the board the q would quit
        app.until("words in a run's name")
        os.write(app.descriptor, b"\x1b")
        app.read(0.5)
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_resizing_and_quitting_at_once_ends_the_app(some_runs: Path) -> None:
    for pause in [number % 10 / 100 for number in range(200 if LONG else 10)]:
        with terminal(some_runs) as app:
            app.until("run_00")
            app.resize(24, 80)
            app.read(pause)
            os.write(app.descriptor, b"q")
            assert app.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(some_runs: Path, number: signal.Signals) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        app.process.send_signal(number)
        assert app.ends() == 128 + number
        for left_on in (b"1049", b"1000", b"1003", b"1006", b"2004"):
            assert app.sent.rfind(b"\x1b[?" + left_on + b"l") > app.sent.rfind(b"\x1b[?" + left_on + b"h")


def test_a_terminal_that_goes_away_ends_the_app(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        app.read(0.5)
        os.close(app.descriptor)
        app.process.wait(30)


def test_q_ends_it_at_once_with_status_0(some_runs: Path) -> None:
    took = []
    while len(took) < 3 and min(took, default=9.0) >= 2.0:  # a machine that is busy with other things may hold one up
        with terminal(some_runs) as app:
            app.until("run_00")
            begun = time.monotonic()
            os.write(app.descriptor, b"q")
            assert app.ends() == 0
            took.append(time.monotonic() - begun)
    assert min(took) < 2.0


def test_without_colour_the_cursor_is_reversed_and_no_colour_is_sent(some_runs: Path) -> None:
    with terminal(some_runs, NO_COLOR="1") as app:
        app.until("run_00")
        app.read(0.5)
        for colour in (b"38;2;", b"48;2;", b"38;5;", b"48;5;", b"[31m", b"[34m"):
            assert colour not in app.sent
        row = next(y for y, line in enumerate(app.screen.display) if "run_00" in line)
        assert app.screen.buffer[row][10].reverse


def test_after_a_suspension_the_screen_is_drawn_again(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        app.read(1.0)
        app.process.send_signal(signal.SIGTSTP)
        app.stops()
        app.screen.reset()
        app.process.send_signal(signal.SIGCONT)
        app.until("run_00")


def test_ctrl_z_leaves_for_the_shell_and_fg_comes_back(some_runs: Path) -> None:
    with terminal(some_runs, ["bash", "--norc", "-i"]) as app:
        os.write(app.descriptor, shlex.join([sys.executable, "-c", RUN, str(some_runs)]).encode() + b"\n")
        app.until("run_00")
        app.read(1.0)
        os.write(app.descriptor, b"\x1a")
        app.until("Stopped")
        app.screen.reset()
        os.write(app.descriptor, b"fg\n")
        app.until("run_00")


def test_ctrl_z_without_a_shell_to_go_to_leaves_the_app_where_it_is(some_runs: Path) -> None:
    with terminal(some_runs) as app:
        app.until("run_00")
        app.read(1.0)
        os.write(app.descriptor, b"\x1a")
        app.until("No interactive shell")
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_the_title_names_the_place_and_quitting_says_what_goes_on(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, state in (("r1", State.RUNNING), ("w1", State.QUEUED), ("w2", State.HELD), ("e1", State.FAILED)):
        folder = runs / JOBS / name
        folder.mkdir(parents=True)
        write_job(folder, Job(name, JobSpec("train", name, ()), state, created=time.time(), host="elsewhere"))
    with terminal(runs) as app:
        app.until("r1")
        assert f"\x1b]2;{user()}@{host()} {runs} - xray-tui\x07".encode() in app.sent
        os.write(app.descriptor, b"q")
        assert app.ends() == 0
    last = app.sent.decode().rpartition("\x1b[23;2t")[2]
    says = f"`xray-tui {runs}` shows them again, `xray-tui jobs --runs {runs}` lists them"
    assert last == f"Jobs continue: 1 running, 2 waiting; {says}\r\n"


@pytest.fixture
def long_log(tmp_path: Path) -> Path:
    """A runs folder with one job that has ended and wrote 30,000 lines."""
    folder = tmp_path / "runs" / JOBS / "j1"
    folder.mkdir(parents=True)
    write_job(folder, Job("j1", JobSpec("train", "unet_a", ()), State.SUCCEEDED, created=1.0))
    (folder / LOG).write_text("".join(f"line {number}\n" for number in range(30_000)))
    return tmp_path / "runs"


PAGER = """#!/bin/sh
trap 'echo interrupted' INT
echo "$1: $(wc -l < "$2") lines, first $(head -n 1 "$2")"
until read -r answer; do :; done
"""


def test_o_in_a_log_opens_the_whole_file_in_the_pager_and_comes_back(long_log: Path, tmp_path: Path) -> None:
    script = tmp_path / "a pager"
    script.write_text(PAGER)
    script.chmod(0o755)
    with terminal(long_log, PAGER=f"{shlex.quote(str(script))} --title") as app:
        app.until("line 29999")
        os.write(app.descriptor, b"\t\to")
        app.until("--title: 30000 lines, first line 0")
        assert app.sent.rfind(b"\x1b[?1049l") > app.sent.rfind(b"\x1b[?1049h")
        os.write(app.descriptor, b"\x03")
        app.until("interrupted")
        app.screen.reset()
        os.write(app.descriptor, b"\n")
        app.until("last 20,000 of the log")
        app.until("line 29999")
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_ctrl_z_in_the_pager_leaves_for_the_shell_and_fg_comes_back_to_the_pager(
    long_log: Path, tmp_path: Path
) -> None:
    script = tmp_path / "pager"
    script.write_text(PAGER)
    script.chmod(0o755)
    with terminal(long_log, ["bash", "--norc", "-i"], PAGER=str(script)) as app:
        os.write(app.descriptor, shlex.join([sys.executable, "-c", RUN, str(long_log)]).encode() + b"\n")
        app.until("line 29999")
        os.write(app.descriptor, b"\t\to")
        app.until("first")
        os.write(app.descriptor, b"\x1a")
        app.until("Stopped")
        os.write(app.descriptor, b"fg\n")
        app.read(0.5)
        app.screen.reset()
        os.write(app.descriptor, b"\n")
        app.until("last 20,000 of the log")


@pytest.mark.parametrize("pager", ["", "'unbalanced", "/nowhere/pager"])
def test_where_no_pager_is_installed_one_line_says_so(long_log: Path, tmp_path: Path, pager: str) -> None:
    with terminal(long_log, PAGER=pager, PATH=str(tmp_path / "empty")) as app:
        app.until("line 29999")
        os.write(app.descriptor, b"\t\to")
        app.until("No pager is installed")


def test_a_pager_that_cannot_be_started_is_named_and_the_app_goes_on(long_log: Path, tmp_path: Path) -> None:
    script = tmp_path / "pager"
    script.write_bytes(b"\x7fELF of another machine")
    script.chmod(0o755)
    with terminal(long_log, PAGER=str(script)) as app:
        app.until("line 29999")
        os.write(app.descriptor, b"\t\to")
        app.until("cannot be started")
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_mouse_false_in_the_settings_leaves_the_mouse_to_the_terminal(some_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "xray-tui").mkdir()
    (tmp_path / "xray-tui" / "settings.yaml").write_text("mouse: false\n")
    with terminal(some_runs, XDG_CONFIG_HOME=str(tmp_path)) as app:
        app.until("run_00")
        assert b"\x1b[?1000h" not in app.sent


@pytest.mark.parametrize("runs_dir", ["x" * 300, '"a\\0b"', "/proc/version/runs"])
def test_a_runs_folder_of_the_settings_that_cannot_be_is_named_and_another_asked_for(
    tmp_path: Path, runs_dir: str
) -> None:
    (tmp_path / "xray-tui").mkdir()
    (tmp_path / "xray-tui" / "settings.yaml").write_text(f"runs_dir: {runs_dir}\n")
    open_app = [sys.executable, "-c", "from xray_tui.app.start import run_app; run_app(None)"]
    with terminal(tmp_path, open_app, XDG_CONFIG_HOME=str(tmp_path)) as app:
        app.until("settings: runs_dir: ")
        app.until("Where are the runs?")


def test_without_a_terminal_or_a_folder_one_line_says_so(tmp_path: Path) -> None:
    nowhere = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "no\x1b[31m")], capture_output=True, text=True, check=False
    )
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert nowhere.stderr.count("\n") == 1
    assert "no␛[31m: there is no such folder" in nowhere.stderr
    piped = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert piped.returncode == 2
    assert piped.stderr == "xray-tui: the app needs a terminal; `xray-tui export` prints the board without one\n"


def test_importing_the_app_loads_nothing_heavy() -> None:
    code = "import sys; import xray_tui.app.app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "numpy", "pandas", "PIL", "sklearn", "plotext"} & set(found)
    assert not {"pydantic", "yaml", "psutil", "pynvml", "watchdog"} & set(found)

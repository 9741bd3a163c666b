"""Following files that grow: events, what happens to them, and the curve that they become."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event

from engine.contract.events import format_event
from engine.contract.names import EVENTS, LOG
from xray_tui.feeds.job_files import EventTail, Follow, Followed
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.logs.curve_reader import Curve, CurveReader
from xray_tui.logs.tail import Tail


def test_a_tail_reads_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() is None
    path.write_bytes(b"one\n")
    assert tail.read().data == b"one\n"
    assert tail.read() is None
    with path.open("ab") as file:
        file.write(b"two\n")
    chunk = tail.read()
    assert (chunk.data, chunk.fresh) == (b"two\n", False)


def test_a_tail_begins_anew_where_the_file_was_cut_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a long first text\n")
    tail = Tail(path)
    tail.read()
    path.write_bytes(b"cut\n")
    assert tail.read().fresh
    other = tmp_path / "other"
    other.write_bytes(b"another file of more bytes\n")
    os.replace(other, path)
    chunk = tail.read()
    assert chunk.fresh
    assert chunk.data == b"another file of more bytes\n"


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Tail(tmp_path / "pipe").read() is None


def test_events_become_curves_over_epochs_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    lines = format_event("start", 1.0, epochs=4, steps=8, step=0)
    lines += "".join(format_event("step", 1.0, epoch=1, step=step, steps=8, loss=1 / step) for step in (1, 2))
    lines += "garbage\n" + format_event("step", 1.0, step=3, steps=8, loss=float("nan"))
    lines += format_event("epoch", 1.0, epoch=1, epochs=4, val={"dice_pos": 0.25}, best=True)
    path.write_text(lines[:-10])
    tail = EventTail(path)
    tail.read()
    assert tail.reader.curve().loss == ((0.5, 1.0), (1.0, 0.5))
    assert tail.reader.curve().validation == ()
    path.open("a").write(lines[-10:])
    tail.read()
    curve = tail.reader.curve()
    assert (curve.validation, curve.best, curve.epochs) == (((1.0, 0.25),), (1.0, 0.25), 4.0)


def test_a_resumed_training_drops_what_lies_past_its_checkpoint() -> None:
    reader = CurveReader()
    epochs = [{"event": "epoch", "epoch": n, "epochs": 4, "val": {"dice_pos": n / 10}, "best": True} for n in (1, 2, 3)]
    reader.add([{"event": "start", "epochs": 4, "steps": 8, "step": 0}, *epochs])
    reader.add([{"event": "start", "epochs": 4, "steps": 8, "step": 4}])
    assert reader.curve().validation == ((1.0, 0.1), (2.0, 0.2))
    assert reader.curve().best == (2.0, 0.2)


def test_a_followed_job_tells_at_once_and_then_only_when_a_file_has_grown(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("hello\n")
    told: list[Followed] = []
    follow = Follow("j1", tmp_path / LOG, [tmp_path / "run"], told.append)
    follow.tick()
    follow.tick()
    assert [followed.log.lines for followed in told] == [("hello",)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / EVENTS).write_text(format_event("step", 1.0, step=1, loss=0.5))
    follow.tick()
    assert told[-1].curve.loss == ((1.0, 0.5),)


def test_a_ticking_thread_ends_at_once_when_asked() -> None:
    ticked = Event()

    class Slow(PeriodicThread):
        def tick(self) -> None:
            ticked.set()

    slow = Slow(60.0, "slow")
    slow.start()
    assert ticked.wait(30)
    slow.stop()
    slow._thread.join(30)  # its next tick would come in a minute
    assert not slow._thread.is_alive()


BAD = (
    '{"event": "step", "step": 1, "steps": 8, "loss": 1e308}',
    '{"event": "step", "step": 2, "steps": 8, "loss": -1e308}',
    '{"event": "step", "step": 3, "steps": 8, "loss": ' + "9" * 400 + "}",
    '{"event": "step", "step": ' + "9" * 400 + ', "steps": 8, "loss": 0.5}',
    '{"event": "step", "step": 4, "steps": 1e-320, "loss": 0.4}',
    '{"event": "start", "epochs": 1e300, "steps": 1e-320, "step": 1e300}',
    '{"event": "epoch", "epoch": 1e300, "epochs": 1e300, "val": {"dice_pos": 1e300}}',
    '{"event": "epoch", "epoch": [], "epochs": {}, "val": [1]}',
    '{"event": "end", "state": ' + "[" * 900 + "]" * 900 + "}",
)


def test_numbers_that_no_training_writes_are_passed_over_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    good = format_event("start", 1.0, epochs=4, steps=8, step=0) + format_event("step", 1.0, step=2, steps=8, loss=0.5)
    for bad in BAD:
        path.write_text(good + bad + "\n")
        events = EventTail(path)
        assert events.read()
        curve = events.reader.curve()
        assert (1.0, 0.5) in curve.loss or "start" in bad, bad
        assert all(abs(x) <= 1e12 and abs(y) <= 1e12 for x, y in curve.loss), bad


def test_a_log_goes_on_whatever_stands_among_the_events(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_text("\n".join(BAD) + "\n")
    (tmp_path / LOG).write_text("begun\n")
    told: list[Followed] = []
    heard = Event()

    def hear(followed: Followed) -> None:
        told.append(followed)
        heard.set()

    follow = Follow("a", tmp_path / LOG, [tmp_path], hear)
    follow.start()
    assert heard.wait(30)
    heard.clear()
    with (tmp_path / LOG).open("a") as file:
        file.write("goes on\n")
    follow.wake()
    assert heard.wait(30)
    follow.stop()
    assert told[-1].log.lines == ("begun", "goes on")


def test_times_leave_out_pauses_and_the_rates_and_steps_are_kept() -> None:
    reader = CurveReader()
    step = {"event": "step", "steps": 8, "loss": 0.5, "lr": 1e-3}
    reader.add([{"event": "start", "time": 1000.0, "epochs": 4, "steps": 8, "step": 0}])
    reader.add([{**step, "step": number, "time": 1000.0 + 10 * number} for number in (2, 4, 5)])
    reader.add(
        [{"event": "start", "time": 9000.0, "epochs": 4, "steps": 8, "step": 4}, {**step, "step": 6, "time": 9020.0}]
    )
    curve = reader.curve()
    assert curve.times == ((1.0, 20.0), (2.0, 40.0), (3.0, 60.0))
    assert curve.rates == ((1.0, 1e-3), (2.0, 1e-3), (3.0, 1e-3))
    assert curve.steps == 8


def test_without_a_log_the_epochs_are_its_lines_with_their_times(tmp_path: Path) -> None:
    lines = format_event("start", 1_771_115_900.0, epochs=24, steps=48, step=0)
    values = {"dice_pos": 0.0881, "roc_auc_presence": 1.0, "threshold": None, "x": "\x1b[31m"}
    lines += format_event("epoch", 1_771_115_911.0, epoch=1, epochs=24, loss=1.0239, val=values, best=True)
    lines += '{"event": "epoch", "epoch": 2, "loss": "\\u001b", "val": {}, "time": -1e11}\n'
    (tmp_path / EVENTS).write_text(lines)
    told: list[Followed] = []
    Follow("run_a", None, [tmp_path, tmp_path / "none"], told.append).tick()
    log = told[0].log
    assert log.lines == ("epoch 1/24  loss 1.024  Dice .088  AUC 1.00  best  11s", "epoch 2/24  loss nan")
    assert log.stamps[0] == time.strftime("%Y-%m-%d %H:%M:%S ", time.localtime(1_771_115_911.0))
    assert (told[0].curve.validation, told[0].others) == (((1.0, 0.0881),), (Curve(),))

"""The problems screen: every artifact that does not rank, with its reason, and what is wrong with the board's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.contract.text import clean
from xray_tui.screens.text_screen import TextScreen, wrapped

if TYPE_CHECKING:
    from xray_tui.board.model import Board


class ProblemsScreen(TextScreen):
    """What does not rank, and why."""

    def __init__(self, board: Board, more: Sequence[str] = ()) -> None:
        count = len(board.set_aside)
        title = f"{count} artifact{'' if count == 1 else 's'} that do{'es' if count == 1 else ''} not rank"
        super().__init__(title, problem_lines(board, more), empty="Every artifact ranks; nothing is wrong.")


def problem_lines(board: Board, more: Sequence[str] = ()) -> list[str]:
    """The lines of the screen: general problems first, then artifacts by their path."""
    lines = [part for line in (*more, *board.problems) for part in wrapped(clean(line), indent="! ")]
    if lines and board.set_aside:
        lines.append("")
    for item in board.set_aside:
        lines += [*wrapped(clean(item.path)), *wrapped(clean(item.reason), indent="    ", more="    ")]
    return [f" {line}" for line in lines]

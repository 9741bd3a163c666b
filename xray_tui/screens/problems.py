"""The problems screen: every unranked artifact with its reason, and the problems of the settings and board files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.contract.text import clean
from xray_tui.screens.text_screen import TextScreen, wrapped

if TYPE_CHECKING:
    from xray_tui.board.model import Board


class ProblemsScreen(TextScreen):
    def __init__(self, board: Board, more: Sequence[str] = ()) -> None:
        count = len(board.set_aside)
        title = f"{count} unranked artifact{'' if count == 1 else 's'}"
        super().__init__(title, problem_lines(board, more), empty="Every artifact ranks; there are no problems.")


def problem_lines(board: Board, more: Sequence[str] = ()) -> list[str]:
    """The lines of the screen: general problems, then unranked artifacts by path."""
    lines = [part for line in (*more, *board.problems) for part in wrapped(clean(line), indent="! ")]
    if lines and board.set_aside:
        lines.append("")
    for item in board.set_aside:
        lines += [*wrapped(clean(item.path)), *wrapped(clean(item.reason), indent="    ", more="    ")]
    return [f" {line}" for line in lines]

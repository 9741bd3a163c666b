"""Metric names of board.yaml that nothing bears: a line each, for a name mistyped sets every artifact aside. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.metrics import BY_NAME, METRICS
from engine.contract.names import BOARD
from engine.contract.text import clean
from xray_tui.board.model import Artifact
from xray_tui.board.rules import Rules


def misnamed_lines(rules: Rules, artifacts: Sequence[Artifact]) -> list[str]:
    """A line for each name of `primary` and `columns` that is no metric known here, none of `aliases`, in no artifact.

    Without an artifact that ranks, columns are not judged: their own metrics may be in those that are set aside.
    """
    lines = []
    if _is_unknown(rules.primary, rules) and not artifacts:  # every artifact that ranks holds the primary metric
        lines.append(_line("primary", rules.primary, rules))
    if artifacts:
        unknown = [name for name in rules.columns if name != rules.primary and _is_unknown(name, rules)]
        lines += [_line("columns", name, rules) for name in unknown if not _is_held(name, artifacts)]
    return lines


def _is_held(name: str, artifacts: Sequence[Artifact]) -> bool:
    return any(name in each.metrics or name in each.input_size for each in artifacts)


def _is_unknown(name: str, rules: Rules) -> bool:
    return name not in BY_NAME and name not in rules.aliases


def _line(key: str, name: str, rules: Rules) -> str:
    from difflib import get_close_matches

    known = [*BY_NAME, *rules.aliases, *(alias for metric in METRICS for alias in metric.aliases)]
    close = get_close_matches(name.strip().lower(), known, n=1)
    hint = f"did you mean {clean(close[0])}?" if close else f"known here: {', '.join([*BY_NAME][:6])}, …"
    return f"{BOARD}: {key}: {clean(name)}: no artifact that ranks holds such a metric; {hint}"

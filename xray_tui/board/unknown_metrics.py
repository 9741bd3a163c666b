"""Finds unknown metric names in board.yaml: a typo in the primary metric would make every artifact unranked."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.metrics import BY_NAME, METRICS
from engine.contract.names import BOARD
from engine.contract.text import clean
from xray_tui.board.model import Artifact
from xray_tui.board.rules import Rules


def misnamed_lines(rules: Rules, artifacts: Sequence[Artifact]) -> list[str]:
    """One line per name in `primary` and `columns` that is not a built-in metric, a key of `aliases` or in an artifact.

    Without a ranked artifact, columns are not checked, because unranked artifacts may contain their metrics.
    """
    lines = []
    if _is_unknown(rules.primary, rules) and not artifacts:  # every ranked artifact has the primary metric
        lines.append(_line("primary", rules.primary, rules))
    if artifacts:
        unknown = [name for name in rules.columns if name != rules.primary and _is_unknown(name, rules)]
        lines += [_line("columns", name, rules) for name in unknown if not _is_reported(name, artifacts)]
    return lines


def _is_reported(name: str, artifacts: Sequence[Artifact]) -> bool:
    return any(name in artifact.metrics or name in artifact.input_size for artifact in artifacts)


def _is_unknown(name: str, rules: Rules) -> bool:
    return name not in BY_NAME and name not in rules.aliases


def _line(key: str, name: str, rules: Rules) -> str:
    from difflib import get_close_matches

    known = [*BY_NAME, *rules.aliases, *(alias for metric in METRICS for alias in metric.aliases)]
    close = get_close_matches(name.strip().lower(), known, n=1)
    hint = f"did you mean {clean(close[0])}?" if close else f"known metrics: {', '.join([*BY_NAME][:6])}, …"
    return f"{BOARD}: {key}: {clean(name)}: no ranked artifact has this metric; {hint}"

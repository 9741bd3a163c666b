"""Exports the board as one self-contained HTML page: no script, font or image comes from elsewhere.

The table sorts by its heads and filters by words. A page without scripts shows everything but does not sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.board.analysis import four, sentences, ties_with_leader
from xray_tui.board.exports.markdown import notes
from xray_tui.board.model import Board, Row

CURVE_WIDTH, CURVE_HEIGHT, BAR_WIDTH = 96, 24, 96
"""Sizes of the drawings in pixels."""

Curves = Mapping[str, tuple[str, Sequence[tuple[float, float]]]]
"""Maps runs to (name of the validation metric, its points as (epoch, value))."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --faint: #777; --tie: #0a7d4822; --bar: #0a7d48; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }}
th:nth-child(2), td:nth-child(2), td:last-child, th:last-child {{ text-align: left; }}
th button {{ font: inherit; font-weight: 600; background: 0; border: 0; color: inherit; padding: 0; cursor: pointer }}
th[aria-sort=ascending] button::after {{ content: " ▲"; }}
th[aria-sort=descending] button::after {{ content: " ▼"; }}
tr.tie {{ background: var(--tie); }}
small, .faint {{ color: var(--faint); }}
svg {{ vertical-align: middle; }}
input {{ font: inherit; padding: .3rem .5rem; width: min(24rem, 100%); }}
@media (max-width: 40rem) {{ td:nth-child(2) {{ white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }} }}
@media print {{ input {{ display: none; }} }}
</style>
<h1>{title}</h1>
<p class="faint">{generated}</p>
<p><label>Filter <input id="words" type="search" placeholder="words of a run or file"></label> <span id="count"
role="status"></span></p>
<div class="wide" tabindex="0" role="region" aria-label="Leaderboard"><table id="board">
<thead><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table></div>
{legend}
<h2>GPU Status</h2>{gpus}
<h2>Analysis</h2>{analysis}
<h2>Notes</h2>{notes}
<script>
"use strict";
const body = document.querySelector("#board tbody"), rows = [...body.rows], words = document.querySelector("#words");
const value = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent;
document.querySelectorAll("#board th button").forEach(button => button.addEventListener("click", () => {{
  const head = button.parentElement, at = head.cellIndex, text = at === 1 || head.dataset.text !== undefined;
  const up = head.ariaSort ? head.ariaSort === "descending" : head.dataset.first !== "down";
  document.querySelectorAll("#board th").forEach(other => other.removeAttribute("aria-sort"));
  head.ariaSort = up ? "ascending" : "descending";
  rows.sort((a, b) => {{
    const x = value(a, at), y = value(b, at);
    if (x === "" || y === "") return (x === "") - (y === "");
    return (up ? 1 : -1) * (text ? x.localeCompare(y) : x - y);
  }});
  body.append(...rows);
}}));
words.addEventListener("input", () => {{
  const wanted = words.value.toLowerCase().split(/\\s+/);
  for (const row of rows) row.hidden = !wanted.every(word => row.dataset.words.includes(word));
  const shown = rows.filter(row => !row.hidden).length;
  document.querySelector("#count").textContent = shown < rows.length ? `${{shown}} of ${{rows.length}} runs` : "";
}});
</script>
</html>
"""


def to_html(board: Board, gpu_status: Sequence[str], generated: str, curves: Curves) -> str:
    """The board as a page, with intervals as bars, and the runs that tie with the leader marked. `curves` has the
    validation curve of each training."""
    columns, primary = board.rules.columns, board.rules.primary
    ties = ties_with_leader(board)
    tied = {row.run for row in ties.rows} if ties else set()
    heads = [_head("#", "up"), _head("Run", "up")]
    heads += [_head(metric(name).label, "down" if metric(name).higher_is_better else "up") for name in columns]
    scale = _scale(board)
    drawn = {row.run: (_bar(board, row, scale), _curve(*curves.get(row.run, ("", ())))) for row in board.rows}
    has = [any(drawings) for drawings in zip(*drawn.values(), strict=True)] or [False, False]
    heads += ["<th>95 %</th>"] * has[0] + ["<th>Validation</th>"] * has[1]
    heads += [_head("Threshold", "down"), _head("TTA", "up", text=True), _head("Source", "up", text=True)]
    lines = []
    for row in board.rows:
        drawings = [drawing for drawing, shown in zip(drawn[row.run], has, strict=True) if shown]
        lines.append(_row(board, row, row.run in tied, drawings))
    legend = '<p class="faint">Shaded: not distinguishable from the leader by a paired bootstrap.</p>' if tied else ""
    return _PAGE.format(
        title=escape(clean(board.rules.title)),
        generated=f"Generated: {escape(clean(generated))} · ranked by {escape(clean(metric(primary).label))}",
        heads="".join(heads),
        rows="\n".join(lines),
        legend=legend,
        gpus=_bullets(map(clean, gpu_status)),
        analysis=_bullets(sentences(board)),
        notes=_bullets(notes(board)),
    )


def _head(label: str, first: str, text: bool = False) -> str:
    """A sortable head. `first` is the direction of the first click."""
    kind = " data-text" if text else ""
    return f'<th data-first="{first}"{kind}><button type="button">{escape(clean(label))}</button></th>'


def _row(board: Board, row: Row, is_tied: bool, drawings: Iterable[str]) -> str:
    cells = [_cell(str(row.rank), row.rank), _cell(board.named(row))]
    for name in board.rules.columns:
        value = row.value(name)
        text = escape(four(value))
        is_best = value is not None and value == board.best.get(name)
        cells.append(_cell(f"<b>{text}</b>" if is_best else text, value, True))
    cells += [f"<td>{drawing}</td>" for drawing in drawings]
    threshold = row.artifact.threshold
    source = f" <small>{row.artifact.threshold_source}</small>"
    cells.append(_cell("-" if threshold is None else f"{threshold:.3g}{source}", threshold, True))
    cells += [_cell(row.artifact.tta or "-"), _cell(row.source)]
    if row.marks:
        cells[-1] = cells[-1].replace("</td>", f" <small>{escape('; '.join(row.marks))}</small></td>")
    words = escape(f"{board.named(row)} {row.name} {row.source}".lower(), quote=True)
    return f'<tr{" class=tie" if is_tied else ""} data-words="{words}">{"".join(cells)}</tr>'


def _cell(text: str, value: float | None = None, is_number: bool = False) -> str:
    """A cell; `text` of a number is HTML, other text is escaped. The value is for sorting, empty if missing."""
    if is_number or value is not None:
        return f'<td data-value="{"" if value is None else repr(value)}">{text}</td>'
    return f"<td>{escape(clean(text))}</td>"


def _bullets(lines: Iterable[str]) -> str:
    """A list. Code spans of the Markdown sentences become code elements."""
    return f"<ul>{''.join(f'<li>{_spans(line)}</li>' for line in lines)}</ul>"


def _spans(line: str) -> str:
    parts = escape(line).replace("**", "").split("`")
    return "".join(f"<code>{part}</code>" if at % 2 and at < len(parts) - 1 else part for at, part in enumerate(parts))


def _scale(board: Board) -> tuple[float, float]:
    """The range of all intervals of the primary metric; (0, 1) if there are none."""
    pairs = list(filter(None, (row.artifact.intervals.get(board.rules.primary) for row in board.rows)))
    low, high = min((pair[0] for pair in pairs), default=0.0), max((pair[1] for pair in pairs), default=1.0)
    return (low, high) if high > low else (0.0, 1.0)


def _bar(board: Board, row: Row, scale: tuple[float, float]) -> str:
    """The interval of the primary metric as a line with a dot at the value, on the scale of all rows; empty if there is
    none."""
    primary, value = board.rules.primary, row.value(board.rules.primary)
    interval = row.artifact.intervals.get(primary)
    if interval is None or row.figures is not row.artifact.metrics:  # it holds only at the artifact's resolution
        return ""
    low, high = scale
    at: Callable[[float], float] = lambda x: 3 + (BAR_WIDTH - 6) * (x - low) / (high - low)  # noqa: E731
    text = f"{interval[0]:.4f} to {interval[1]:.4f}"
    dot = "" if value is None else f'<circle cx="{at(value):.1f}" cy="8" r="3" fill="var(--bar)"/>'
    return (
        f'<svg role="img" aria-label="{text}" width="{BAR_WIDTH}" height="16"><title>{text}</title>'
        f'<path d="M{at(interval[0]):.1f} 8H{at(interval[1]):.1f}" stroke="var(--bar)" stroke-width="2"/>{dot}</svg>'
    )


def _curve(name: str, points: Sequence[tuple[float, float]]) -> str:
    """The validation curve of a metric as (epoch, value) points; empty with fewer than two."""
    if len(points) < 2:
        return ""
    xs, ys = zip(*points, strict=True)
    spread_x, spread_y = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    at_x = [2 + (CURVE_WIDTH - 4) * (x - min(xs)) / spread_x for x in xs]
    at_y = [CURVE_HEIGHT - 2 - (CURVE_HEIGHT - 4) * (y - min(ys)) / spread_y for y in ys]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(at_x, at_y, strict=True))
    text = f"{escape(clean(metric(name).label))} from {four(ys[0])} to {four(ys[-1])}, best {four(max(ys))}"
    return (
        f'<svg role="img" aria-label="{text}" width="{CURVE_WIDTH}" height="{CURVE_HEIGHT}"><title>{text}</title>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )

"""The HTML page: everything of the board is in it, nothing comes from elsewhere, and it works in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from xray_tui.board.exports.html import to_html

from .place import board_of, put

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync"),
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs, one with an interval, one with a hostile name, and one without AUC."""
    first = {"dice_pos": 0.3, "roc_auc": 0.7, "threshold": 0.4, "intervals": {"dice_pos": [0.2, 0.4]}}
    put(tmp_path / "runs/a/test_metrics.json", first)
    put(tmp_path / "runs/<b onclick='x'>&`/test_metrics_tta_hv.json", {"dice_pos": 0.4, "roc_auc": 0.9})
    put(tmp_path / "runs/c/test_metrics.json", {"dice_pos": 0.35})
    return tmp_path / "runs"


def page(runs: Path) -> str:
    return to_html(board_of(runs), ["GPU 0 is <idle>"], "2026-02-15", {"a": ("dice_pos", ((1, 0.1), (2, 0.3)))})


class Cells(HTMLParser):
    """The texts of the cells of each line of the table, and every attribute of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_page_has_every_row_with_its_interval_and_curve(runs: Path) -> None:
    head, *rows = Cells(page(runs)).rows
    assert head[:5] == ["#", "Run", "Dice_pos", "IoU_pos", "ROC-AUC (presence)"]
    assert [row[:3] for row in rows] == [
        ["1", "<b onclick='x'>&`", "0.4000"],
        ["2", "c", "0.3500"],
        ["3", "a", "0.3000"],
    ]
    assert "0.2000 to 0.4000" in rows[2][8]
    assert "Dice_pos from 0.1000 to 0.3000" in rows[2][9]


def test_text_from_files_is_never_markup_and_nothing_comes_from_elsewhere(runs: Path) -> None:
    text = page(runs)
    names = {name for name, _ in Cells(text).attributes}
    assert not names & {"onclick", "src", "href", "srcset"}
    assert not re.search(r"url\(|@import|https?:", text)
    assert "GPU 0 is &lt;idle&gt;" in text


@pytest.mark.skipif(not os.environ.get("XRAY_TUI_LONG"), reason="starts a browser: make test-long")
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: chromium)")
def test_in_a_browser_heads_sort_and_words_filter(runs: Path, tmp_path: Path) -> None:
    script = """<script>
      const lines = () => [...document.querySelectorAll("tbody tr")].filter(row => !row.hidden);
      const shown = () => lines().map(row => row.cells[0].textContent);
      const heads = document.querySelectorAll("th button"), log = [];
      heads[4].focus(); heads[4].click(); log.push(shown());
      heads[2].click(); log.push(shown()); heads[2].click(); log.push(shown());
      const input = document.querySelector("#words");
      input.value = "C/ metrics"; input.dispatchEvent(new Event("input"));
      log.push(shown(), document.querySelector("#count").textContent);
      document.body.append(Object.assign(document.createElement("output"), {textContent: JSON.stringify(log)}));
    </script></html>"""
    file = put(tmp_path / "board.html", page(runs).replace("</html>", script))
    command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"<output>(.*?)</output>", done.stdout)
    assert found is not None, done.stdout[-500:]
    # by ROC-AUC (the missing one last), by Dice_pos downwards and upwards, then filtered
    assert found[1] == '[["1","3","2"],["1","2","3"],["3","2","1"],["2"],"1 of 3 runs"]'

"""Write the table of keys in docs/app.md from the app's own: `python scripts/docs_keys.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from xray_tui.keymap import COMMANDS, PLACES, shown_keys

PAGE = Path(__file__).parents[1] / "docs" / "app.md"
FIRST, LAST = "<!-- keys: made by scripts/docs_keys.py -->", "<!-- end of keys -->"


def table() -> str:
    """One Markdown table with a section for each place."""
    lines = ["| keys | what they do | id |", "|---|---|---|"]
    for place, heading in PLACES.items():
        lines.append(f"| **{heading}** | | |")
        for command in COMMANDS:
            if command.place == place:
                keys = " ".join(f"`{key}`" for key in shown_keys(command.keys).split()).replace("|", "\\|")
                lines.append(f"| {keys} | {command.meaning} | `{command.id}` |")
    return "\n".join(lines)


def main() -> int:
    """Write the table; with --check only compare, with exit status 1 if the page is out of date."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(FIRST)
    made = f"{before}{FIRST}\n{table()}\n{LAST}{rest.split(LAST)[1]}"
    if "--check" in sys.argv[1:]:
        return int(made != text)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

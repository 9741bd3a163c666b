"""A picture of the app on a runs folder, for the README: `python scripts/picture.py RUNS OUTPUT.svg [KEYS …]`.

It is taken from the real app, at 140x42, after what it shows has been the same for a second. For pictures on a machine
without GPUs, a stand-in libnvidia-ml.so.1 on LD_LIBRARY_PATH may provide some; the caption then says so.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from xray_tui.app.app import XrayApp
from xray_tui.settings import Settings

SIZE = (140, 42)
PATIENCE_S = 8.0


async def take(runs: Path, output: Path, keys: list[str]) -> None:
    """Open the app on the runs, press the keys, wait until nothing moves, and save what it shows."""
    app = XrayApp(runs, Settings())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app)
        for key in keys:
            await pilot.press(key)
            await settle(app)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(app.export_screenshot(title="xray-tui"), "utf-8")


async def settle(app: XrayApp) -> None:
    """Wait until the screen has been the same for a second, at most PATIENCE_S."""
    before, still = "", 0
    for _ in range(round(PATIENCE_S / 0.25)):
        await asyncio.sleep(0.25)
        now = app.export_screenshot()
        still = still + 1 if now == before else 0
        before = now
        if still >= 4:
            return


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))

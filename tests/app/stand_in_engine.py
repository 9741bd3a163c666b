"""A stand-in for `xray-engine`: grey squares, fixed figures, and a failure for paths that contain `broken`."""

import base64
import json
import sys
from pathlib import Path

command, *arguments = sys.argv[1:]
if any("broken" in word for word in arguments):
    sys.exit(f"{Path(arguments[0]).name}: no probabilities; `xray-engine evaluate --run x` makes them")
output = Path(arguments[arguments.index("--output") + 1]) if "--output" in arguments else Path()
if command == "cases":
    output.write_text("<html>")
    print(f"{output}: 24 images")
elif command == "compare":
    runs = [{"run": name, "threshold": 0.5, "tta_mode": "hv", "dice_pos": 0.4} for name in arguments[:-2]]
    entry = {"difference": -0.1, "interval": [-0.2, -0.05]}
    pair = {"metrics": {"dice_pos": entry}, "p_dice_pos": 0.0123, "won": 1, "lost": 2, "most_won": {"b": 0.25}}
    differences = [{"run": run["run"], "most_lost": {"a": -0.5}, **pair} for run in runs[1:]]
    config = {"training.lr": ["0.001", *["(absent)"] * len(differences)]}
    found = {"images": 4, "positives": 3, "runs": runs, "differences": differences, "config": config}
    output.write_text(json.dumps(found))
else:
    figures = {"a": (True, 0.5, 0), "b": (True, 0.0, 0), "c": (True, 0.25, 0), "d": (False, None, 7)}
    cases = [
        {"id": name, "fractured": fractured, "missed": dice == 0.0, "dice": dice, "fp": fp, "presence": 0.5}
        for name, (fractured, dice, fp) in figures.items()
    ]
    print(json.dumps({"threshold": 0.5, "cases": cases}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        rows, columns = (8, 16) if asked["zoom"] else (4, 8)
        pixels = bytearray([128] * 3 * rows * columns)
        pixels[:12] = (0, 158, 255, 255, 140, 0, 0, 0, 0, 255, 255, 255)
        answer = {"id": asked["id"], "dice": asked["threshold"], "rows": rows, "columns": columns}
        print(json.dumps({**answer, "pixels": base64.b64encode(pixels).decode()}), flush=True)

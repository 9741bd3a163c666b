"""`xray-engine compare`: two or more runs side by side, with paired differences on the same test images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.metrics import metric
from engine.contract.names import ARTIFACT_GLOB, CONFIG, SCHEMA
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.evaluation.config_check import flat
from engine.evaluation.metrics import Confusion, resampled_presence, resampled_segmentation

COMPARED = ("dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "precision_pos", "recall_pos")
PERMUTATIONS = 10_000
TOLERANCE = 1e-5
"""Largest difference between an artifact's dice_pos and that of its per-image table, whose values have six decimals."""
ABSENT = "(absent)"
MOST_IMAGES = 10
"""Number of images to list for each pair, in each direction."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Result:
    """A test artifact with its per-image table, indexed by id."""

    name: str
    path: Path
    artifact: Mapping[str, Any]
    images: pd.DataFrame
    config: Mapping[str, Any]
    """Dotted keys; empty without a config.yaml."""

    @property
    def fractured(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.images.fractured == 1)

    @property
    def counts(self) -> Confusion:
        """The pixel counts of each image; their total numbers of pixels are unknown and not needed."""
        tp, fp, fn = (self.images[name].to_numpy(np.int64) for name in ("tp", "fp", "fn"))
        return Confusion(tp, fp, fn, np.zeros_like(tp))


def compare(places: Sequence[Path], resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Compare runs, or artifacts, with the first. Raises BadInput if tables are missing, contradict their artifacts or
    have other images.

    Differences have 95 % percentile intervals of a paired bootstrap over images. p-values are those of a two-sided
    permutation test of the mean Dice over images with a fracture, in which the signs of the differences are flipped at
    random; they are corrected for the number of runs by Holm's method (Holm 1979).
    """
    results = [read_result(place) for place in places]
    _check_same_images(results)
    first, *others = results
    ids = first.images.index
    results = [first, *(Result(r.name, r.path, r.artifact, r.images.loc[ids], r.config) for r in others)]
    first, *others = results
    generator = np.random.default_rng(seed)
    strata = [np.flatnonzero(first.fractured == flag) for flag in (True, False)]
    weights = np.zeros((resamples, len(ids)))
    for row in weights:
        for units in filter(len, strata):
            row[units] = np.bincount(generator.integers(len(units), size=len(units)), minlength=len(units))
    resampled = [_resampled(result, weights) for result in results]
    p_values = _holm([_permutation_p(first, other, generator) for other in others])
    return {
        "images": len(ids),
        "positives": int(first.fractured.sum()),
        "resamples": resamples,
        "runs": [_described(result) for result in results],
        "differences": [
            {
                "run": other.name,
                "metrics": _differences(first, other, resampled[0], values),
                "p_dice_pos": p,
                **_wins(first, other),
            }
            for other, values, p in zip(others, resampled[1:], p_values, strict=True)
        ],
        "config": _config_differences(results),
    }


def read_result(place: Path) -> Result:
    """The artifact of a file, or of a run: the one with the best dice_pos on validation, then the newest."""
    if place.is_dir():
        paths = [path for path in place.glob(ARTIFACT_GLOB) if _schema_of(path) == SCHEMA]
        if not paths:
            raise BadInput(f"{clean(str(place))}: no test artifact; evaluate the run first")
        place = max(paths, key=_validation)
    try:
        artifact = json.loads(place.read_text("utf-8"))
        table = place.with_name(artifact["per_image"])
        images = pd.read_csv(table, index_col="id", dtype={"id": str})
    except KeyError:
        raise BadInput(f"{clean(str(place))}: names no per-image table; evaluate the run again") from None
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{clean(str(place))}: no per-image table: {clean(str(error))}") from None
    if not {"fractured", "dice", "tp", "fp", "fn", "presence_score"} <= set(images.columns) or images.tp.isna().any():
        raise BadInput(f"{clean(str(table))}: expected pixel counts; a classifier cannot be compared by Dice")
    dice, stated = float(images.dice[images.fractured == 1].mean()), artifact.get("dice_pos", float("nan"))
    if not abs(dice - stated) <= TOLERANCE:
        raise BadInput(f"{clean(str(place))}: dice_pos {stated:.6f}, but its table has {dice:.6f}; evaluate it again")
    config = place.parent / CONFIG
    return Result(place.parent.name, place, artifact, images, flat(read_mapping(config)) if config.is_file() else {})


def _schema_of(path: Path) -> object:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value.get("schema") if isinstance(value, dict) else None


def _validation(path: Path) -> tuple[float, int]:
    validation = json.loads(path.read_text("utf-8")).get("validation")
    return (float(validation.get("dice_pos", -1.0)) if isinstance(validation, dict) else -1.0, path.stat().st_mtime_ns)


def _check_same_images(results: Sequence[Result]) -> None:
    first, lines = results[0], []
    if len(results) < 2:
        raise BadInput("compare: expected two or more runs")
    for other in results[1:]:
        different = first.images.index.symmetric_difference(other.images.index)
        if len(different):
            examples = ", ".join(map(clean, different[:3]))
            lines.append(f"{clean(str(other.path))}: {len(different)} images are not in both tables: {examples}")
        elif (first.images.fractured != other.images.fractured.loc[first.images.index]).any():
            lines.append(f"{clean(str(other.path))}: other labels than {clean(str(first.path))}")
    if lines:
        raise BadInput(lines)


def _resampled(result: Result, weights: Floats) -> dict[str, Floats]:
    scores = result.images.presence_score.to_numpy(np.float64)
    masks = resampled_segmentation(result.counts, weights)
    return masks | resampled_presence(scores, result.fractured, weights)


def _differences(
    first: Result, other: Result, ours: Mapping[str, Floats], theirs: Mapping[str, Floats]
) -> dict[str, dict[str, Any]]:
    """{metric: {difference, interval}}, other minus first, for metrics that both artifacts report."""
    found: dict[str, dict[str, Any]] = {}
    for name in COMPARED:
        if name in first.artifact and name in other.artifact:
            values = theirs[name] - ours[name]
            interval = [float(level) for level in np.nanpercentile(values, (2.5, 97.5))]
            found[name] = {"difference": other.artifact[name] - first.artifact[name], "interval": interval}
    return found


def _permutation_p(first: Result, other: Result, generator: np.random.Generator) -> float:
    """The p-value of the mean difference of Dice over images with a fracture; 1 if all differences are 0."""
    differences = (other.images.dice - first.images.dice)[first.fractured].to_numpy(np.float64)
    observed = abs(differences.mean())
    signs = generator.integers(0, 2, (PERMUTATIONS, len(differences)), np.int8) * 2 - 1
    extreme = int((np.abs(signs @ differences) / len(differences) >= observed - 1e-12).sum())
    return (extreme + 1) / (PERMUTATIONS + 1)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: each p-value times the number of those that are not smaller, made monotonic."""
    corrected, highest = list(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _wins(first: Result, other: Result) -> dict[str, Any]:
    """How many images with a fracture each run wins, and those with the largest differences."""
    difference = (other.images.dice - first.images.dice)[first.fractured].sort_values()
    lost, won = difference[difference < 0], difference[difference > 0][::-1]
    return {
        "won": len(won),
        "lost": len(lost),
        "most_won": {str(name): float(value) for name, value in won[:MOST_IMAGES].items()},
        "most_lost": {str(name): float(value) for name, value in lost[:MOST_IMAGES].items()},
    }


def _config_differences(results: Sequence[Result]) -> dict[str, list[str]]:
    """{key: its value in each run} for keys that differ. A key that is absent is told apart from null, 0 and false."""
    found = {}
    for key in sorted({key for result in results for key in result.config} - {"name", "description"}):
        values = [json.dumps(result.config[key], default=str) if key in result.config else ABSENT for result in results]
        if len(set(values)) > 1:
            found[key] = values
    return found


def _described(result: Result) -> dict[str, Any]:
    names = ("threshold", "tta_mode", *COMPARED)
    figures = {name: result.artifact[name] for name in names if result.artifact.get(name) is not None}
    return {"run": result.name, "artifact": str(result.path), **figures}


def write_comparison(found: Mapping[str, Any], output: Path | None) -> None:
    """Write the comparison as JSON, CSV (the differences) or Markdown, by the suffix; without a file print Markdown."""
    if output is None:
        print(to_markdown(found), end="")
        return
    if output.suffix not in (".json", ".csv", ".md"):
        raise BadInput(f"--output {clean(str(output))}: expected a file that ends in .md, .csv or .json")
    if output.suffix == ".json":
        write_whole(output, json.dumps(found, indent=2, allow_nan=False) + "\n")
    elif output.suffix == ".csv":
        lines = [
            {"run": pair["run"], "metric": name, "difference": entry["difference"], "low": entry["interval"][0],
             "high": entry["interval"][1], "p": pair["p_dice_pos"] if name == "dice_pos" else None}
            for pair in found["differences"] for name, entry in pair["metrics"].items()
        ]  # fmt: skip
        write_whole(output, str(pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")))
    else:
        write_whole(output, to_markdown(found))
    print(clean(str(output)), flush=True)


def to_markdown(found: Mapping[str, Any]) -> str:
    """The comparison as Markdown: figures, differences to the first run, images, and config keys that differ."""
    runs, shown = found["runs"], [name for name in COMPARED if any(name in run for run in found["runs"])]
    first = _code(runs[0]["run"])
    lines = [
        f"# Comparison with {first}",
        "",
        f"{found['images']} images, {found['positives']} with a fracture. In brackets: the difference and its "
        f"95 % interval (paired bootstrap over images, {found['resamples']} resamples). "
        "p: permutation test of Dice, Holm-corrected.",
        "",
        "| Run | " + " | ".join(metric(name).label for name in shown) + " | p |",
        "|---|" + "---:|" * (len(shown) + 1),
        f"| {first} | " + " | ".join(_four(runs[0].get(name)) for name in shown) + " | |",
    ]
    for run, pair in zip(runs[1:], found["differences"], strict=True):
        cells = [f"{_four(run.get(name))}{_difference(pair['metrics'].get(name))}" for name in shown]
        lines.append(f"| {_code(run['run'])} | " + " | ".join(cells) + f" | {pair['p_dice_pos']:.4f} |")
    for pair in found["differences"]:
        lines += ["", f"{_code(pair['run'])} has the higher Dice in {pair['won']} images, {first} in {pair['lost']}."]
        for title, images in (("Most gained", pair["most_won"]), ("Most lost", pair["most_lost"])):
            if images:
                lines.append(f"{title}: {', '.join(f'{_code(name)} {value:+.3f}' for name, value in images.items())}.")
    if found["config"]:
        heads = " | ".join(_code(run["run"]) for run in runs)
        lines += ["", f"| Config key | {heads} |", "|---|" + "---|" * len(runs)]
        lines += [
            f"| {_code(key)} | " + " | ".join(map(_code, values)) + " |" for key, values in found["config"].items()
        ]
    return "\n".join(lines) + "\n"


def _four(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _difference(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    return f" ({entry['difference']:+.4f} [{entry['interval'][0]:+.4f}, {entry['interval'][1]:+.4f}])"


def _code(text: str) -> str:
    return f"`{clean(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"

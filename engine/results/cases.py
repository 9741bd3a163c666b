"""`xray-engine cases`: one HTML page with the worst test images of a run, as pictures with outlines and figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.text import clean
from engine.process.progress import Progress
from engine.results.compare import read_result
from engine.results.pictures import MASK_COLOUR, PREDICTION_COLOUR, Colours, Pictures, box_around, draw

SIZE = 360
"""Side of a picture in pixels."""

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem; }}
figure {{ margin: 0; }} img {{ max-width: 49%; }} figcaption {{ font-variant-numeric: tabular-nums; }}
.mask {{ border-bottom: 3px solid rgb{mask}; }} .prediction {{ border-bottom: 3px dashed rgb{prediction}; }}
</style>
<h1>{title}</h1>
<p>{text} <span class="mask">mask</span>, <span class="prediction">prediction</span> at threshold {threshold:g}.</p>
<main>
{figures}
</main></html>
"""


def write_cases(
    place: Path, output: Path, *, against: Path | None, worst: int, missed: bool, false_positives: bool
) -> None:
    """Write the page for a run or artifact; only its owner may read it. It holds ids, but no paths.

    `worst` images with a fracture come first, by Dice, or, with `against`, by how much lower it is than that run's.
    `missed` adds all images with a fracture of which no pixel was found, `false_positives` images without a fracture
    on which something was predicted, the largest area first.
    """
    pictures = Pictures(read_result(place).path)
    other = None if against is None else Pictures(read_result(against).path)
    chosen = list(dict.fromkeys(_choose(pictures, other, worst, missed, false_positives)))
    if not chosen:
        raise BadInput("cases: no image to show; ask for --worst N, --missed or --false-positives")
    figures = []
    with Progress("draw", len(chosen), "images") as progress:
        for identity in chosen:
            figures.append(_figure(pictures, other, identity))
            progress.advance()
    name, rival = clean(pictures.run.name), "" if other is None else f" against {clean(other.run.name)}"
    text = f"{len(chosen)} of {len(pictures.cases)} test images; the left picture is the whole, the right the lesion."
    text += "" if other is None else f" The second pair is {clean(other.run.name)}."
    page = _PAGE.format(
        title=escape(f"Cases of {name}{rival}"),
        text=escape(text),
        threshold=pictures.threshold,
        mask=MASK_COLOUR,
        prediction=PREDICTION_COLOUR,
        figures="\n".join(figures),
    )
    write_whole(output, page)
    output.chmod(0o600)
    print(f"{clean(str(output))}: {len(chosen)} images", flush=True)


def _choose(
    pictures: Pictures, other: Pictures | None, worst: int, missed: bool, false_positives: bool
) -> Iterator[str]:
    cases = pictures.cases
    dice: pd.Series[float] = cases.dice[cases.fractured == 1]
    if other is not None:
        dice = (dice - other.cases.dice).dropna()
    yield from dice.sort_values(kind="stable").index[:worst]
    if missed:
        yield from cases.index[(cases.fractured == 1) & (cases.tp == 0)]
    if false_positives:
        yield from cases.fp[(cases.fractured == 0) & (cases.fp > 0)].sort_values(ascending=False, kind="stable").index


def _figure(pictures: Pictures, other: Pictures | None, identity: str) -> str:
    parts = []
    for shown in filter(None, (pictures, other)):
        image, mask = shown.image(identity), shown.mask(identity)
        predicted = shown.probabilities(identity) >= shown.threshold
        box = box_around(mask) or box_around(predicted)
        whole = draw(image, mask, predicted, (SIZE, SIZE), width=2)
        parts.append(_picture(whole, f"{identity}, {clean(shown.run.name)}"))
        parts.append(_picture(draw(image, mask, predicted, (SIZE, SIZE), box, width=2), f"{identity}, enlarged"))
        case = shown.cases.loc[identity]
        dice = f"Dice {case.dice:.3f}" if case.fractured else f"no fracture, {int(case.fp)} pixels predicted"
        parts.append(f"<figcaption>{escape(clean(identity))}: {dice}, presence {case.presence_score:.3f}</figcaption>")
    return f"<figure>{''.join(parts)}</figure>"


def _picture(pixels: Colours, text: str) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(clean(text), quote=True)}" src="data:image/png;base64,{data}">'

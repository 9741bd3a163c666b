"""Turns the bytes of one test_metrics file into an `Artifact`, or a `Rejected` with the reason. Never raises.

It reads test_metrics v1 and older formats with other metric names, upper-case keys, nested blocks, or search results.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from engine.contract.formats import newer
from engine.contract.metrics import metric
from engine.contract.names import SCHEMA
from engine.contract.text import clean
from xray_tui.board.model import Artifact, Rejected
from xray_tui.board.nearest_keys import nearest_keys
from xray_tui.board.rules import LARGEST_COUNT, Rules

LARGEST = 32 << 20
"""Maximum size of an artifact in bytes."""
MOST_CHOICES = 50
"""Maximum number of entries to keep of `selection`."""

_COUNTS = {"num_samples": ("num_samples", "num_cases", "num_images"), "num_positive": ("num_positive",)}
_NAMED_TTA = re.compile(r"_tta_(none|hv|h|v|d4)(?![a-z0-9])")
_NAMED_THRESHOLD = re.compile(r"_thr(\d{2,7})(?!\d)")


class NotComparable(Exception):
    """The file is unranked; the message is the reason."""


def run_of(path: str) -> str:
    """The run of an artifact: its folder, or its name without the suffix if it is directly in the runs folder."""
    folder, _, name = path.rpartition("/")
    return folder or name.rpartition(".")[0] or name


def rejected(path: str, reason: str) -> Rejected:
    return Rejected(path, run_of(path), clean(reason))


def excluded(path: str, rules: Rules) -> Rejected | None:
    """A rejection if `exclude` of the rules matches the path, otherwise None. Does not read the file."""
    word = rules.excluded_by(path)
    return None if word is None else rejected(path, f"its path contains {word}")


def read_artifact(data: bytes, path: str, mtime: float, rules: Rules) -> Artifact | Rejected:
    """Check the content of one file. `path` is relative to the runs folder."""
    if (rejection := excluded(path, rules)) is not None:
        return rejection
    try:
        document = Document(parse(data), rules)
        if (reason := newer(document.top.get("schema"), SCHEMA)) is not None:
            raise NotComparable(reason)
        value = document.primary()
        document.check_selection()
        document.check_pins()
    except NotComparable as problem:
        return rejected(path, str(problem))
    resolution, table = _word(document.data.get("metric_resolution")), document.top.get("per_image")
    return Artifact(
        path=path,
        run=run_of(path),
        metrics={**document.metrics(), rules.primary: value},
        mtime=mtime,
        validation=document.metrics("validation"),
        input_size=document.metrics("input"),
        threshold=document.threshold(path),
        tta=document.tta(path),
        selection=document.choices(),
        intervals=document.intervals(),
        num_samples=document.count("num_samples"),
        num_positive=document.count("num_positive"),
        fingerprint=document.fingerprint(),
        resolution=resolution if resolution in ("native", "input") else None,
        created=_time(document.block("provenance").get("created")),
        per_image=table if isinstance(table, str) and table else None,
    )


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in the bytes. Raises NotComparable if they contain none."""
    if len(data) > LARGEST:
        raise NotComparable(f"too large; expected at most {LARGEST >> 20} MiB")
    if not data.strip():
        raise NotComparable("the file is empty")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise NotComparable(f"not UTF-8 text (byte {error.start + 1} is 0x{data[error.start]:02x})") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise NotComparable("not JSON: incomplete (truncated, or still being written)") from None
        raise NotComparable(f"not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NotComparable("not readable: nested too deeply") from None
    except ValueError:
        raise NotComparable("not readable: a number in it is too long") from None
    if not isinstance(value, dict):
        raise NotComparable(f"expected a JSON object, got {_kind(value)}")
    return value


class Document:
    """A parsed artifact with keys in lower case, read with the metric names and places of the rules."""

    def __init__(self, document: dict[str, Any], rules: Rules) -> None:
        self.rules = rules
        self.top = _lowered(document)
        self.selection = self.block("selection")
        self.data = self.block("data")
        self.blocks = [self.top, *filter(None, (self.block(*place) for place in rules.all_places))]
        self.hits = self._hits(self.blocks)

    def block(self, *place: str) -> dict[str, Any]:
        """The block under these keys; empty if there is none."""
        block: Any = self.top
        for key in place:
            block = block.get(key)
            if not isinstance(block, dict):
                return {}
            block = _lowered(block)
        return block  # type: ignore[no-any-return]

    def find(self, *names: str) -> Any:
        """The first value under one of the names, searched block by block. Null counts as missing."""
        values = (block.get(name) for block in self.blocks for name in names)
        return next((value for value in values if value is not None), None)

    def primary(self) -> float:
        """The primary metric. Raises NotComparable if it is missing or invalid."""
        name, known = self.rules.primary, self.rules.metric
        value = self.hits.get(name)
        if value is None:
            is_classifier = _word(self.top.get("kind")) == "classifier"
            hint = ": a classifier predicts a presence score and no mask" if is_classifier else ""
            raise NotComparable(f"{name} is missing{hint or nearest_keys(self.top, self.rules)}")
        if type(value) not in (int, float):
            raise NotComparable(f"{name} is {_kind(value)}, not a number")
        number = _finite(value)
        if number is None:
            raise NotComparable(f"{name} is {'NaN' if value != value else 'infinite'}")
        clipped = known.clipped(number)
        if clipped is None:
            limit = f"at least {known.low:g}" if known.low is not None else f"at most {known.high:g}"
            if known.low is not None and known.high is not None:
                limit = f"{known.low:g} to {known.high:g}"
            raise NotComparable(f"{name}: expected {limit}, got {number:g}")
        return clipped

    def check_selection(self) -> None:
        if _word(self.selection.get("threshold_source")) == "test":
            raise NotComparable("its threshold was chosen on the test split (selection.threshold_source)")
        if _word(self.selection.get("selected_on")) == "test":
            raise NotComparable("its settings were chosen on the test split (selection.selected_on)")
        if overlap := self.block("data", "overlap"):
            count = _finite(overlap.get("count"))
            images = "validation or test images" if count is None else f"{count:.0f} of its validation or test images"
            raise NotComparable(f"trained on {images} (data.overlap)")
        trials = _finite(self.top.get("num_rows"))
        if _word(self.top.get("split")) == "test" and trials is not None and trials > 1:
            raise NotComparable(f"best of {trials:.0f} trials on the test split (split, num_rows)")

    def check_pins(self) -> None:
        pinned, own = self.rules.data_fingerprint, self.fingerprint()
        if pinned is not None and own is not None and own != clean(pinned):
            raise NotComparable(f"scored on other data: board.yaml expects fingerprint {pinned[:24]}, got {own[:24]}")
        for name, expected in self.rules.expect.items():
            count = self.count(name)
            if count is not None and count != expected:
                raise NotComparable(f"{name}: board.yaml expects {expected}, got {count}")

    def fingerprint(self) -> str | None:
        return _text(self.data.get("fingerprint"), 100)

    def count(self, name: str) -> int | None:
        """The value of `num_samples` or `num_positive`; None if it is missing or invalid."""
        number = _finite(self.find(*_COUNTS[name]))
        return int(number) if number is not None and 0 <= number <= LARGEST_COUNT else None

    def metrics(self, block: str | None = None) -> dict[str, float]:
        """The valid metrics of the whole document or of one block. Values out of range count as missing."""
        valid = {}
        for name, value in (self.hits if block is None else self._hits([self.block(block)])).items():
            if (number := _finite(value)) is not None and (clipped := metric(name).clipped(number)) is not None:
                valid[name] = clipped
        return valid

    def _hits(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        """Maps each metric to its value in the first block that has one. There, its own name precedes its aliases."""
        hits: dict[str, Any] = {}
        meanings = self.rules.meanings
        for block in blocks:
            named = [(*meanings[key], value) for key, value in block.items() if value is not None and key in meanings]
            for name, _, value in sorted(named, key=lambda hit: hit[1]):
                hits.setdefault(name, value)
        return hits

    def intervals(self) -> dict[str, tuple[float, float]]:
        intervals = {}
        for word, pair in self.block("intervals").items():
            name, _ = self.rules.meanings.get(word, (None, 0))
            if name is not None and isinstance(pair, list) and len(pair) == 2:
                low, high = map(_finite, pair)
                if low is not None and high is not None and low <= high:
                    intervals[name] = (low, high)
        return intervals

    def threshold(self, path: str) -> float | None:
        value = _finite(self.find("threshold"))
        if value is None:
            value = _finite(self.selection.get("threshold"))
        if value is None and (match := _NAMED_THRESHOLD.search(path.rpartition("/")[2])):
            value = float(f"{match[1][0]}.{match[1][1:]}")
        return value if value is not None and 0.0 <= value <= 1.0 else None

    def tta(self, path: str) -> str | None:
        mode = _text(self.find("tta_mode", "tta"), 20)
        match = _NAMED_TTA.search(path.rpartition("/")[2])
        return match[1] if mode is None and match else mode

    def choices(self) -> dict[str, str | float | None]:
        """The texts and numbers of `selection`."""
        entries = islice(self.selection.items(), MOST_CHOICES)
        return {
            clean(key): _text(value, 200) if isinstance(value, str) else _finite(value)
            for key, value in entries
            if value is None or isinstance(value, str | int | float)
        }


def _lowered(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with keys in lower case. Of keys that differ only in case, the first non-null value wins."""
    lowered: dict[str, Any] = {}
    for key, value in block.items():
        word = key.lower()
        if lowered.get(word) is None:
            lowered[word] = value
    return lowered


def _finite(value: Any) -> float | None:
    """A finite JSON number as a float; None for anything else, including booleans and numbers in quotes."""
    if type(value) not in (int, float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _kind(value: Any) -> str:
    names = {str: "text", bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _word(value: Any) -> str:
    return clean(value.strip().lower()) if isinstance(value, str) else ""


def _text(value: Any, length: int) -> str | None:
    return clean(value)[:length] if isinstance(value, str) and value else None


def _time(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return None

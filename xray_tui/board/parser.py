"""A test_metrics file parsed: its metrics, counts and choices, wherever an older tool put them and under what name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from engine.contract.formats import newer
from engine.contract.metrics import Metric, metric
from engine.contract.names import SCHEMA
from engine.contract.text import clean
from xray_tui.board.rules import LARGEST_COUNT, Rules

LARGEST = 32 << 20
"""Bytes; a file above that is no artifact."""
MOST_CHOICES = 50
"""Entries of `selection` that are kept."""

_COUNTS = {"num_samples": ("num_samples", "num_cases", "num_images"), "num_positive": ("num_positive",)}
_NAMED_TTA = re.compile(r"_tta_(none|hv|h|v|d4)(?![a-z0-9])")
_NAMED_THRESHOLD = re.compile(r"_thr(\d{2,7})(?!\d)")


class NotComparable(Exception):
    """Why this file does not rank."""


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in the bytes. Raises NotComparable where there is none."""
    if len(data) > LARGEST:
        raise NotComparable(f"over {LARGEST >> 20} MiB; that is no artifact")
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
            raise NotComparable("not JSON: it ends in the middle (truncated, or still being written)") from None
        raise NotComparable(f"not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NotComparable("not readable: nested too deeply") from None
    except ValueError:
        raise NotComparable("not readable: a number in it is too long") from None
    if not isinstance(value, dict):
        raise NotComparable(f"holds {_kind(value)}; an object is right")
    return value


class Document:
    """A parsed artifact, its keys in lower case, asked by the rules' names and places."""

    def __init__(self, document: dict[str, Any], rules: Rules) -> None:
        self.rules = rules
        self.top = _lowered(document)
        self.selection = self.block("selection")
        self.data = self.block("data")
        self.blocks = [self.top]
        for place in rules.all_places:
            if place[0] in self.top and (block := self._at(place)) is not None:
                self.blocks.append(block)
        self.hits = self._hits(self.blocks)

    def _at(self, place: tuple[str, ...]) -> dict[str, Any] | None:
        block: Any = self.top
        for key in place:
            value = block.get(key)
            if not isinstance(value, dict):
                return None
            block = _lowered(value)
        return block  # type: ignore[no-any-return]

    def block(self, name: str) -> dict[str, Any]:
        value = self.top.get(name)
        return _lowered(value) if isinstance(value, dict) else {}

    def find(self, *names: str) -> Any:
        """The first value that is there under one of the names, place by place; null counts as absent."""
        for block in self.blocks:
            for name in names:
                value = block.get(name)
                if value is not None:
                    return value
        return None

    def check_format(self) -> None:
        if (reason := newer(self.top.get("schema"), SCHEMA)) is not None:
            raise NotComparable(reason)

    def primary(self) -> float:
        name = self.rules.primary
        value = self.hits.get(name)
        if value is None:
            why = (
                ": a classifier has a presence score and no mask" if _word(self.top.get("kind")) == "classifier" else ""
            )
            raise NotComparable(f"{name} is missing{why}")
        number = _number(value)
        if number is None:
            raise NotComparable(f"{name} is {_kind(value)}, not a number")
        if not math.isfinite(number):
            raise NotComparable(f"{name} is {'NaN' if math.isnan(number) else 'infinite'}")
        if not self.rules.metric.holds(number):
            raise NotComparable(f"{name} is {number:g}; {_range(self.rules.metric)} is right")
        return number

    def check_selection(self) -> None:
        if _word(self.selection.get("threshold_source")) == "test":
            raise NotComparable("its threshold was chosen on the test split (selection.threshold_source)")
        if _word(self.selection.get("selected_on")) == "test":
            raise NotComparable("it was chosen on the test split (selection.selected_on)")
        tries = _number(self.top.get("num_rows"))
        if _word(self.top.get("split")) == "test" and tries is not None and tries > 1:
            raise NotComparable(f"searched on the test split: the best of {tries:.0f} tries (split, num_rows)")

    def check_pins(self) -> None:
        pinned, own = self.rules.data_fingerprint, self.fingerprint()
        if pinned is not None and own is not None and own != clean(pinned):
            raise NotComparable(f"scored on other data: fingerprint {own[:24]}, board.yaml pins {pinned[:24]}")
        for name, expected in self.rules.expect.items():
            count = self.count(name)
            if count is not None and count != expected:
                raise NotComparable(f"{name} is {count}; board.yaml expects {expected}")

    def fingerprint(self) -> str | None:
        return _text(self.data.get("fingerprint"), 100)

    def count(self, name: str) -> int | None:
        """`num_samples` or `num_positive`."""
        number = _number(self.find(*_COUNTS[name]))
        return int(number) if number is not None and 0 <= number <= LARGEST_COUNT else None

    def metrics(self, block: str | None = None) -> dict[str, float]:
        """The metrics that are numbers in their range, of the whole document or one block; others count as absent."""
        found = {}
        for name, value in (self.hits if block is None else self._hits([self.block(block)])).items():
            number = _number(value)
            if number is not None and math.isfinite(number) and metric(name).holds(number):
                found[name] = number
        return found

    def _hits(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        """metric -> its value in the first block that has one; in a block the metric's own name goes before aliases."""
        found: dict[str, Any] = {}
        meanings = self.rules.meanings
        for block in blocks:
            here: dict[str, tuple[int, Any]] = {}
            for key, value in block.items():
                if value is not None and key in meanings:
                    name, order = meanings[key]
                    if name not in found and (name not in here or order < here[name][0]):
                        here[name] = (order, value)
            for name, (_, value) in here.items():
                found[name] = value
        return found

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {}
        for word, pair in self.block("intervals").items():
            name, _ = self.rules.meanings.get(word, (None, 0))
            if name is not None and isinstance(pair, list) and len(pair) == 2:
                low, high = _number(pair[0]), _number(pair[1])
                if low is not None and high is not None and math.isfinite(high - low) and low <= high:
                    found[name] = (low, high)
        return found

    def threshold(self, path: str) -> float | None:
        value = _number(self.find("threshold"))
        if value is None:
            value = _number(self.selection.get("threshold"))
        if value is None and (named := _NAMED_THRESHOLD.search(path.rpartition("/")[2])):
            digits = named[1]
            value = float(f"{digits[0]}.{digits[1:]}")
        return value if value is not None and 0.0 <= value <= 1.0 else None

    def tta(self, path: str) -> str | None:
        given = _text(self.find("tta_mode", "tta"), 20)
        if given is None and (named := _NAMED_TTA.search(path.rpartition("/")[2])):
            return named[1]
        return given

    def choices(self) -> dict[str, str | float | None]:
        kept: dict[str, str | float | None] = {}
        for name, value in islice(self.selection.items(), MOST_CHOICES):
            if value is None:
                kept[clean(name)] = None
            elif isinstance(value, str):
                kept[clean(name)] = (_word(value) if name == "threshold_source" else _text(value, 200)) or None
            elif (number := _number(value)) is not None and math.isfinite(number):
                kept[clean(name)] = number
        return kept

    def resolution(self) -> str | None:
        """At which resolution the metrics were scored: "native" or "input", or None where it does not say."""
        said = _word(self.data.get("metric_resolution"))
        return said if said in ("native", "input") else None

    def created(self) -> float | None:
        """Seconds since the epoch, by the document's own word."""
        return _time(self.block("provenance").get("created"))

    def per_image(self) -> str | None:
        """The per-image table, as the document names it."""
        table = self.top.get("per_image")
        return table if isinstance(table, str) and table else None


def _lowered(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with keys in lower case; of keys that differ only in case the first that is not null wins."""
    lowered: dict[str, Any] = {}
    for key, value in block.items():
        word = key.lower()
        if lowered.get(word) is None:
            lowered[word] = value
    return lowered


def _number(value: Any) -> float | None:
    """A JSON number as a float; true, false and numbers in quotes are none."""
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return None


def _kind(value: Any) -> str:
    names = {str: "text", bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _range(known: Metric) -> str:
    if known.low is not None and known.high is not None:
        return f"{known.low:g} to {known.high:g}"
    return f"at least {known.low:g}" if known.low is not None else f"at most {known.high:g}"


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

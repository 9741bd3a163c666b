"""The filter language: `dice_pos>0.3 encoder~lite0 tta=hv seed=42,1337`. Pure functions.

Terms separated by blanks must all hold; `or` separates alternatives, `not` negates the next term. A term is a word of
the run's name or path, `has:KEY`, or KEY OPERATOR VALUES with = != ~ !~ < > <= >=. A comma means "any of", and double
quotes keep blanks and commas. Text is compared without regard to case, and numbers as numbers. A missing value matches
only != and !~.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.board.model import Row
from xray_tui.board.values import Lookup, Scalar

_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TERM = re.compile(r"([\w.@/-]+)(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_VALUE = re.compile(r'(?:[^,"]|"[^"]*"?)+')
WORD, HAS = "word", "has"
"""The operators of a bare word and of `has:KEY`."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `values` are alternatives; a bare word has no key."""

    key: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False


Filter = tuple[tuple[Term, ...], ...]
"""Alternatives, in each of which all terms must hold. An empty filter matches every row."""


def parse_filter(text: str) -> Filter:
    """Parse a filter. Raises BadInput for a missing value, text in place of a number, or a lone `or` or `not`."""
    alternatives: list[list[Term]] = [[]]
    negated = False
    for token in _TOKEN.findall(text):
        if token.lower() == "not":
            negated = not negated
        elif token.lower() == "or":
            if negated or not alternatives[-1]:
                raise BadInput("filter: expected a term before `or`")
            alternatives.append([])
        else:
            alternatives[-1].append(_term(token, negated))
            negated = False
    if negated or (len(alternatives) > 1 and not alternatives[-1]):
        raise BadInput("filter: expected a term after `or` or `not`")
    return tuple(map(tuple, alternatives)) if alternatives[-1] else ()


def _term(token: str, negated: bool) -> Term:
    if token.lower().startswith("has:"):
        if not (key := token[4:]):
            raise BadInput("filter: has: needs a key, such as has:roc_auc_presence")
        return Term(key, HAS, (), negated)
    match = _TERM.fullmatch(token)
    if match is None:
        return Term("", WORD, (_unquoted(token).casefold(),), negated)
    key, operator, rest = match.groups()
    values = tuple(filter(None, (_unquoted(value).casefold() for value in _VALUE.findall(rest))))
    if not values:
        raise BadInput(f"filter: {clean(token)}: expected a value, such as {clean(key)}{operator}0.3")
    if operator in ("<", ">", "<=", ">="):
        if len(values) > 1:
            raise BadInput(f"filter: {clean(token)}: expected one number after {operator}")
        if _number(values[0]) is None:
            raise BadInput(f"filter: {clean(token)}: expected a number after {operator}")
    return Term(key, operator, values, negated)


def _unquoted(text: str) -> str:
    return text.replace('"', "")


def keys_of(parsed: Filter) -> list[str]:
    """The keys that the filter asks for."""
    return [term.key for terms in parsed for term in terms if term.key]


def matcher(parsed: Filter, lookup: Callable[[str], Lookup]) -> Callable[[Row], bool]:
    """A function that tells whether a row passes the filter. `lookup` returns the values of a key for a row."""
    alternatives = [[_test(term, lookup) for term in terms] for terms in parsed]
    return lambda row: not alternatives or any(all(test(row) for test in tests) for tests in alternatives)


def _test(term: Term, lookup: Callable[[str], Lookup]) -> Callable[[Row], bool]:
    if term.operator == WORD:
        (word,) = term.values
        test: Callable[[Row], bool] = lambda row: word in f"{row.run}\n{row.artifact.path}".casefold()  # noqa: E731
    else:
        values = lookup(term.key)
        if term.operator == HAS:
            test = lambda row: bool(values(row))  # noqa: E731
        else:
            is_negative = term.operator.startswith("!")
            compare = _comparison(term.operator.removeprefix("!"), term.values)
            test = lambda row: any(map(compare, values(row))) != is_negative  # noqa: E731
    return (lambda row: not test(row)) if term.negated else test


def _comparison(operator: str, wanted: Sequence[str]) -> Callable[[Scalar], bool]:
    """Whether a value compares to one of the wanted ones."""
    numbers = [number for value in wanted if (number := _number(value)) is not None]
    if operator == "~":
        return lambda value: any(part in _text(value) for part in wanted)
    if operator == "=":
        return lambda value: (value in numbers) if isinstance(value, float) else value.casefold() in wanted
    limit = numbers[0]
    compare: Callable[[float], bool] = {
        "<": limit.__gt__, ">": limit.__lt__, "<=": limit.__ge__, ">=": limit.__le__,
    }[operator]  # fmt: skip
    return lambda value: isinstance(value, float) and compare(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else value.casefold()


def completions(text: str, keys: Iterable[str], values: Callable[[str], Iterable[Scalar]]) -> list[str]:
    """The whole filter with its last term completed, in every possible way: first by keys, after an operator by the
    values that occur."""
    last = tokens[-1] if (tokens := _TOKEN.findall(text)) and not text[-1:].isspace() else ""
    before = text[: len(text) - len(last)]
    if match := _TERM.fullmatch(last):
        key, operator, rest = match.groups()
        done, comma, part = rest.rpartition(",")
        found = sorted({_text(value) for value in values(key)})
        ends = [
            f'"{value}"' if re.search(r"[\s,]", value) else value
            for value in found
            if value.startswith(part.casefold())
        ]
        return [f"{before}{key}{operator}{done}{comma}{end}" for end in ends]
    prefix = "has:" if last.lower().startswith("has:") else ""
    part = last[len(prefix) :].casefold()
    return [f"{before}{prefix}{key}" for key in sorted(keys) if key.casefold().startswith(part)]

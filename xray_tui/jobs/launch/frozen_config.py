"""The resolved config of a launch, as text: what its YAML and `--set` give now, whatever becomes of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from engine.contract.errors import BadInput
from engine.contract.recipes import TAKES, check_kind
from engine.contract.text import clean

CONFIG, SET = "--config", "--set"


@dataclass(frozen=True, slots=True)
class FrozenConfig:
    """A config to be written into the job's folder."""

    name: str
    """Of the file: as the original's, as a run without a name is called after it."""
    text: str


def freeze_config(kind: str, argv: Sequence[str]) -> tuple[FrozenConfig | None, tuple[str, ...]]:
    """(what `--config` and all `--set` come to, the arguments without them); (None, argv) where no config is named.

    Its paths are absolute, so that they mean the same wherever the file lies. Raises BadInput with a line an error.
    """
    named, overrides, rest = _split(argv) if kind in TAKES else (None, (), ())
    if named is None:
        return None, tuple(argv)
    from engine.contract.load import load_config

    config = load_config(Path(named), overrides)
    check_kind(kind, config.kind, named)
    words = shlex.join([CONFIG, named, *(word for override in overrides for word in (SET, override))])
    values = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return FrozenConfig(f"{Path(named).stem}.yaml", f"# as launched: {clean(words)}\n{values}"), rest


def _split(argv: Sequence[str]) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """(the config that counts, the overrides in their order, the other arguments), as the engine's argparse reads
    them."""
    named, overrides, rest = None, [], []
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in (CONFIG, SET):
            rest.append(word)
            continue
        given = value if equals else next(words, None)
        if given is None:
            raise BadInput(f"{option}: nothing follows; give {'a file' if option == CONFIG else 'KEY=VALUE'}")
        if option == CONFIG:
            named = given
        else:
            overrides.append(given)
    return named, tuple(overrides), tuple(rest)

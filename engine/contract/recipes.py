"""The recipes that there are: YAML configs in ./configs, beside the runs folder, and in the installed package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping

CONFIGS = "configs"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One config file as a list shows it; `problem` says why it cannot be used."""

    name: str
    path: Path
    kind: str
    description: str
    problem: str | None = None


def recipe_folders(runs: Path | None = None) -> list[Path]:
    """Where recipes are looked for, the nearest first."""
    package = Path(__file__).resolve().parents[1]
    candidates = [Path(CONFIGS), *([runs.absolute().parent / CONFIGS] if runs else [])]
    candidates += [package / CONFIGS, package.parent / CONFIGS]
    unique = {folder.resolve(): folder for folder in reversed(candidates) if folder.is_dir()}
    return sorted(unique.values(), key=candidates.index)


def find_recipes(folders: Iterable[Path]) -> list[Recipe]:
    """Every `*.yaml` in the folders, by name; where two folders hold a name, the nearer folder's."""
    found: dict[str, Recipe] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, _read(path))
    return sorted(found.values(), key=lambda recipe: recipe.name)


def _read(path: Path) -> Recipe:
    name = clean(path.stem)
    try:
        values = read_mapping(path)
    except BadInput as error:
        return Recipe(name, path, "?", "", error.lines[0])
    return Recipe(name, path, clean(str(values.get("kind", "train"))), clean(str(values.get("description", ""))))

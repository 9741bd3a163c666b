"""docs/licences.md: every dependency is in it, with the licence that the installed package states."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest


def dependencies(project: Path) -> set[str]:
    """Every package that pyproject.toml names: to run, as an extra, and to build."""
    found = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    extras = found["project"]["optional-dependencies"].values()
    named = [*found["project"]["dependencies"], *(each for extra in extras for each in extra)]
    return {re.match(r"[\w.-]+", each)[0] for each in (*named, *found["build-system"]["requires"])}  # type: ignore[index]


def listed(project: Path) -> dict[str, tuple[str, str]]:
    """Package -> (licence, version) in the tables; hatchling has a sentence."""
    text = (project / "docs" / "licences.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| [^|]+ \| ([^|]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    rows += re.findall(r"^([\w-]+) \(([^,]+), ([\d.]+)\) builds", text, re.MULTILINE)
    return {name: (licence, version) for name, licence, version in rows}


def test_every_dependency_is_listed_with_its_licence_and_nothing_else_is(project: Path) -> None:
    assert set(listed(project)) == dependencies(project)


@pytest.mark.parametrize("name", ["textual", "pydantic", "psutil", "timm", "tqdm", "pillow", "hypothesis"])
def test_a_licence_is_the_one_that_the_package_states(name: str, project: Path) -> None:
    licence, version = listed(project)[name]
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    if found["Version"] != version:
        pytest.skip(f"{name} {found['Version']} is installed, and {version} is listed")
    assert licence == (found.get("License-Expression") or found["License"])


def test_the_project_states_its_own(project: Path) -> None:
    stated = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert (stated["license"], stated["license-files"]) == ("MIT", ["LICENSE"])
    text = (project / "LICENSE").read_text("utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 The xray-tui authors\n")

"""The engine's packages: which of them are here, in which version. None is imported."""

from __future__ import annotations

import platform
import re
from importlib import metadata

from engine import __version__
from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok
from xray_tui.jobs.launch.launcher import check_engine

REMEDY = "pip install 'xray-tui[engine]'; without it the board works, and nothing can be launched here"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_OF_THE_EXTRA = re.compile(r"""extra == ['"]engine['"]""")


def app(patient: Patient) -> list[Finding]:
    """Which program is asking."""
    return [ok("xray-tui", f"{__version__}, Python {platform.python_version()}")]


def engine(patient: Patient) -> list[Finding]:
    """The packages of the extra `engine`, by their versions."""
    found = {name: _version(name) for name in needed()}
    here = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return [bad("engine", f"missing: {', '.join(missing)}" + (f"; here: {here}" if here else ""), REMEDY)]
    try:
        check_engine()
    except BadInput as error:
        return [bad("engine", str(error), REMEDY)]
    return [ok("engine", here)]


def needed() -> list[str]:
    """The names of the packages that the extra asks for, as the installed project says."""
    try:
        lines = metadata.requires("xray-tui") or []
    except metadata.PackageNotFoundError:
        return []
    return [name[0] for line in lines if _OF_THE_EXTRA.search(line) and (name := _NAME.match(line))]


def _version(name: str) -> str | None:
    try:
        return clean(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None

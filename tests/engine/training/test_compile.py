"""torch.compile changes how fast a step is and nothing else."""

from __future__ import annotations

import os

import pytest

from .conftest import MakeLearner, batch_of, changed, tensors

LONG = bool(os.environ.get("XRAY_TUI_LONG"))
"""With the C++ compiler, which takes a minute; else what was traced runs as it is."""


@pytest.mark.long
def test_a_compiled_network_learns_the_same_under_the_same_names(
    make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import torch._inductor.compile_fx
    from torch._dynamo.utils import counters

    if not LONG:
        monkeypatch.setattr(torch._inductor.compile_fx, "compile_fx", lambda graph, *_, **__: graph.forward)
    given = {"ema": 0.9, "freeze_batch_norm": True, "optimizer": "sgd", "lr": 0.01}
    plain, compiled = make_learner(**given), make_learner(**given, compile=True)
    counters.clear()
    losses = [[float(learner.step(batch_of(2, seed), 0.0)) for seed in range(2)] for learner in (plain, compiled)]
    assert counters["stats"]["unique_graphs"] > 0, "it was compiled"
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    expected, found = tensors(plain.network), tensors(compiled.network)
    assert expected.keys() == found.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in found)
    assert changed(tensors(compiled.evaluated_network), found), "the average follows it"

"""A Ranker gives after each change the board that `rank` makes of everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from xray_tui.board.model import Artifact, Snapshot
from xray_tui.board.rank import Ranker, rank
from xray_tui.board.rules import Rules

artifacts = st.builds(
    lambda run, name, dice, auc, size: Artifact(
        f"{run}/{name}", run, {"dice_pos": dice} | auc, 1.0, num_samples=size, validation={"dice_pos": 1 - dice}
    ),
    st.sampled_from("abcde"),
    st.sampled_from(["test_metrics.json", "test_metrics_tta_hv.json"]),
    st.sampled_from([0.1, 0.2, 0.3]),
    st.sampled_from([{}, {"roc_auc_presence": 0.5}, {"roc_auc_presence": 0.7}]),
    st.sampled_from([None, 10, 20]),
)
changes = st.lists(st.tuples(artifacts, st.booleans(), st.sampled_from(["test", "val", None])), max_size=20)


@settings(max_examples=100, deadline=None)
@given(changes)
def test_one_change_after_the_other_gives_the_board_of_everything(changes: list[tuple[Artifact, bool, str]]) -> None:
    ranker, known, rules = Ranker(), dict[str, Artifact](), Rules()
    for artifact, removed, best_by in changes:
        if removed:
            known.pop(artifact.path, None)
        else:
            known[artifact.path] = artifact
        if best_by:
            rules = replace(rules, best_by=best_by)
        snapshot = Snapshot(Path("runs"), rules, tuple(known[path] for path in sorted(known)), (), ())
        assert ranker.rank(snapshot) == rank(snapshot)


def test_rows_that_did_not_change_are_the_same_objects() -> None:
    pairs = (("a", 0.3), ("b", 0.2), ("c", 0.1))
    first = [Artifact(f"{run}/test_metrics.json", run, {"dice_pos": dice}, 1.0) for run, dice in pairs]
    ranker = Ranker()
    before = ranker.rank(Snapshot(Path("runs"), Rules(), tuple(first), (), ()))
    changed = replace(first[2], metrics={"dice_pos": 0.15})
    after = ranker.rank(Snapshot(Path("runs"), Rules(), (*first[:2], changed), (), ()))
    assert [new is old for new, old in zip(after.rows, before.rows, strict=True)] == [True, True, False]
    assert after.rows[2].figures == {"dice_pos": 0.15}

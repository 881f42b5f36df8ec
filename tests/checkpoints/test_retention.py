"""Which steps stay: the newest, the best so far, one to resume from."""

import math

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rl.checkpoints.layout import committed_steps, restorable_steps
from robo_rl.checkpoints.retention import preserved_steps
from robo_rl.checkpoints.writer import CheckpointWriter

POLICY = {"w": jnp.ones(2)}


def save_all(folder, steps, keep_newest, keep_best, scores=dict, run_at=()):
    with CheckpointWriter(folder, keep_newest, keep_best, scores) as writer:
        for step in steps:
            writer.save(step, POLICY, {"r": jnp.ones(1)} if step in run_at else None, {})


@given(
    steps=st.sets(st.integers(0, 50), min_size=1),
    restorable=st.sets(st.integers(0, 50)),
    scores=st.dictionaries(st.integers(0, 50), st.floats()),
    newest=st.integers(1, 5),
    best=st.integers(0, 5),
)
def test_what_is_kept(steps, restorable, scores, newest, best):
    kept = preserved_steps(steps, restorable, scores, newest, best)
    assert kept <= steps
    assert set(sorted(steps)[-newest:]) <= kept
    assert len(kept) <= newest + best + 1
    if steps & restorable:
        assert max(steps & restorable) in kept
    judged = {step for step in steps if math.isfinite(scores.get(step, math.nan))}
    assert len(judged & kept) >= min(best, len(judged))
    # With nothing else to keep it, no dropped step is better than a kept one
    dropped = judged - kept
    ranked = sorted(judged, key=lambda step: (scores[step], step))[len(judged) - min(best, len(judged)) :]
    assert not dropped & set(ranked)


def test_ties_go_to_the_newer_step_and_nan_is_no_score():
    assert preserved_steps([1, 2, 3, 4], [], {1: 5.0, 2: 5.0, 3: math.nan}, 1, 1) == {2, 4}


def test_newest_are_kept_across_a_restart(tmp_path):
    save_all(tmp_path, [1, 2, 3], keep_newest=2, keep_best=0)
    assert committed_steps(tmp_path) == [2, 3]
    save_all(tmp_path, [4], keep_newest=2, keep_best=0)
    assert committed_steps(tmp_path) == [3, 4]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["3", "4"]


def test_scores_may_arrive_late(tmp_path):
    scores = {}
    with CheckpointWriter(tmp_path, keep_newest=3, keep_best=1, scores=lambda: scores) as writer:
        for step in range(1, 9):
            writer.save(step, POLICY, None, {})
            # The evaluator is two steps behind, and step 4 is the best it will ever see
            if step > 2:
                scores[step - 2] = -abs(step - 2 - 4)
    assert committed_steps(tmp_path) == [4, 6, 7, 8]


def test_newest_step_to_resume_from_is_kept(tmp_path):
    save_all(tmp_path, range(1, 7), keep_newest=1, keep_best=0, run_at=(1, 3))
    assert committed_steps(tmp_path) == [3, 6]
    assert restorable_steps(tmp_path) == [3]
    save_all(tmp_path, range(7, 10), keep_newest=1, keep_best=0, run_at=(8,))
    assert committed_steps(tmp_path) == [8, 9]


@pytest.mark.parametrize(("newest", "best"), [(0, 1), (1, -1)])
def test_counts_out_of_range(tmp_path, newest, best):
    with pytest.raises(ValueError, match="keep_newest must be >= 1"):
        CheckpointWriter(tmp_path, newest, best)

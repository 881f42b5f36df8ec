"""Retention and a fleet agree on every checkpoint: it is either pinned or condemned, never both."""

import jax.numpy as jnp
import pytest

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.locks import exclusive
from robo_rl.checkpoints.pins import FLEET_LOCK, condemn, may_be_pinned, pin, release
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.checkpoints.writer import CheckpointWriter

POLICY = {"w": jnp.ones(2)}


def fleet(folder):
    return exclusive(folder.parent / FLEET_LOCK, "someone", str)


def training(folder):
    return RunFolder(folder.parent).lock()


def save(folder, *steps):
    with CheckpointWriter(folder, keep_newest=1, keep_best=0) as writer:
        for step in steps:
            writer.save(step, POLICY, None, {})


def run_folder(tmp_path):
    folder = tmp_path / "checkpoints"
    (tmp_path / "pins").mkdir()
    save(folder, 1)
    return folder


def test_a_pinned_checkpoint_stays_until_it_is_released(tmp_path):
    folder = run_folder(tmp_path)
    with fleet(folder):
        assert pin(folder, {1}, 1)
        save(folder, 2, 3)
        assert committed_steps(folder) == [1, 3]
        release(folder, ())
        save(folder, 4)
    assert committed_steps(folder) == [4]


def test_the_pins_of_a_killed_fleet_do_not_count(tmp_path):
    folder = run_folder(tmp_path)
    with fleet(folder):
        assert pin(folder, {1}, 1)
    save(folder, 2)
    assert committed_steps(folder) == [2]


def test_what_is_condemned_or_gone_cannot_be_pinned(tmp_path):
    folder = run_folder(tmp_path)
    with training(folder), fleet(folder):
        assert condemn(folder, {1}) == {1}
        assert not pin(folder, {1}, 1)
        assert not pin(folder, {7}, 7)
        # A later save decides anew
        assert condemn(folder, set()) == set()
        assert pin(folder, {1}, 1)
        assert condemn(folder, {1}) == set()


def test_what_a_killed_training_job_condemned_can_be_pinned(tmp_path):
    folder = run_folder(tmp_path)
    with training(folder):
        assert condemn(folder, {1}) == {1}
    with fleet(folder):
        assert may_be_pinned(folder, 1)
        assert not may_be_pinned(folder, 7)
        assert pin(folder, {1}, 1)
        with training(folder):
            assert condemn(folder, {1}) == set()


@pytest.mark.parametrize("next_one", [lambda folder: pin(folder, {1}, 1), lambda folder: condemn(folder, {1})])
def test_whoever_comes_next_removes_what_a_killed_one_had_begun(tmp_path, next_one):
    folder = run_folder(tmp_path)
    (tmp_path / "pins" / ".condemned.json.123.tmp").write_text("[")
    (tmp_path / "pins" / ".fleet.json.124.tmp").write_text("")
    with fleet(folder):
        next_one(folder)
    assert list((tmp_path / "pins").glob(".*")) == []


def test_a_folder_without_pins_is_left_as_it_is(tmp_path):
    assert condemn(tmp_path / "checkpoints", {1, 2}) == {1, 2}
    assert list(tmp_path.iterdir()) == []

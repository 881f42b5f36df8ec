"""A cell that was stopped, or killed, and resumed equals one that was not, to the last bit and the last row."""

import json

import pytest

from robo_rl.checkpoints.reader import load_policy
from robo_rl.compare import cell
from robo_rl.compare.cell import CellWork, steps_to_take, train_cell
from robo_rl.compare.cell_folder import CellFolder
from robo_rl.config import ActorConfig, CheckpointConfig, EvaluationConfig
from robo_rl.metrics.sinks import read_rows
from tests.compare.parts import Inside
from tests.roles.parts import assert_same_bits, tiny
from tests.toys import compiled_once, toy_family

SEEDS = [4, 9]


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(autouse=True)
def _inside(monkeypatch):
    monkeypatch.setattr(cell, "Workers", Inside)


def work(folder, **changes):
    config = tiny(
        n_step=3,
        checkpoint=CheckpointConfig(policy_every=100, run_every=90),
        evaluation=EvaluationConfig(episodes=2, final_episodes=3, envs=2),
        **changes,
    )
    record = {"name": "mse-toy", "loss": "mse", "task": "toy/reach", "axes": {}}
    return CellWork(folder, record, config, SEEDS, workers=1, attempts=1)


def train(folder, turns=1000, said=None, **changes):
    left = [turns]

    def stop():
        left[0] -= 1
        return left[0] < 0

    return train_cell(work(folder, **changes), lambda kind, what: said is not None and said.append((kind, what)), stop)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "Workers", Inside)
        assert train(folder)
    return CellFolder(folder)


def without_clock(rows):
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def assert_same_cell(folder, whole):
    assert folder.evaluations() == whole.evaluations()
    metrics, want = (without_clock(read_rows(f.metrics_file)) for f in (folder, whole))
    # Training returns are means over what ended since the last row, which a resume does not remember.
    for row in (*metrics, *want):
        for name in ("return", "episode_length", "success"):
            row.pop(name, None)
    assert metrics == want
    [final] = [int(path.name) for path in whole.policies.iterdir()]
    assert_same_bits(load_policy(folder.policies, final), load_policy(whole.policies, final))


def test_a_finished_cell_says_what_it_is_and_what_it_cost(whole):
    record = whole.record()
    assert (record["status"], record["seeds"], record["env_steps"], record["error"]) == ("finished", SEEDS, 240, None)
    assert record["updates"] == 40
    for of_each_seed in ("clipped_fraction", "initial_weights", "initial_weights_sum"):
        assert record[of_each_seed].keys() == {"4", "9"}
    assert record["versions"]["jax"]
    assert record["earlier"] == []
    assert record["config"]["env_steps"] == 240
    assert not whole.checkpoints.exists()
    json.dumps(record, allow_nan=False)


def test_every_member_is_judged_when_it_is_due_and_longer_at_the_end(whole):
    rows = whole.evaluations()
    # 3 simulations take 3 steps at a time: 102 is the first count that is not below 100
    assert [(row["env_steps"], row["seed"]) for row in rows] == [
        (step, seed) for step in (102, 201, 240) for seed in SEEDS
    ]
    assert [len(row["episodes"]) for row in rows] == [2, 2, 2, 2, 3, 3]
    metrics = read_rows(whole.metrics_file)
    assert [row["env_steps"] for row in metrics[-2:]] == [240, 240]
    assert all(row["updates"] >= 0 and "episodes" in row for row in metrics)


@pytest.mark.parametrize("turns", [1, 5, 11])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, whole, turns):
    assert not train(tmp_path, turns)
    folder = CellFolder(tmp_path)
    assert folder.record()["status"] == "running"
    assert not train(tmp_path, 2)
    assert train(tmp_path)
    assert_same_cell(folder, whole)


def test_what_was_trained_elsewhere_before_a_resume_is_remembered(tmp_path, monkeypatch):
    assert not train(tmp_path, 5)
    first = CellFolder(tmp_path).record()
    monkeypatch.setattr(cell, "processor", lambda: "another")
    for _ in range(2):
        assert not train(tmp_path, 2)
    record = CellFolder(tmp_path).record()
    assert record["processor"] == "another"
    assert record["earlier"] == [{name: first[name] for name in ("processor", "git", "versions")}]


def test_one_that_died_goes_on_from_its_own_checkpoint(tmp_path, whole, monkeypatch):
    taken = []

    class DeathError(Exception):
        pass

    class Dying(Inside):
        def call(self, kind, method, arguments):
            taken.append((kind, method))
            if taken.count(("train", "step")) > 60:
                raise DeathError
            return super().call(kind, method, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cell, "Workers", Dying)
        with pytest.raises(DeathError):
            train(tmp_path)
    folder = CellFolder(tmp_path)
    before = folder.record()["env_steps"]
    assert 0 < before < 240
    said = []
    assert train(tmp_path, said=said)
    first, *rows = [what for kind, what in said if kind == "row"]
    assert 0 < first["env_steps"] <= before, "where it stands is told before anything is trained"
    assert len(rows) == 3, "the first of four rows was not written again"
    assert_same_cell(folder, whole)


def test_a_chunk_ends_at_an_evaluation_and_at_the_end_of_the_budget():
    config = tiny(
        checkpoint=CheckpointConfig(policy_every=40), actor=ActorConfig(envs=2, chunk_steps=15), env_steps=100
    )
    env_steps, met = 0, []
    while env_steps < 100:
        env_steps += 2 * steps_to_take(config, env_steps)
        met.append(env_steps)
    assert met == [30, 40, 70, 80, 100]

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.sac import make_sac
from robo_rl.critics import make_head
from robo_rl.errors import DivergedError
from robo_rl.replay.rate_limiter import RateLimiter
from robo_rl.roles import learner as module
from robo_rl.roles.exchange import Chunk, Episode
from robo_rl.roles.learner import Counts, Learner, init_state, require_finite, take_in, updates
from robo_rl.specs import Experience, Transition
from tests.roles.parts import assert_same_bits, bits, tiny
from tests.toys import SPEC, compiled_quickly

BLOCK, BATCH, GROUP = 15, 8, 4


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


@pytest.fixture(scope="module")
def agent():
    config = tiny().agent
    return make_sac(config, SPEC, make_head(config.critic))


def experience(count, seed=0, reward=1.0):
    rng = np.random.default_rng(seed)

    def observation():
        return {
            name: rng.normal(size=(count, *array.shape)).astype(np.float32) for name, array in SPEC.observation.items()
        }

    rewards = (reward * rng.normal(size=count)).astype(np.float32)
    action = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    return Experience(
        Transition(observation(), action, rewards, np.full(count, 0.9, np.float32), observation()), rewards
    )


def chunk(sequence, count=9, *, actor=0, incarnation=0, env_steps=15, episodes=(), seed=None, reward=1.0, version=0):
    data = experience(count, sequence if seed is None else seed, reward)
    return Chunk(actor, incarnation, sequence, version, env_steps, data, tuple(episodes))


@pytest.fixture(scope="module")
def make_learner(agent):
    """New learners that share their two compiled programs, which are what takes time."""
    shared = {}

    def make(capacity=32):
        state = init_state(agent, SPEC, capacity, seed=0)
        learner = Learner(
            agent, state, RateLimiter(0.2, 30, GROUP, None), batch_size=BATCH, block=BLOCK, counts=Counts()
        )
        shared.setdefault("take_in", learner._take_in)
        shared.setdefault("updates", learner._updates)
        learner._take_in, learner._updates = shared["take_in"], shared["updates"]
        return learner

    return make


def test_chunks_of_any_size_run_one_compiled_program_each(make_learner):
    learner = make_learner()
    for sequence, count in enumerate([9, 15, 1, 0, 3, 15]):
        assert learner.insert(chunk(sequence, count))
        learner.update()
    assert learner._take_in._cache_size() == 1
    assert learner._updates._cache_size() == 1
    assert int(learner.state.replay.size) == min(9 + 15 + 1 + 3 + 15, 32)
    assert learner.counts.env_steps == 6 * 15
    assert learner.counts.updates == 6 * GROUP


def test_a_chunk_is_counted_once(make_learner):
    learner = make_learner()
    assert learner.insert(chunk(0))
    before, counts = bits(learner.state), learner.counts
    assert not learner.insert(chunk(0))
    assert learner.counts == counts
    assert bits(learner.state) == before
    assert learner.insert(chunk(2))
    assert not learner.insert(chunk(1)), "what comes late was superseded"
    assert learner.insert(chunk(0, actor=1)), "each actor counts for itself"
    assert learner.insert(chunk(0, incarnation=1)), "a restarted actor counts anew"
    assert not learner.insert(chunk(3)), "the incarnation before is dead"


def test_duplicates_are_still_known_after_a_resume(agent, make_learner):
    learner = make_learner()
    learner.insert(chunk(4, incarnation=2))
    restored = make_learner()
    restored.counts = Counts.from_json(json.loads(json.dumps(learner.counts.to_json())))
    assert restored.counts == learner.counts
    assert not restored.insert(chunk(4, incarnation=2))
    assert restored.insert(chunk(5, incarnation=2))


def test_the_next_incarnation_is_one_that_no_actor_had():
    assert Counts().next_incarnation() == 0
    assert Counts(last_sequence={0: (3, 90), 7: (5, 1), 2: (4, 0)}).next_incarnation() == 6


def test_counts_survive_json():
    counts = Counts(10, 4, 2, 1.5, {0: (1, 2), 7: (3, 4)})
    assert Counts.from_json(json.loads(json.dumps(counts.to_json()))) == counts
    assert Counts.from_json(json.loads(json.dumps(Counts().to_json()))) == Counts()


def test_a_group_of_updates_equals_as_many_single_ones(agent):
    state = take_in(agent, init_state(agent, SPEC, 32, 0), experience(BLOCK), np.int32(9))
    together, metrics = jax.jit(lambda s: updates(agent, BATCH, 3, s))(state)
    one = jax.jit(lambda s: updates(agent, BATCH, 1, s))
    singly, each = state, []
    for _ in range(3):
        singly, row = one(singly)
        each.append(row)
    for left, right in zip(jax.tree.leaves(together.agent), jax.tree.leaves(singly.agent), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    assert_same_bits(together.key, singly.key)
    for name, value in metrics.items():
        reduce = np.min if name.endswith("_min") else np.max if name.endswith("_max") else np.mean
        np.testing.assert_allclose(value, reduce([row[name] for row in each]), rtol=1e-3, atol=1e-5, err_msg=name)


def test_padding_reaches_neither_replay_nor_statistics(agent):
    data = experience(9)
    spoiled = jax.tree.map(lambda x: np.concatenate([x, np.full((6, *x.shape[1:]), np.nan, x.dtype)]), data)
    state = take_in(agent, init_state(agent, SPEC, 32, 0), spoiled, np.int32(9))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.agent, state.replay)))
    assert int(state.replay.size) == 9
    np.testing.assert_allclose(state.agent.returns.mean, data.running_return.mean(), rtol=1e-5)


def test_actors_get_the_policy_of_the_last_updates_until_the_next(make_learner):
    learner = make_learner()
    assert learner.newer_policy(0) == (0, None), "random actions until there was an update"
    learner.insert(chunk(0))
    learner.update()
    version, policy = learner.newer_policy(0)
    assert version == GROUP
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(policy))
    held = bits(policy)
    learner.insert(chunk(1, reward=50.0))
    assert learner.newer_policy(version) == (version, None)
    assert bits(learner.newer_policy(0)[1]) == held
    learner.update()
    assert learner.newer_policy(version)[0] == 2 * GROUP
    assert bits(learner.newer_policy(version)[1]) != held
    assert bits(policy) == held, "what was given away does not change with donated buffers"


def test_a_row_sums_up_what_came_since_the_last_one(make_learner):
    learner = make_learner()
    episodes = [Episode(1, "cube", 3.0, 10, True), Episode(2, "cube", 5.0, 12, False)]
    learner.insert(chunk(0, episodes=episodes))
    learner.update()
    row = learner.row()
    assert (row["return"], row["episode_length"], row["success"]) == (4.0, 11.0, 0.5)
    assert (row["env_steps"], row["updates"], row["episodes"], row["replay_size"]) == (15, GROUP, 2, 9)
    assert row["policy_lag"] == 0
    assert np.isfinite(row["critic_loss"])
    learner.insert(chunk(1, version=0))
    row = learner.row()
    assert "return" not in row
    assert row["policy_lag"] == GROUP


def test_nan_in_the_metrics_stops_the_run_and_names_the_first(make_learner):
    learner = make_learner()
    learner.insert(chunk(0, reward=float("nan")))
    learner.update()
    with pytest.raises(DivergedError, match=r"actor_gradient_norm is nan after 4 updates \(15 environment steps\)"):
        learner.row()
    with pytest.raises(DivergedError, match="b is inf"):
        require_finite({"a": 1.0, "b": float("inf"), "c": float("nan")}, Counts())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_the_parameters_names_the_first_leaf(make_learner, value):
    learner = make_learner()
    learner.require_finite_state()
    actor = learner.state.agent.actor
    spoiled = {**actor, "head": {**actor["head"], "bias": actor["head"]["bias"].at[1].set(value)}}
    learner.state = learner.state._replace(agent=learner.state.agent._replace(actor=spoiled))
    with pytest.raises(DivergedError, match=r"agent\.actor\['head'\]\['bias'\] is not finite"):
        learner.require_finite_state()


def test_the_clock_goes_on_from_the_seconds_before(agent, make_learner, monkeypatch):
    learner = make_learner()
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    state = jax.tree.map(jnp.copy, learner.state)
    again = Learner(agent, state, RateLimiter(1, 1, 1, None), batch_size=1, block=1, counts=Counts(seconds=50.0))
    now[0] += 7
    assert again.seconds() == 57.0

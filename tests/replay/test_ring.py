import collections
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.replay import ring
from robo_rl.specs import ArraySpec, EnvSpec, Transition

CAPACITY, BLOCK = 11, 4
SPEC = EnvSpec(
    name="toy/numbered",
    observation={"camera": ArraySpec((2, 2, 1), "uint8"), "number": ArraySpec((1,))},
    action=ArraySpec((2,), minimum=-1, maximum=1),
    episode_steps=5,
    control_hz=1.0,
)


def numbered(*numbers):
    """Transitions whose every entry says their number, in a block of BLOCK rows; padding is -1 and 255."""
    rows = np.array([*numbers, *[-1] * (BLOCK - len(numbers))], np.float32)
    observation = {"camera": np.broadcast_to(rows.astype(np.int64)[:, None, None, None] % 256, (BLOCK, 2, 2, 1))}
    observation = {"camera": observation["camera"].astype(np.uint8), "number": rows[:, None]}
    return Transition(observation, np.stack([rows, rows], axis=1), rows, rows, observation)


# One compiled program for every test below: shapes are fixed, which is what the padding is for
add = jax.jit(ring.add, donate_argnums=0)
sample = jax.jit(ring.sample, static_argnames=("batch_size", "recency"))


def held(state):
    """The numbers held, oldest first."""
    size, cursor = int(state.size), int(state.cursor)
    rewards = np.asarray(state.storage.reward)
    return [int(rewards[(cursor - size + k) % CAPACITY]) for k in range(size)]


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_deque_and_never_compiles_again(seed):
    rng = np.random.default_rng(seed)
    state, model = ring.init(SPEC, CAPACITY), collections.deque(maxlen=CAPACITY)
    number = 1  # 0 is what empty storage holds
    add(ring.init(SPEC, CAPACITY), numbered(1), np.int32(1))
    compiled = add._cache_size()
    for _ in range(30):
        count = int(rng.integers(0, BLOCK + 1))
        fresh = list(range(number, number + count))
        number += count
        model.extend(fresh)
        state = add(state, numbered(*fresh), np.int32(count))
        assert held(state) == list(model)
        if model:
            batch = sample(state, jax.random.key(number), 8)
            assert set(np.asarray(batch.reward).astype(int)) <= set(model)
    assert number > 3 * CAPACITY, "the cursor went round"
    assert add._cache_size() == compiled


def test_every_field_of_a_sample_is_of_the_same_transition_and_keeps_its_type():
    state = add(ring.init(SPEC, CAPACITY), numbered(3, 5, 7), np.int32(3))
    batch = sample(state, jax.random.key(0), 64)
    number = np.asarray(batch.reward)
    assert set(number) == {3, 5, 7}
    assert batch.observation["camera"].dtype == jnp.uint8
    assert batch.observation["camera"].shape == (64, 2, 2, 1)
    np.testing.assert_array_equal(batch.observation["camera"][:, 1, 1, 0], number)
    np.testing.assert_array_equal(batch.next_observation["number"][:, 0], number)
    np.testing.assert_array_equal(batch.action[:, 1], number)
    np.testing.assert_array_equal(batch.discount, number)


def test_a_batch_of_one():
    state = add(ring.init(SPEC, CAPACITY), numbered(9), np.int32(1))
    assert sample(state, jax.random.key(0), 1).action.shape == (1, 2)


def test_samples_are_uniform_over_what_is_held_and_differ_by_key():
    state = ring.init(SPEC, CAPACITY)
    for first in range(0, 16, BLOCK):
        state = add(state, numbered(*range(first, first + BLOCK)), np.int32(BLOCK))
    drawn = np.asarray(sample(state, jax.random.key(1), 22_000).reward).astype(int)
    counts = np.bincount(drawn, minlength=16)[5:]
    assert counts.sum() == 22_000
    # 11 cells of 2000: chi-squared with 10 degrees of freedom stays below 29.6 in 99.9 % of all draws; the key is fixed
    assert np.sum((counts - 2000) ** 2 / 2000) < 29.6
    other = np.asarray(sample(state, jax.random.key(2), 22_000).reward)
    assert (other != drawn).mean() > 0.8


@pytest.mark.parametrize("recency", [1.5, 2.0, 4.0])
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_with_recency_the_newest_come_up_as_often_as_promised_and_no_other(recency, blocks):
    state, newest = ring.init(SPEC, CAPACITY), blocks * BLOCK - 1
    for first in range(0, blocks * BLOCK, BLOCK):
        state = add(state, numbered(*range(first, first + BLOCK)), np.int32(BLOCK))
    size = int(state.size)
    drawn = np.asarray(sample(state, jax.random.key(1), 20_000, recency).reward).astype(int)
    counts = np.bincount(newest - drawn, minlength=size)
    want = 20_000 * np.diff((np.arange(size + 1) / size) ** (1 / recency))
    assert len(counts) == size
    # At most 10 degrees of freedom, as above.
    assert np.sum((counts - want) ** 2 / want) < 29.6


def test_a_replay_of_one_transition_has_no_age():
    state = add(ring.init(SPEC, CAPACITY), numbered(9), np.int32(1))
    assert set(np.asarray(sample(state, jax.random.key(0), 100, 3.0).reward)) == {9}


def test_the_storage_is_changed_in_place():
    state = add(ring.init(SPEC, CAPACITY), numbered(1), np.int32(1))
    before = state.storage.reward
    address = before.unsafe_buffer_pointer()
    after = add(state, numbered(2), np.int32(1))
    assert before.is_deleted()
    assert after.storage.reward.unsafe_buffer_pointer() == address


def test_a_block_larger_than_the_buffer_is_refused():
    with pytest.raises(ValueError, match="block of 4 transitions does not fit in a replay of capacity 3"):
        ring.add(ring.init(SPEC, 3), numbered(1), np.int32(1))


def test_a_block_of_the_buffers_own_size_fits():
    state = ring.add(ring.init(SPEC, BLOCK), numbered(1, 2, 3, 4), np.int32(BLOCK))
    state = ring.add(state, numbered(5, 6), np.int32(2))
    np.testing.assert_array_equal(state.storage.reward, [5, 6, 3, 4])
    assert (int(state.cursor), int(state.size)) == (2, BLOCK)


def test_storage_spread_over_eight_devices_gives_the_same_samples_and_the_same_update():
    # The number of devices is fixed when JAX starts, so this needs a process of its own.
    program = textwrap.dedent(
        """
        import jax, numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        from robo_rl.agents.sac import make_sac
        from robo_rl.config import CriticConfig, NetworkConfig, SACConfig
        from robo_rl.critics import make_head
        from robo_rl.replay import ring
        from robo_rl.specs import zero_transition
        from tests.toys import SPEC

        assert len(jax.devices()) == 8
        network = NetworkConfig(width=8, depth=1)
        config = SACConfig(critic=CriticConfig(bins=11), actor_network=network, critic_network=network)
        agent = make_sac(config, SPEC, make_head(config.critic))
        rng = np.random.default_rng(0)
        block = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), zero_transition(SPEC, 24))

        def learn(replay):
            replay = ring.add(replay, block, np.int32(20))
            batch = ring.sample(replay, jax.random.key(1), 16)
            state, metrics = agent.update(agent.init(jax.random.key(0)), batch, jax.random.key(2))
            return replay, batch, metrics

        mesh = NamedSharding(Mesh(np.array(jax.devices()), ("capacity",)), PartitionSpec("capacity"))
        plain = ring.init(SPEC, 64)
        spread = plain._replace(storage=jax.device_put(plain.storage, mesh))
        one, eight = jax.jit(learn)(plain), jax.jit(learn)(spread)
        assert len(eight[0].storage.reward.sharding.device_set) == 8
        for left, right in zip(jax.tree.leaves(one[:2]), jax.tree.leaves(eight[:2]), strict=True):
            np.testing.assert_array_equal(left, right)
        for name in one[2]:
            np.testing.assert_allclose(one[2][name], eight[2][name], rtol=1e-5, err_msg=name)
        """
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr

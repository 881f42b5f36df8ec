"""What every agent must hold. A new agent's test inherits `AgentConformance` and says how its agent is made.

Values are read off the metric `q_mean` of a batch of one kind of transition, so nothing here looks into a state.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.specs import ArraySpec, EnvSpec, Experience, Transition, zero_transition
from tests.roles.parts import assert_same_bits, bits

GAMMA = 0.7
REWARD = 12.0
CHAINS = EnvSpec(
    name="toy/chains",
    observation={"state": ArraySpec((4,))},
    action=ArraySpec((2,), minimum=-1, maximum=1),
    episode_steps=2,
    control_hz=1.0,
)
"""Two chains of two states, one reward at each step whatever the action. After state 1 a time limit cuts the episode
(the discount stays GAMMA, the next state is 0); after state 3 it really terminates."""

SEEING = dataclasses.replace(
    CHAINS, observation={"camera": ArraySpec((16, 16, 3), "uint8"), "height": ArraySpec((1,), unit="m")}
)
"""The same with a camera."""

IMAGE_CHANGES = {
    "image__patch": 8, "image__channels": 4, "image__convolutions": 1, "image__features": 7, "image__random_shift": 0,
}  # fmt: skip
"""Another value for every field of `ImageConfig`, as `changed` takes them."""

CHAIN_VALUES = [REWARD / (1 - GAMMA)] * 2 + [REWARD + GAMMA * REWARD, REWARD]
FOLLOWING = [1, 0, 3, 2]


def chain_steps(states, seed=0):
    """One transition from each of `states [B]`, under random actions."""
    states = np.asarray(states)
    rows = np.eye(4, dtype=np.float32)
    action = np.random.default_rng(seed).uniform(-1, 1, (len(states), 2)).astype(np.float32)
    discount = np.where(states == 3, 0.0, GAMMA).astype(np.float32)
    reward = np.full(len(states), REWARD, np.float32)
    return Transition({"state": rows[states]}, action, reward, discount, {"state": rows[np.asarray(FOLLOWING)[states]]})


def chain_experience(states, seed=0):
    """The same with the forward return of a long-lived episode, which is what rewards are scaled by."""
    transition = chain_steps(states, seed)
    return Experience(transition, np.full(len(transition.reward), REWARD / (1 - GAMMA), np.float32))


def random_batch(spec, size, seed=0, reward=1.0):
    """Transitions of normal numbers, discount 0.9, actions in [-1, 1]."""
    rng = np.random.default_rng(seed)
    batch = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), zero_transition(spec, size))
    return batch._replace(
        action=np.tanh(batch.action), reward=reward * batch.reward, discount=np.full(size, 0.9, np.float32)
    )


def seen_batch(size, seed=0):
    """Random transitions of `SEEING`."""
    rng = np.random.default_rng(seed)

    def observation():
        image = rng.integers(0, 256, (size, 16, 16, 3), dtype=np.uint8)
        return {"camera": image, "height": rng.normal(size=(size, 1)).astype(np.float32)}

    plain = random_batch(CHAINS, size, seed)
    return plain._replace(observation=observation(), next_observation=observation())


def changed(config, **fields):
    """`config` with fields replaced; `critic__loss` means the field `loss` of its section `critic`."""
    for name, value in fields.items():
        section, _, field = name.rpartition("__")
        if section:
            value = getattr(config, section).model_copy(update={field: value})
        config = config.model_copy(update={section or field: value})
    return config


def agent_program(agent):
    """The text of all that an agent computes, constants included: init, observe, update, explore and be greedy."""
    experience = chain_experience(range(4))

    def life(key):
        state = agent.observe(agent.init(key), experience, jnp.ones(4, bool))
        state, metrics = agent.update(state, experience.transition, key)
        observation = experience.transition.observation
        return (
            state,
            metrics,
            [agent.act(agent.policy(state), observation, key, 0, explore) for explore in (True, False)],
        )

    return jax.jit(life).lower(jax.random.key(0)).as_text()


def fitted(agent, steps, size=32):
    """The values [4] of the four states after `steps` updates on batches from all of them, as one scan.

    The last four batches hold one state each: their metric is its value, and they come too late to change much.
    """

    def one(state, step):
        states, key = step
        batch = jax.tree.map(lambda x: jnp.asarray(x)[states], chain_steps(range(4)))
        action = jax.random.uniform(key, (size, 2), minval=-1, maxval=1)
        state, metrics = agent.update(state, batch._replace(action=action), key)
        return state, metrics["q_mean"]

    def run(key):
        key_init, key_states, key_updates = jax.random.split(key, 3)
        state = agent.observe(agent.init(key_init), chain_experience(range(4)), jnp.ones(4, bool))
        states = jax.random.randint(key_states, (steps, size), 0, 4).at[-4:].set(jnp.arange(4)[:, None])
        return jax.lax.scan(one, state, (states, jax.random.split(key_updates, steps)))[1][-4:]

    return jax.jit(run)(jax.random.key(0))


class AgentConformance:
    """Inherit and define `agent` (for CHAINS) as a class-scoped fixture, small and quick to compile."""

    @pytest.fixture(scope="class")
    @classmethod
    def programs(cls, agent):
        """The agent's functions, compiled once for the whole class."""
        act = jax.jit(agent.act, static_argnums=4)
        return agent._replace(
            init=jax.jit(agent.init), act=act, update=jax.jit(agent.update), observe=jax.jit(agent.observe)
        )

    @pytest.fixture(scope="class")
    @classmethod
    def state(cls, programs):
        return programs.init(jax.random.key(0))

    def test_states_are_functions_of_the_key(self, programs, state):
        assert_same_bits(programs.init(jax.random.key(0)), state)
        assert bits(programs.init(jax.random.key(1))) != bits(state)

    @pytest.mark.parametrize("size", [1, 3])
    def test_actions_are_in_range_and_of_the_right_shape(self, programs, state, size):
        observation = random_batch(CHAINS, size).observation
        policy = programs.policy(state)
        for explore in (True, False):
            action = programs.act(policy, observation, jax.random.key(0), 0, explore)
            assert action.shape == (size, 2)
            assert action.dtype == jnp.float32
            assert np.abs(action).max() <= 1

    def test_exploration_draws_on_key_and_step_and_greed_does_not(self, programs, state):
        policy, observation = programs.policy(state), random_batch(CHAINS, 3).observation
        first, second = jax.random.key(1), jax.random.key(2)
        assert not np.array_equal(
            programs.act(policy, observation, first, 0, True), programs.act(policy, observation, second, 0, True)
        )
        assert not np.array_equal(
            programs.act(policy, observation, first, 0, True), programs.act(policy, observation, first, 1, True)
        )
        np.testing.assert_array_equal(
            programs.act(policy, observation, first, 0, False), programs.act(policy, observation, second, 5, False)
        )

    def test_an_update_changes_the_policy_and_is_a_function_of_its_arguments(self, programs, state):
        batch = random_batch(CHAINS, 8)
        after, metrics = programs.update(state, batch, jax.random.key(3))
        again, _ = programs.update(state, batch, jax.random.key(3))
        assert_same_bits(after, again)
        assert jax.tree.structure(after) == jax.tree.structure(state), "the state can be scanned over"
        before, now = bits(programs.policy(state)), bits(programs.policy(after))
        assert before != now
        assert all(np.shape(value) == () for value in metrics.values())
        # From the second update on: to an agent without an actor, all actions of the first are worth the same.
        one, other = (programs.update(after, batch, jax.random.key(number))[0] for number in (3, 4))
        assert bits(other) != bits(one)

    def test_experience_that_is_masked_out_does_not_count(self, programs, state):
        experience = chain_experience([0, 1, 2, 3])
        spoiled = jax.tree.map(lambda x: np.concatenate([x[:2], np.full_like(x[2:], np.nan)]), experience)
        mask = np.arange(4) < 2
        assert_same_bits(programs.observe(state, experience, mask), programs.observe(state, spoiled, mask))
        nothing = programs.observe(state, spoiled, np.zeros(4, bool))
        assert_same_bits(nothing, state)

    def test_metrics_and_state_stay_finite_for_huge_rewards(self, programs, state):
        huge = random_batch(CHAINS, 8, reward=1e6)
        for number in range(3):
            state, metrics = programs.update(state, huge, jax.random.key(number))
            assert all(np.isfinite(value) for value in metrics.values()), metrics
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))

    def test_a_population_under_vmap_equals_its_members_alone(self, agent, programs):
        keys = jax.random.split(jax.random.key(5), 3)
        batch = random_batch(CHAINS, 8)
        states = jax.jit(jax.vmap(agent.init))(keys)
        update = jax.jit(jax.vmap(agent.update, in_axes=(0, None, 0)))
        singles = [programs.init(key) for key in keys]
        for number in range(2):
            update_keys = jax.random.split(jax.random.key(number), 3)
            states, _ = update(states, batch, update_keys)
            singles = [programs.update(one, batch, key)[0] for one, key in zip(singles, update_keys, strict=True)]
        for member, single in enumerate(singles):
            for left, right in zip(jax.tree.leaves(states), jax.tree.leaves(single), strict=True):
                np.testing.assert_allclose(left[member], right, rtol=2e-3, atol=2e-5)

"""The angle-reading agent: a full turn of a joint changes nothing that it does or learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.sac import make_sac
from robo_rl.config import CriticConfig, NetworkConfig, SACConfig
from robo_rl.critics import make_head
from robo_rl.specs import ArraySpec, Experience
from tests.agents.conformance import CHAINS, AgentConformance, agent_program, random_batch
from tests.toys import compiled_quickly


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


SMALL = NetworkConfig(width=16, depth=1)
TURNING = dataclasses.replace(CHAINS, observation={"state": ArraySpec((4,), angles=(2,))})


def sac(spec, reads=True, **fields):
    critic = CriticConfig(bins=51)
    networks = {"actor_network": SMALL, "critic_network": SMALL}
    config = SACConfig(critic=critic, angles_by_sine_and_cosine=reads, **networks, **fields)
    return make_sac(config, spec, make_head(critic))


class TestSACThatReadsAngles(AgentConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls):
        return sac(TURNING, policy_average_rate=0.1, values_follow_scale=True)


def turned(observation, turns):
    return {"state": observation["state"] + turns * 2 * np.pi * np.float32([0, 0, 1, 0])}


def lived(agent, turns):
    """Actions, policy and last metrics after observing and learning from a batch, with the joint turned on `turns`."""
    batch = random_batch(CHAINS, 8)
    batch = batch._replace(
        observation=turned(batch.observation, turns), next_observation=turned(batch.next_observation, -turns)
    )

    @jax.jit
    def life(key):
        state = agent.observe(agent.init(key), Experience(batch, batch.reward), jnp.ones(8, bool))
        for _ in range(4):
            state, metrics = agent.update(state, batch, key)
        actions = [agent.act(agent.policy(state), batch.observation, key, 0, explore) for explore in (True, False)]
        return actions, agent.policy(state), metrics

    return life(jax.random.key(0))


def gap(here, there):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, (here, there)), strict=True))


def test_a_full_turn_changes_nothing_that_is_done_or_learned():
    # What comes next counts from the first update on: it learns fast, and targets do not lag.
    reading, blind = (sac(TURNING, reads, learning_rate=1e-2, target_rate=1.0) for reads in (True, False))
    assert gap(lived(reading, 0), lived(reading, 3)) < 1e-3
    assert gap(lived(blind, 0), lived(blind, 3)) > 0.1


def test_without_such_angles_the_field_changes_nothing():
    assert agent_program(sac(CHAINS)) == agent_program(sac(CHAINS, reads=False))
    assert agent_program(sac(TURNING)) != agent_program(sac(TURNING, reads=False))

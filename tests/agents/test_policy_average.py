import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.agent import Agent
from robo_rl.agents.policy_average import with_policy_average
from robo_rl.agents.sac import make_sac
from robo_rl.config import CriticConfig, NetworkConfig, SACConfig
from robo_rl.critics import make_head
from tests.agents.conformance import CHAINS, AgentConformance, random_batch
from tests.roles.parts import assert_same_bits
from tests.toys import compiled_quickly


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


SMALL = NetworkConfig(width=16, depth=1)


def sac(rate):
    critic = CriticConfig(bins=51)
    config = SACConfig(critic=critic, actor_network=SMALL, critic_network=SMALL, policy_average_rate=rate)
    return make_sac(config, CHAINS, make_head(critic))


class TestSACWithPolicyAverage(AgentConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls):
        return sac(0.1)


COUNTER = Agent(
    init=lambda key: jnp.float32(100.0),
    act=lambda policy, observation, key, step, explore: policy,
    update=lambda state, batch, key: (batch, {}),
    policy=lambda state: state,
    observe=lambda state, experience, mask: state,
)
"""Its policy is the number that it was last given."""


@pytest.mark.parametrize(
    ("numbers", "rate", "want"),
    [
        ([], 0.25, 100.0),
        ([1.0], 0.25, 1.0),  # nothing is left of the first weights
        ([1.0, 3.0, 8.0], 0.25, 4.0),  # a plain mean up to 1 / rate
        ([1.0, 3.0, 8.0, 4.0, 12.0], 0.25, 0.75 * 4.0 + 0.25 * 12.0),
        ([1.0, 3.0], 0.9, 0.1 * 1.0 + 0.9 * 3.0),
    ],
)
def test_the_average_is_a_mean_at_first_and_forgets_later(numbers, rate, want):
    agent = with_policy_average(COUNTER, rate)
    state = agent.init(jax.random.key(0))
    for number in numbers:
        state, _ = agent.update(state, jnp.float32(number), jax.random.key(0))
    act = functools.partial(agent.act, agent.policy(state), {}, jax.random.key(0), 0)
    assert float(act(False)) == pytest.approx(want)
    assert float(act(True)) == (numbers or [100.0])[-1]


def test_learning_and_exploration_do_not_see_the_average():
    averaging, plain = sac(0.5), sac(0.0)
    state, other = (jax.jit(agent.init)(jax.random.key(0)) for agent in (averaging, plain))
    update, update_other = jax.jit(averaging.update), jax.jit(plain.update)
    policies = []
    for number in range(3):
        batch, key = random_batch(CHAINS, 8, number), jax.random.key(number)
        state, _ = update(state, batch, key)
        other, _ = update_other(other, batch, key)
        policies.append(plain.policy(other))
    assert_same_bits(state.agent, other)

    observation, key = random_batch(CHAINS, 8).observation, jax.random.key(7)
    mean = jax.tree.map(lambda a, b, c: 0.25 * a + 0.25 * b + 0.5 * c, *policies)
    greedy = averaging.act(averaging.policy(state), observation, key, 3, False)
    np.testing.assert_allclose(greedy, plain.act(mean, observation, key, 3, False), rtol=1e-5, atol=1e-6)
    assert (greedy != plain.act(policies[-1], observation, key, 3, False)).any()
    explored = averaging.act(averaging.policy(state), observation, key, 3, True)
    np.testing.assert_array_equal(explored, plain.act(policies[-1], observation, key, 3, True))


def test_without_a_rate_the_state_is_that_of_the_agent_alone():
    assert type(sac(0.0).init(jax.random.key(0))).__name__ == "SACState"

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.following_values import FollowingState
from robo_rl.agents.sac import make_sac
from robo_rl.config import CriticConfig, NetworkConfig, SACConfig
from robo_rl.critics import make_head
from robo_rl.specs import Experience
from tests.agents.conformance import CHAINS, GAMMA, REWARD, AgentConformance, chain_steps
from tests.toys import compiled_quickly


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


SMALL = NetworkConfig(width=16, depth=1)


def sac(follows, **fields):
    critic = CriticConfig(bins=51, loss=fields.pop("loss", "hl_gauss"))
    networks = {"actor_network": SMALL, "critic_network": SMALL}
    config = SACConfig(critic=critic, discount=GAMMA, values_follow_scale=follows, **networks, **fields)
    return make_sac(config, CHAINS, make_head(critic))


class TestSACWithFollowingValues(AgentConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls):
        return sac(True)


@pytest.mark.parametrize("loss", ["mse", "hl_gauss", "c51"])
def test_values_that_follow_promise_no_more_after_the_scale_has_jumped(loss):
    """The first state of the chain that never ends, worth REWARD / (1 - GAMMA); then one return of 30 times as much."""
    batch, worth = jax.tree.map(jnp.asarray, chain_steps([0, 1] * 8)), REWARD / (1 - GAMMA)

    def promised(follows):
        agent = sac(follows, loss=loss, learning_rate=1e-2, entropy_in_target=False)

        def many(state, key):
            return jax.lax.scan(lambda s, k: agent.update(s, batch, k), state, jax.random.split(key, 400))

        def observed(state, running_return):
            return agent.observe(state, Experience(chain_steps([0]), np.float32([running_return])), jnp.ones(1, bool))

        @jax.jit
        def life(key):
            state, _ = many(observed(agent.init(key), worth), key)
            return many(observed(state, 30 * worth), key)[1]["q_mean"] / worth

        return np.asarray(life(jax.random.key(0)))

    following, left_behind = promised(True), promised(False)
    assert following[0] > 10, "at the jump itself nobody has learned of it"
    assert left_behind[100] > 5
    assert 0.2 < following[100] < 1.2
    assert following[100:].min() > 0.2, "what a state was worth is not forgotten"


def test_without_it_the_state_is_that_of_the_agent_alone():
    assert not isinstance(jax.eval_shape(sac(False).init, jax.random.key(0)), FollowingState)
    assert isinstance(jax.eval_shape(sac(True).init, jax.random.key(0)), FollowingState)

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.agents.sac import make_sac
from robo_rl.config import CriticConfig, NetworkConfig, SACConfig
from robo_rl.critics import HEADS, make_head
from robo_rl.roles.evaluator import policy_template
from tests.agents.conformance import (
    CHAIN_VALUES,
    CHAINS,
    IMAGE_CHANGES,
    REWARD,
    SEEING,
    AgentConformance,
    agent_program,
    chain_steps,
    fitted,
    random_batch,
    seen_batch,
)
from tests.agents.conformance import changed as changed_from
from tests.roles.parts import assert_same_bits, bits
from tests.toys import compiled_quickly

SMALL = NetworkConfig(width=16, depth=1)
BASE = SACConfig(discount=0.7, critic=CriticConfig(bins=51, quantiles=25), actor_network=SMALL, critic_network=SMALL)


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


changed = functools.partial(changed_from, BASE)


def sac(**fields):
    config = changed(**fields)
    return make_sac(config, CHAINS, make_head(config.critic))


@functools.cache
def plain():
    """Squared error, no scaling, no entropy in the target: what it does can be computed by hand. And its programs."""
    agent = sac(critic__loss="mse", scale_rewards=False, normalize_observations=False, entropy_in_target=False)
    return agent, jax.jit(agent.update), jax.jit(agent.init)(jax.random.key(0))


class TestSAC(AgentConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls):
        return sac()

    def test_the_template_of_the_policy_fits_the_policy(self, agent, state):
        template, policy = policy_template(agent), agent.policy(state)
        assert jax.tree.structure(template) == jax.tree.structure(policy)
        assert [x.shape for x in jax.tree.leaves(template)] == [x.shape for x in jax.tree.leaves(policy)]

    def test_members_of_the_ensemble_differ_and_stay_different(self, programs, state):
        after, _ = programs.update(state, random_batch(CHAINS, 8), jax.random.key(0))
        for critics in (state.critics, after.critics):
            kernel = critics["trunk"]["layers"][0]["kernel"]
            assert kernel.shape[0] == BASE.critic.ensemble
            assert not np.allclose(kernel[0], kernel[1])

    def test_the_targets_start_as_copies_and_follow_at_their_rate(self, programs, state):
        assert_same_bits(state.target_critics, state.critics)
        after, _ = programs.update(state, random_batch(CHAINS, 8), jax.random.key(0))

        def blend(old, new):
            return (1 - BASE.target_rate) * old + BASE.target_rate * new

        want = jax.tree.map(blend, state.target_critics, after.critics)
        for left, right in zip(jax.tree.leaves(after.target_critics), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
        assert bits(after.target_critics) != bits(state.target_critics)

    def test_a_new_critic_says_exactly_zero(self, programs, state):
        _, metrics = programs.update(state, random_batch(CHAINS, 8), jax.random.key(0))
        assert metrics["q_min"] == metrics["q_max"] == 0


@pytest.mark.parametrize("loss", HEADS)
def test_known_values_of_a_time_limit_and_of_a_termination(loss):
    agent = sac(
        critic__loss=loss, entropy_in_target=False, temperature_learning_rate=0.0, learning_rate=3e-3, target_rate=0.05
    )
    np.testing.assert_allclose(fitted(agent, 1500), CHAIN_VALUES, rtol=0.04)


@pytest.mark.parametrize("loss", HEADS)
def test_a_terminal_target_is_the_reward_whatever_the_temperature(loss):
    agent = sac(critic__loss=loss, critic__v_max=20.0, scale_rewards=False)
    update, state = jax.jit(agent.update), agent.init(jax.random.key(0))

    def learned(at, temperature):
        warm = state._replace(log_temperature=jnp.log(temperature))
        after, metrics = update(warm, chain_steps([at] * 8), jax.random.key(1))
        if loss == "mse" and at == 3:
            assert metrics["critic_loss"] == REWARD**2 / 2
        # Some heads' first gradient saturates, some heads' first loss is the same for all targets; never both
        return float(metrics["critic_loss"]), bits(after.critics)

    assert learned(3, 1e-3) == learned(3, 5.0)
    assert learned(1, 1e-3) != learned(1, 5.0), "where the episode goes on, entropy is worth something"


def test_a_batch_of_time_limits_only_has_the_right_target_and_a_gradient():
    _, update, state = plain()
    # A new critic says 0 everywhere, so the first target is the reward alone ...
    state, metrics = update(state, chain_steps([1] * 8), jax.random.key(0))
    assert metrics["critic_loss"] == REWARD**2 / 2
    assert metrics["critic_gradient_norm"] > 1
    # ... and from targets that say 10 everywhere, it is r + gamma * 10.
    bias = jax.tree.map(jnp.zeros_like, state.target_critics)
    bias["head"]["bias"] = bias["head"]["bias"] + 10
    zero = jax.tree.map(jnp.zeros_like, state.critics)
    _, metrics = update(state._replace(target_critics=bias, critics=zero), chain_steps([1] * 8), jax.random.key(0))
    np.testing.assert_allclose(metrics["critic_loss"], (REWARD + 0.7 * 10) ** 2 / 2, rtol=1e-6)


@pytest.mark.parametrize(("combine", "target"), [("min", REWARD - 0.7 * 10), ("mean", REWARD + 0.7 * 10)])
def test_the_ensemble_becomes_one_target_by_minimum_or_mean(combine, target):
    agent = sac(critic__loss="mse", critic__combine=combine, scale_rewards=False, entropy_in_target=False)
    state = agent.init(jax.random.key(0))
    targets = jax.tree.map(jnp.zeros_like, state.critics)
    targets["head"]["bias"] = jnp.array([[-10.0], [30.0]])
    _, metrics = jax.jit(agent.update)(state._replace(target_critics=targets), chain_steps([0] * 8), jax.random.key(0))
    np.testing.assert_allclose(metrics["critic_loss"], target**2 / 2, rtol=1e-6)


@pytest.mark.parametrize("rises", [True, False])
def test_the_temperature_moves_towards_the_target_entropy(rises):
    # No tanh-Gaussian on [-1, 1] has more than ln 2 = 0.69 nats per dimension; a new one has about 0.4.
    agent = sac(critic__loss="mse", target_entropy_per_dimension=2.0 if rises else -4.0, temperature_learning_rate=1e-2)
    update, state = jax.jit(agent.update), agent.init(jax.random.key(0))
    temperatures = []
    for number in range(4):
        state, metrics = update(state, random_batch(CHAINS, 8), jax.random.key(number))
        temperatures.append(float(metrics["temperature"]))
    assert temperatures[0] == pytest.approx(BASE.initial_temperature)
    assert all(np.diff(temperatures) > 0) if rises else all(np.diff(temperatures) < 0)


@pytest.mark.parametrize(("temperature", "entropy_in_target"), [(0.01, True), (10.0, True), (10.0, False)])
def test_the_log_says_how_much_room_the_entropy_lacks(temperature, entropy_in_target):
    agent = sac(initial_temperature=temperature, entropy_in_target=entropy_in_target)
    state = jax.jit(agent.init)(jax.random.key(0))
    _, metrics = jax.jit(agent.update)(state, random_batch(CHAINS, 8), jax.random.key(0))
    needed = entropy_in_target * temperature * CHAINS.action.shape[0] / (4 * (1 - BASE.discount))
    want = max(needed - BASE.critic.v_max / 2, 0)
    assert (want > 0) == (temperature > 1 and entropy_in_target)
    assert float(metrics["entropy_room_shortfall"]) == pytest.approx(want, rel=1e-5)


def test_without_reward_scaling_there_is_no_room_to_speak_of():
    _, update, state = plain()
    assert "entropy_room_shortfall" not in update(state, random_batch(CHAINS, 8), jax.random.key(0))[1]


def program(config):
    return agent_program(make_sac(config, CHAINS, make_head(config.critic)))


READ = {"weight_decay": 0.01, "learning_rate_decay_updates": 50}
"""Fields at 0 that leave another without an effect."""


@functools.cache
def base_program(loss):
    return program(changed(critic__loss=loss, **READ))


CHANGES = {
    "discount": 0.8, "critic__ensemble": 3, "critic__combine": "min", "critic__bins": 21, "critic__v_max": 7.0,
    "critic__padding_bins": 5, "critic__sigma_to_width": 0.6, "critic__quantiles": 7, "critic__huber_kappa": 0.5,
    "actor_network__kind": "residual", "actor_network__width": 8, "actor_network__depth": 2,
    "actor_network__layer_norm": False, "critic_network__kind": "residual", "critic_network__width": 8,
    "critic_network__depth": 2, "critic_network__layer_norm": False, "learning_rate": 1e-3, "weight_decay": 0.1,
    "learning_rate_decay_updates": 1000, "final_learning_rate": 1e-4,
    "max_gradient_norm": 1.0, "target_rate": 0.1, "initial_temperature": 0.5, "temperature_learning_rate": 1e-2,
    "exploration_octaves": 3,
    "target_entropy_per_dimension": -1.0, "entropy_in_target": False, "normalize_observations": False,
    "scale_rewards": False, "values_follow_scale": True, "policy_average_rate": 0.1,
}  # fmt: skip
LOSS_OF = {"critic__quantiles": "quantile", "critic__huber_kappa": "huber"}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_program(field):
    # A field that is accepted and has no effect cost a published method its result (traps B9, D6).
    loss = LOSS_OF.get(field, "hl_gauss")
    config = changed(**{"critic__loss": loss, **READ, field: CHANGES[field]})
    assert program(config) != base_program(loss)


def test_the_same_config_gives_the_same_program():
    assert program(changed(critic__loss="hl_gauss", **READ)) == base_program("hl_gauss")


def test_the_list_of_fields_is_complete():
    sections = ("critic", "actor_network", "critic_network", "image")
    every = {name for name in SACConfig.model_fields if name not in sections}
    every |= {f"{section}__{name}" for section in sections for name in type(getattr(BASE, section)).model_fields}
    # The loss has tests of its own above; n_step and warmup_octaves act in the actor, where their tests are, and angles
    # are read where an environment has them (test_read_angles).
    elsewhere = {"kind", "n_step", "warmup_octaves", "critic__loss", "angles_by_sine_and_cosine"}
    assert every - set(CHANGES) - set(IMAGE_CHANGES) == elsewhere


def seeing(**fields):
    config = changed_from(changed(image__patch=4, image__channels=6, image__features=5), **fields)
    return make_sac(config, SEEING, make_head(config.critic))


@pytest.mark.parametrize("field", IMAGE_CHANGES)
def test_every_field_of_the_image_changes_the_program_that_sees_and_no_other(field):
    def update(agent, batch):
        return jax.jit(agent.update).lower(jax.eval_shape(agent.init, jax.random.key(0)), batch, jax.random.key(0))

    change = {field: IMAGE_CHANGES[field]}
    assert update(seeing(**change), seen_batch(4)).as_text() != update(seeing(), seen_batch(4)).as_text()
    blind = random_batch(CHAINS, 4)
    assert update(sac(**change), blind).as_text() == update(sac(), blind).as_text()


def test_the_critics_train_the_encoder_and_the_actor_does_not():
    agent, batch = seeing(), seen_batch(8)
    state = jax.jit(agent.init)(jax.random.key(0))
    update = jax.jit(agent.update)
    # The first step moves the critics' last layer off zero, through which no gradient comes.
    state, _ = update(state, batch, jax.random.key(0))
    after, metrics = update(state, batch, jax.random.key(1))
    assert metrics["actor_gradient_norm"] > 0
    assert bits(after.encoder) != bits(state.encoder)
    assert bits(after.actor) != bits(state.actor)
    # Without a critic's gradient the encoder stands still, however much the actor learns.
    mute = jax.tree.map(jnp.zeros_like, state.critics)
    mute["network"]["head"]["bias"] = state.critics["network"]["head"]["bias"]
    still, metrics = update(state._replace(critics=mute, critic_optimizer=fresh(state)), batch, jax.random.key(1))
    assert_same_bits(still.encoder, state.encoder)


def fresh(state):
    """The critics' optimiser as it was before its first step: momentum would move what has no gradient."""
    return jax.tree.map(jnp.zeros_like, state.critic_optimizer)


def test_a_policy_that_sees_acts_on_what_it_sees():
    agent, batch = seeing(), seen_batch(8)
    policy = agent.policy(jax.jit(agent.init)(jax.random.key(0)))
    act = jax.jit(agent.act, static_argnums=4)
    action = act(policy, batch.observation, jax.random.key(0), 0, False)
    assert action.shape == (8, 2)
    other = act(policy, {**batch.observation, "camera": batch.observation["camera"][::-1]}, jax.random.key(0), 0, False)
    assert (action != other).any()

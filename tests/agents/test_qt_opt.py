import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest

from robo_rl.agents.qt_opt import QTOpt, make_qt_opt
from robo_rl.config import HeadConfig, NetworkConfig, QTOptConfig, SearchConfig
from robo_rl.critics import HEADS, make_head
from robo_rl.networks.q_network import QNetwork, make_q_network
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

SMALL_SEARCH = SearchConfig(samples=8, elites=3)
RANGE = (-5.0, 45.0)
BASE = QTOptConfig(
    discount=0.7, critic=HeadConfig(bins=51, quantiles=25), critic_network=NetworkConfig(width=16, depth=1),
    acting_search=SMALL_SEARCH, target_search=SMALL_SEARCH, target_rate=0.05, target_lag=20, value_range=RANGE,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _quickly():
    with compiled_quickly():
        yield


changed = functools.partial(changed_from, BASE)


def head_of(config):
    return make_head(config.critic, config.value_range)


def qt_opt(**fields):
    config = changed(**fields)
    return make_qt_opt(config, CHAINS, head_of(config))


class TestQTOpt(AgentConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls):
        return qt_opt()

    def test_the_template_of_the_policy_fits_the_policy(self, agent, state):
        template, policy = policy_template(agent), agent.policy(state)
        assert jax.tree.structure(template) == jax.tree.structure(policy)
        assert [x.shape for x in jax.tree.leaves(template)] == [x.shape for x in jax.tree.leaves(policy)]

    def test_a_new_critic_says_zero_and_targets_start_as_copies(self, programs, state):
        _, metrics = programs.update(state, random_batch(CHAINS, 8), jax.random.key(0))
        np.testing.assert_allclose([metrics["q_min"], metrics["q_max"]], 0, atol=1e-4)
        for target in (state.averaged, state.snapshot, state.lagged):
            assert_same_bits(target, state.critic)

    def test_greedy_actions_depend_neither_on_the_row_nor_on_the_batch(self, programs, state):
        trained, _ = programs.update(state, random_batch(CHAINS, 8), jax.random.key(0))
        policy, observation = programs.policy(trained), random_batch(CHAINS, 3).observation
        together = programs.act(policy, observation, jax.random.key(0), 0, False)
        alone = programs.act(policy, {"state": observation["state"][1:2]}, jax.random.key(0), 0, False)
        np.testing.assert_allclose(together[1:2], alone, rtol=1e-5)


@pytest.mark.parametrize("loss", HEADS)
def test_known_values_of_a_time_limit_and_of_a_termination(loss):
    agent = qt_opt(critic__loss=loss, learning_rate=1e-2, value_range=(-45.0, 45.0))
    np.testing.assert_allclose(fitted(agent, 1500), CHAIN_VALUES, rtol=0.04)


def test_the_second_target_is_the_average_of_one_to_two_lags_ago():
    lag = 3
    agent = qt_opt(critic__loss="mse", target_lag=lag)
    update, state = jax.jit(agent.update), jax.jit(agent.init)(jax.random.key(0))
    averages = [bits(state.averaged)]
    for number in range(1, 4 * lag):
        state, _ = update(state, random_batch(CHAINS, 8, seed=number), jax.random.key(number))
        averages.append(bits(state.averaged))
        age = number - averages.index(bits(state.lagged))
        assert age == lag + number % lag if number >= 2 * lag else bits(state.lagged) == averages[0]


def test_the_average_follows_at_its_rate():
    agent = qt_opt(critic__loss="mse")
    state = agent.init(jax.random.key(0))
    after, _ = jax.jit(agent.update)(state, random_batch(CHAINS, 8), jax.random.key(0))
    want = jax.tree.map(lambda old, new: 0.95 * old + 0.05 * new, state.averaged, after.critic)
    for left, right in zip(jax.tree.leaves(after.averaged), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
    assert_same_bits(agent.policy(after).averaged, after.averaged)


def bandit(loss="mse", **fields):
    """An agent whose network is a function: Q(s, a) = height - |a - params|^2, for parameters `[A]`, height `[]`."""
    config = changed(critic__loss=loss, normalize_observations=False, **fields)
    network = QNetwork(
        init=lambda key, outputs: {"at": jnp.zeros(2), "height": jnp.zeros(())},
        encode=lambda params, observation: observation["state"][:, :1],
        value=lambda params, features, action: (
            params["height"] - jnp.sum((action - params["at"]) ** 2, axis=-1, keepdims=True)
        ),
    )
    agent = make_qt_opt(config, CHAINS, head_of(config))
    plain = QTOpt(config, CHAINS, head_of(config), network, None)
    return agent, plain


def params(at, height):
    return {"at": jnp.array(at, jnp.float32), "height": jnp.float32(height)}


FINE = SearchConfig(samples=64, elites=15, iterations=10)


@pytest.mark.parametrize(
    ("lagged_at", "lagged_height", "next_value"),
    [([0.5, -0.5], 9.0, 3.0), ([0.5, -0.5], 2.0, 2.0), ([0.5, 0.0], 3.0, 2.75)],
)
def test_the_target_is_the_smaller_of_both_at_the_best_action_of_the_average(lagged_at, lagged_height, next_value):
    _, plain = bandit(target_search=FINE)
    state = plain_state(averaged=params([0.5, -0.5], 3.0), lagged=params(lagged_at, lagged_height))
    batch = chain_steps([0, 1, 2, 3])
    target = plain.targets(state, batch, jax.random.key(0))
    np.testing.assert_allclose(target.value, REWARD + batch.discount * next_value, rtol=2e-3)


def plain_state(averaged, lagged):
    from robo_rl.agents.qt_opt import QTOptState
    from robo_rl.networks import normalizer

    return QTOptState(averaged, averaged, averaged, lagged, None, normalizer.init(CHAINS), jnp.int32(0))


def test_acting_climbs_the_average_and_explores_as_configured():
    observation = random_batch(CHAINS, 4000).observation
    best = np.array([0.4, -0.3])

    def actions(explore, **fields):
        _, plain = bandit(acting_search=FINE, **fields)
        state = plain_state(averaged=params(best, 0.0), lagged=params([0.0, 0.0], 0.0))
        return np.asarray(plain.act(plain.policy(state), observation, jax.random.key(1), 0, explore))

    np.testing.assert_allclose(actions(False), np.tile(best, (4000, 1)), atol=0.03)
    noisy = actions(True, epsilon=0.0, action_noise=0.2)
    np.testing.assert_allclose(noisy.std(axis=0), 0.2, atol=0.02)
    np.testing.assert_allclose(noisy.mean(axis=0), best, atol=0.03)
    sometimes = actions(True, epsilon=0.25, action_noise=0.0)
    far = np.abs(sometimes - best).max(axis=1) > 0.05
    assert 0.2 < far.mean() < 0.28
    np.testing.assert_allclose(sometimes[far].std(axis=0), 3**-0.5, atol=0.06)


def program(config):
    return agent_program(make_qt_opt(config, CHAINS, head_of(config)))


READ = {"weight_decay": 0.01, "learning_rate_decay_updates": 50}
"""Fields at 0 that leave another without an effect."""


@functools.cache
def base_program(loss):
    return program(changed(critic__loss=loss, **READ))


CHANGES = {
    "critic__bins": 21, "critic__padding_bins": 5, "critic__sigma_to_width": 0.6, "critic__quantiles": 7,
    "critic__huber_kappa": 0.5, "critic_network__kind": "residual", "critic_network__width": 8,
    "critic_network__depth": 2, "critic_network__layer_norm": False, "learning_rate": 1e-3, "weight_decay": 0.1,
    "learning_rate_decay_updates": 1000, "final_learning_rate": 1e-4,
    "max_gradient_norm": 1.0, "target_rate": 0.1, "target_lag": 7, "conservatism": 0.5, "value_range": (0.0, 50.0),
    "acting_search__samples": 9, "acting_search__elites": 2, "acting_search__iterations": 3,
    "target_search__samples": 9, "target_search__elites": 2, "target_search__iterations": 3,
    "epsilon": 0.5, "action_noise": 0.3, "normalize_observations": False,
}  # fmt: skip
LOSS_OF = {"critic__quantiles": "quantile", "critic__huber_kappa": "huber"}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_program(field):
    loss = LOSS_OF.get(field, "hl_gauss")
    config = changed(**{"critic__loss": loss, **READ, field: CHANGES[field]})
    assert program(config) != base_program(loss)


def test_the_list_of_fields_is_complete():
    sections = ("critic", "critic_network", "acting_search", "target_search", "image")
    every = {name for name in QTOptConfig.model_fields if name not in sections}
    every |= {f"{section}__{name}" for section in sections for name in type(getattr(BASE, section)).model_fields}
    # The loss has tests of its own above; n_step and discount act in the actor, and in the value range.
    assert every - set(CHANGES) - set(IMAGE_CHANGES) == {"kind", "n_step", "discount", "critic__loss"}


def seeing(**fields):
    config = changed_from(changed(image__patch=4, image__channels=6, image__features=5), **fields)
    return make_qt_opt(config, SEEING, head_of(config))


@functools.cache
def seeing_program(field=None):
    agent = seeing(**({} if field is None else {field: IMAGE_CHANGES[field]}))
    state = jax.eval_shape(agent.init, jax.random.key(0))
    return jax.jit(agent.update).lower(state, seen_batch(4), jax.random.key(0)).as_text()


@pytest.mark.parametrize("field", IMAGE_CHANGES)
def test_every_field_of_the_image_changes_the_program_that_sees(field):
    assert seeing_program(field) != seeing_program()


def test_a_q_function_that_sees_learns_and_acts_on_what_it_sees():
    agent, batch = seeing(), seen_batch(8)
    state, update = jax.jit(agent.init)(jax.random.key(0)), jax.jit(agent.update)
    losses = []
    for number in range(30):
        state, metrics = update(state, batch, jax.random.key(number))
        losses.append(float(metrics["critic_loss"]))
    assert losses[-1] < losses[0]
    act, policy = jax.jit(agent.act, static_argnums=4), agent.policy(state)
    action = act(policy, batch.observation, jax.random.key(0), 0, False)
    assert action.shape == (8, 2)
    other = act(policy, {**batch.observation, "camera": batch.observation["camera"][::-1]}, jax.random.key(0), 0, False)
    assert (action != other).any()


def test_the_network_of_the_face_is_the_one_that_is_used():
    config = changed()
    network = make_q_network(config.critic_network, CHAINS, head_of(config).num_outputs)
    state = qt_opt().init(jax.random.key(0))
    assert jax.tree.structure(network.init(jax.random.key(0), jnp.zeros(57))) == jax.tree.structure(state.critic)


def test_the_greedy_policy_can_be_exported_for_any_batch_size():
    agent = qt_opt()
    policy = agent.policy(agent.init(jax.random.key(0)))
    (batch,) = jax.export.symbolic_shape("b")
    observation = {"state": jax.ShapeDtypeStruct((batch, 4), jnp.float32)}
    exported = jax.export.export(jax.jit(lambda o: agent.act(policy, o, jax.random.key(0), 0, False)))(observation)
    observation = random_batch(CHAINS, 5).observation
    want = agent.act(policy, observation, jax.random.key(0), 0, False)
    np.testing.assert_allclose(exported.call(observation), want, rtol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "hl_gauss", "quantile"])
def test_conservatism_holds_down_what_the_data_do_not_show(loss):
    """One action is seen, worth 20. What is claimed for the opposite one, which is not, shall be the least return."""
    batch = random_batch(CHAINS, 64)._replace(
        observation={"state": np.ones((64, 4), np.float32)},
        action=np.full((64, 2), 0.6, np.float32),
        reward=np.full(64, 20, np.float32),
        discount=np.zeros(64, np.float32),
    )
    wide = {"critic__loss": loss, "critic_network__width": 64, "learning_rate": 3e-3}

    def values(**fields):
        config = changed(normalize_observations=False, **wide, **fields)
        agent, head = make_qt_opt(config, CHAINS, head_of(config)), head_of(config)
        update = jax.jit(lambda state, key: agent.update(state, batch, key)[0])
        state = agent.init(jax.random.key(0))
        for number in range(300):
            state = update(state, jax.random.key(number))
        network = make_q_network(config.critic_network, CHAINS, head.num_outputs)
        features = network.encode(state.critic, {"state": jnp.ones((1, 4))})
        outputs = network.value(state.critic, features, jnp.array([[[0.6, 0.6], [-0.6, -0.6]]]))[0]
        return [float(head.value(each)) for each in outputs]

    shown, unseen = values(conservatism=0.3)
    assert shown > 14
    assert unseen < RANGE[0] + 4
    assert values()[1] > unseen + 5


def test_the_search_and_the_doubted_actions_draw_apart(monkeypatch):
    seen = []

    def kept(name):
        whole = getattr(QTOpt, name)

        def with_key(self, *arguments):
            seen.append(np.asarray(jax.random.key_data(arguments[-1])).tolist())
            return whole(self, *arguments)

        return with_key

    for name in ("targets", "doubt"):
        monkeypatch.setattr(QTOpt, name, kept(name))
    agent, key = qt_opt(conservatism=0.5), jax.random.key(3)
    with jax.disable_jit():
        agent.update(agent.init(jax.random.key(0)), random_batch(CHAINS, 2), key)
    assert len(seen) == 2
    # What a search splits off its key must not be what another part of the update draws from
    search = jax.random.split(jax.random.wrap_key_data(jnp.uint32(seen[0])), 9)
    assert seen[1] not in jax.random.key_data(search).tolist()


def test_a_range_of_returns_runs_from_the_least_to_the_greatest():
    with pytest.raises(pydantic.ValidationError, match="must be below the greatest"):
        QTOptConfig(value_range=(3.0, -2.0))

"""What every value head must hold. A new head's test inherits `HeadConformance` and says how its head is made.

The two-state problems have closed forms: state 0 leads to state 1 with reward r, state 1 back to state 0 with reward
r. Either a time limit cuts the episode after state 1 (discount stays gamma: the values are those of the endless
chain), or the episode really terminates there (discount 0).
"""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st

from robo_rl.config import CriticConfig
from robo_rl.critics import combine, make_head
from robo_rl.errors import ConfigError

GAMMA = 0.7
REWARD = 0.6
BONUS = 0.3


def random_outputs(head, seed, *leading):
    return jax.random.normal(jax.random.key(seed), (*leading, head.num_outputs))


@functools.partial(jax.jit, static_argnums=0)
def fit(head, reward, discount, bonus):
    """Values [2] after temporal-difference learning with a table of outputs [2, O]; state s leads to state 1 - s."""
    steps = 1_500
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    table = random_outputs(head, 0, 2)

    def loss(table):
        targets = jax.vmap(head.target)(reward, discount, table[::-1], bonus)
        return jnp.mean(jax.vmap(head.loss)(table, targets))

    def step(carry, _):
        table, state = carry
        updates, state = optimiser.update(jax.grad(loss)(table), state)
        return (optax.apply_updates(table, updates), state), None

    (table, _), _ = jax.lax.scan(step, (table, optimiser.init(table)), length=steps)
    return jax.vmap(head.value)(table)


class HeadConformance:
    """Inherit, set `loss_name` and override what differs."""

    loss_name: str
    has_support = True

    @pytest.fixture
    def head(self):
        return make_head(CriticConfig(loss=self.loss_name))

    def target_mean(self, head, target):
        """The mean of `target.value`; distributions override it."""
        return target.value

    # --- the protocol -------------------------------------------------------------------------------------------

    def test_is_a_cheap_hashable_value(self, head):
        twin = make_head(CriticConfig(loss=self.loss_name))
        assert twin == head
        assert hash(twin) == hash(head)
        assert isinstance(head.num_outputs, int)

    def test_shapes_and_dtypes(self, head):
        outputs, ensemble = random_outputs(head, 0), random_outputs(head, 1, 3)
        target = head.target(0.1, 0.9, outputs, 0.2)
        assert head.value(outputs).shape == target.clipped.shape == head.loss(outputs, target).shape == ()
        assert head.mixture(ensemble).shape == combine(head, ensemble, "min").shape == (head.num_outputs,)
        assert all(leaf.dtype == jnp.float32 for leaf in (*target, head.value(outputs), head.loss(outputs, target)))

    def test_zero_outputs_decode_to_exactly_the_middle(self, head):
        assert head.value(jnp.zeros(head.num_outputs)) == 0.0

    def test_batches_of_any_shape_equal_a_loop_over_examples(self, head):
        for leading in ((), (1,), (3,), (2, 3)):
            outputs, following = random_outputs(head, 2, *leading), random_outputs(head, 3, *leading)
            reward = jax.random.normal(jax.random.key(4), leading)

            def one(reward, outputs, following):
                return head.loss(outputs, head.target(reward, 0.9, following, 0.1))

            batched = one
            for _ in leading:
                batched = jax.vmap(batched)
            got = jax.jit(batched)(reward, outputs, following)
            want = [one(reward[at], outputs[at], following[at]) for at in np.ndindex(leading)]
            assert got.shape == leading
            np.testing.assert_allclose(got.ravel(), want, rtol=2e-5, atol=1e-6)

    def test_wrong_ranks_and_dtypes_raise(self, head):
        good = random_outputs(head, 0)
        target = head.target(0.1, 0.9, good, 0.0)
        for bad in (good[None], jnp.append(good, 0.0), good[0]):
            for use in (head.value, lambda x: head.loss(x, target), lambda x: head.target(0.1, 0.9, x, 0.0)):
                with pytest.raises(ValueError, match="vmap"):
                    use(bad)
        for arguments in ((jnp.zeros(1), 0.9, 0.0), (0.1, jnp.zeros(1), 0.0), (0.1, 0.9, jnp.zeros(1))):
            with pytest.raises(ValueError, match="vmap"):
                head.target(arguments[0], arguments[1], good, arguments[2])
        with pytest.raises(ValueError, match="vmap"):
            head.loss(good, target._replace(value=target.value[None]))
        with pytest.raises(ValueError, match="vmap"):
            head.mixture(good)
        for dtype in (jnp.bfloat16, jnp.int32):
            with pytest.raises(TypeError, match="float32"):
                head.value(good.astype(dtype))

    # --- targets ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("bonus", [0.0, -7.0, 1e4, -1e6])
    def test_a_terminal_target_is_the_reward_whatever_the_entropy(self, head, bonus):
        for reward in (0.37, -2.0, 5.0, -5.0):
            target = head.target(reward, 0.0, 3 * random_outputs(head, 5), bonus)
            assert float(self.target_mean(head, target)) == pytest.approx(reward, abs=2e-6)
            assert target.clipped == 0.0

    @pytest.mark.parametrize("bonus", [0.0, 0.4, -0.4])
    def test_the_bonus_is_discounted_with_the_next_value(self, head, bonus):
        following = random_outputs(head, 6)
        target = head.target(0.2, 0.5, following, bonus)
        want = 0.2 + 0.5 * (float(head.value(following)) + bonus)
        assert float(self.target_mean(head, target)) == pytest.approx(want, abs=1e-5)

    def test_clipped_says_how_much_lay_outside(self, head):
        far = head.target(1e6, 0.9, random_outputs(head, 7), 0.0)
        assert float(far.clipped) == pytest.approx(float(self.has_support), abs=1e-6)

    # --- gradients ----------------------------------------------------------------------------------------------

    def test_gradient_reaches_the_outputs_only(self, head):
        def loss(outputs, reward, discount, following, bonus):
            return head.loss(outputs, head.target(reward, discount, following, bonus))

        arguments = random_outputs(head, 8), 0.3, 0.9, random_outputs(head, 9), 0.1
        gradients = jax.grad(loss, argnums=(0, 1, 2, 3, 4))(*arguments)
        assert np.abs(gradients[0]).max() > 1e-4
        assert all(np.all(np.asarray(gradient) == 0) for gradient in gradients[1:])

    def test_a_batch_of_time_limits_has_a_gradient(self, head):
        # A time limit keeps the discount; dropping such steps, or their errors, would leave no gradient here.
        following, outputs = random_outputs(head, 10, 4), jnp.zeros((4, head.num_outputs))

        def loss(outputs):
            targets = jax.vmap(lambda x: head.target(0.5, 0.99, x, 0.0))(following)
            return jnp.mean(jax.vmap(head.loss)(outputs, targets))

        assert np.abs(jax.grad(loss)(outputs)).max(axis=1).min() > 1e-5

    @hypothesis.settings(
        deadline=None, max_examples=25, suppress_health_check=[hypothesis.HealthCheck.differing_executors]
    )
    @hypothesis.given(reward=st.floats(-1e6, 1e6, width=32), spread=st.floats(0, 30, width=32))
    def test_loss_and_gradient_stay_finite_far_outside_the_support(self, reward, spread):
        head = make_head(CriticConfig(loss=self.loss_name))
        outputs = spread * random_outputs(head, 11)
        target = head.target(reward, 0.99, outputs, -3.0)
        loss, gradient = jax.value_and_grad(head.loss)(outputs, target)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
        assert 0 <= target.clipped <= 1 + 1e-6

    def test_a_nan_is_passed_on_and_not_hidden(self, head):
        target = head.target(float("nan"), 0.9, random_outputs(head, 0), 0.0)
        assert np.isnan(head.loss(random_outputs(head, 1), target))

    # --- ensembles ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("members", [1, 2, 5])
    def test_the_mixture_decodes_to_the_mean_of_the_values(self, head, members):
        outputs = 4 * random_outputs(head, 12, members)
        want = np.mean(jax.vmap(head.value)(outputs))
        assert float(head.value(combine(head, outputs, "mean"))) == pytest.approx(float(want), abs=1e-5)

    def test_min_takes_the_member_with_the_smallest_value(self, head):
        outputs = 4 * random_outputs(head, 13, 5)
        values = jax.vmap(head.value)(outputs)
        np.testing.assert_array_equal(combine(head, outputs, "min"), outputs[int(np.argmin(values))])

    def test_another_way_to_combine_is_refused(self, head):
        with pytest.raises(ConfigError, match="'mean', 'min'"):
            combine(head, random_outputs(head, 0, 2), "median")

    # --- known values -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("bonus", [0.0, BONUS])
    def test_a_time_limit_leaves_the_value_of_the_endless_chain(self, head, bonus):
        values = fit(head, jnp.full(2, REWARD), jnp.full(2, GAMMA), jnp.full(2, bonus))
        np.testing.assert_allclose(values, (REWARD + GAMMA * bonus) / (1 - GAMMA), atol=0.01)

    @pytest.mark.parametrize("bonus", [0.0, BONUS])
    def test_termination_ends_the_return_and_the_bonus(self, head, bonus):
        values = fit(head, jnp.full(2, REWARD), jnp.array([GAMMA, 0.0]), jnp.full(2, bonus))
        np.testing.assert_allclose(values, [REWARD + GAMMA * (REWARD + bonus), REWARD], atol=0.01)

    def test_three_steps_at_once_lead_to_the_same_value(self, head):
        window = REWARD * (1 + GAMMA + GAMMA**2)
        values = fit(head, jnp.full(2, window), jnp.full(2, GAMMA**3), jnp.zeros(2))
        np.testing.assert_allclose(values, REWARD / (1 - GAMMA), atol=0.01)

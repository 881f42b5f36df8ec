import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.config import HeadConfig
from robo_rl.critics import HEADS, make_head
from robo_rl.critics.value_range import MARGIN, outputs_of_zero, value_range
from robo_rl.errors import ConfigError
from robo_rl.specs import ArraySpec, EnvSpec

SPEC = EnvSpec(name="toy/none", observation={}, action=ArraySpec((1,)), episode_steps=20, control_hz=1.0)


@pytest.mark.parametrize(
    ("bounds", "once", "expected"),
    [((0.0, 1.0), False, (0.0, 10.0)), ((-0.1, 0.9), False, (-1.0, 9.0)), ((-0.05, 0.95), True, (-0.5, 0.95)),
     ((0.2, 1.0), False, (0.2, 10.0)), ((-2.0, -1.0), False, (-20.0, -1.0))],
)  # fmt: skip
def test_the_range_holds_every_return_that_can_be_had(bounds, once, expected):
    lo, hi = value_range(dataclasses.replace(SPEC, reward_bounds=bounds, pays_once=once), 0.9)
    room = MARGIN * (expected[1] - expected[0])
    np.testing.assert_allclose((lo + room, hi - room), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("once", [False, True])
def test_no_episode_leaves_the_range(once):
    rng = np.random.default_rng(0)
    lo, hi = value_range(dataclasses.replace(SPEC, reward_bounds=(-0.1, 0.9), pays_once=once), 0.9)
    for length in rng.integers(1, 200, 200):
        reward = np.full(length, -0.1)
        reward[-1] = rng.choice([-0.1, 0.9])
        if not once:
            reward = rng.uniform(-0.1, 0.9, length)
        assert lo <= np.sum(reward * 0.9 ** np.arange(length)) <= hi


def test_an_environment_without_bounds_or_without_a_choice_is_refused():
    with pytest.raises(ConfigError, match=r"toy/none.*agent\.value_range"):
        value_range(SPEC, 0.9)
    with pytest.raises(ConfigError, match="nothing to learn"):
        value_range(dataclasses.replace(SPEC, reward_bounds=(0.0, 0.0)), 0.9)


@pytest.mark.parametrize("bounds", [(-0.6, 10.4), (-1.0, 1.0), (-30.0, 2.0)])
@pytest.mark.parametrize("loss", HEADS)
def test_first_outputs_decode_to_no_return(loss, bounds):
    head = make_head(HeadConfig(loss=loss, bins=51), bounds)
    outputs = jax.jit(lambda: outputs_of_zero(head))()
    assert outputs.shape == (head.num_outputs,)
    assert abs(head.value(outputs)) < 1e-4
    if sum(bounds) == 0 or loss in ("mse", "huber", "quantile"):
        np.testing.assert_array_equal(outputs, jnp.zeros(head.num_outputs))


def test_the_range_reaches_heads_with_a_support():
    for loss in ("two_hot", "c51", "hl_gauss"):
        head = make_head(HeadConfig(loss=loss), (-0.5, 3.0))
        assert (head.lo, head.hi) == (-0.5, 3.0)
    with pytest.raises(TypeError, match="value_range"):
        make_head(HeadConfig())


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.2, 1.0), (-1.0, 0.0), (-2.0, -1.0)])
@pytest.mark.parametrize("loss", ["two_hot", "c51", "hl_gauss", "softmax_mse", "log_loss"])
def test_where_zero_is_no_inner_point_first_outputs_are_near_it_and_can_still_learn(loss, bounds):
    head = make_head(HeadConfig(loss=loss, bins=51), bounds)
    outputs = outputs_of_zero(head)
    lo, hi = bounds
    nearest, value = np.clip(0.0, lo, hi), float(head.value(outputs))
    # hl_gauss has padding beyond the range, so its ends are a little further out
    assert abs(value - nearest) < 0.04 * (hi - lo)
    assert np.abs(outputs).max() < 40, "a softmax this sure of the end takes thousands of steps to be anything else"

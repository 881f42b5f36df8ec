"""The plasticity test at tiny size: what it trains on, that it learns, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.compare.plasticity import PlasticityConfig, check, make_problems, mean_squared_errors
from robo_rl.config import CriticConfig, NetworkConfig
from robo_rl.critics import HEADS
from robo_rl.errors import ConfigError
from tests.toys import compiled_quickly

TINY = PlasticityConfig(
    losses=("mse",), offsets=(0.0, 3.0), members=2, steps=60, measurements=3, batch_size=16, inputs=24, input_size=8,
    network=NetworkConfig(width=32, depth=1), critic=CriticConfig(v_max=4.0, bins=41),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _fast():
    with compiled_quickly():
        yield


@pytest.fixture(scope="module")
def problems():
    return make_problems(TINY)


def changed(**fields):
    return TINY.model_copy(update=fields)


def test_targets_are_an_arbitrary_sine_around_each_offset(problems):
    x, y = (np.asarray(array) for array in problems)
    assert x.shape == (2, 24, 8)
    assert y.shape == (2, 2, 24)
    sines = y - np.array([0.0, 3.0])[:, None]
    assert np.abs(sines).max() <= 1 + 1e-6
    assert np.square(sines).mean() == pytest.approx(0.5, abs=0.12)
    # A new random function for each target and each member
    flat = sines.reshape(4, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.6


def test_a_members_problem_is_its_seeds_alone(problems):
    second = make_problems(changed(seed=TINY.seed + 1, members=1))
    np.testing.assert_array_equal(second.x[0], problems.x[1])
    np.testing.assert_allclose(second.y[0], problems.y[1], atol=1e-3)


@pytest.mark.parametrize("loss", ["mse", "softmax_mse", "two_hot", "hl_gauss"])
def test_each_loss_learns_every_target_better_than_by_its_offset_alone(problems, loss):
    errors = mean_squared_errors(changed(steps=450), loss, problems)
    assert errors.shape == (2, 2, 3)
    assert (errors[:, :, -1] < 0.3).all()
    assert (errors[:, 1, -1] < errors[:, 1, 0]).all()


def test_the_weights_go_on_from_target_to_target(problems):
    # Were they made anew, the second target would be learned as if the first had never been.
    both = mean_squared_errors(TINY, "mse", problems)
    alone = mean_squared_errors(changed(offsets=(3.0,)), "mse", problems._replace(y=problems.y[:, 1:]))
    assert both.shape[1] == 2
    assert np.abs(both[:, 1] - alone[:, 0]).max() > 1e-3


def test_losses_meet_the_same_problem_and_the_first_weights_say_zero(problems):
    untrained = changed(learning_rate=1e-12, steps=1, measurements=1)
    want = jnp.mean(jnp.square(problems.y), axis=2)
    for loss in ("mse", "hl_gauss"):
        np.testing.assert_allclose(mean_squared_errors(untrained, loss, problems)[:, :, 0], want, rtol=1e-4)


def test_a_member_does_not_depend_on_its_neighbours(problems):
    alone = mean_squared_errors(changed(members=1), "mse", jax.tree.map(lambda array: array[:1], problems))
    np.testing.assert_allclose(mean_squared_errors(TINY, "mse", problems)[:1], alone, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"losses": ("mse", "hlgauss")}, "Did you mean 'hl_gauss'"),
        ({"losses": ("mse", "mse")}, "name each once"),
        ({"steps": 7}, "measurements 3; the second must divide it"),
        ({"offsets": (0.0, 3.5)}, r"offsets holds 3\.5, .*\[-4, 4\]"),
    ],
)
def test_what_cannot_be_trained_is_refused(problems, fields, said):
    with pytest.raises(ConfigError, match=said):
        check(changed(**fields))


def test_the_defaults_can_be_trained_and_so_can_every_head():
    check(PlasticityConfig())
    check(PlasticityConfig(losses=tuple(HEADS)))

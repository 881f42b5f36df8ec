import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.errors import DivergedError
from robo_rl.metrics.rows import plain_row


def test_scalars_of_numpy_and_jax_become_python_numbers():
    row = plain_row(
        {"env_steps": np.int64(3), "q_mean": jnp.float32(0.5), "critic_loss": np.float64(2), "waiting": None}
    )
    assert row == {"env_steps": 3, "q_mean": 0.5, "critic_loss": 2.0, "waiting": None}
    assert [type(value) for value in row.values()] == [int, float, float, type(None)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf"), jnp.float32("nan")])
def test_the_first_number_that_is_not_finite_is_named(value):
    with pytest.raises(DivergedError, match="'critic_loss'"):
        plain_row({"env_steps": 1, "critic_loss": value, "q_mean": value})


@pytest.mark.parametrize("value", [np.zeros(1), [1.0], {"a": 1}])
def test_a_value_that_is_no_scalar_is_refused(value):
    with pytest.raises(ValueError, match="'q_mean'"):
        plain_row({"env_steps": 1, "q_mean": value})


@pytest.mark.parametrize("row", [{}, {"env_steps": 1.0}, {"env_steps": True}, {"env_steps": -1}, {"env_steps": None}])
def test_every_row_has_whole_env_steps(row):
    with pytest.raises(ValueError, match="env_steps"):
        plain_row(row)

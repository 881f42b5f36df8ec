import jax
import numpy as np
import pytest

from robo_rl.networks.exploration import first_actions, lasting_noise

STEPS, STREAMS = 2048, 64


def noise(octaves, key=0):
    """Noise of `STREAMS` independent numbers over `STEPS` steps, `[T, N]`."""
    each = jax.jit(jax.vmap(lambda step: lasting_noise(jax.random.key(key), step, (STREAMS,), octaves)))
    return np.asarray(each(np.arange(STEPS)))


def correlation(x, lag):
    """Correlation of all streams with themselves `lag` steps later."""
    return float(np.mean(x[:-lag] * x[lag:]) / np.mean(x**2))


@pytest.mark.parametrize("octaves", [1, 4, 9])
def test_each_number_is_standard_normal(octaves):
    # Over keys and not over time: what lasts longest has few independent values in one stream.
    values = jax.vmap(lambda key: lasting_noise(key, 5, (STREAMS,), octaves))(jax.random.split(jax.random.key(1), 256))
    assert np.mean(values) == pytest.approx(0, abs=0.03)
    assert np.std(values) == pytest.approx(1, abs=0.02)


def test_one_octave_is_white():
    x = noise(1)
    assert abs(correlation(x, 1)) < 0.02
    assert abs(correlation(x, 7)) < 0.02


def test_octaves_make_it_last_as_long_as_they_should():
    x = noise(4)
    # Octave k keeps its value from one step to the next with probability 1 - 2^-k: of four octaves
    # (0 + 1/2 + 3/4 + 7/8) / 4 is what remains after one step, and nothing is left of any after eight.
    assert correlation(x, 1) == pytest.approx(0.53, abs=0.03)
    assert abs(correlation(x, 8)) < 0.03


def test_many_octaves_have_a_spectrum_that_falls_as_one_over_f():
    power = np.mean(np.abs(np.fft.rfft(noise(9), axis=0)) ** 2, axis=1)
    low, high = power[8:16].mean(), power[256:512].mean()
    # 1/f would be a factor of 32 between frequencies 32 apart; white is 1 and a random walk about 1,000.
    assert 10 < low / high < 100


def test_it_is_a_function_of_key_and_step():
    np.testing.assert_array_equal(noise(3), noise(3))
    assert not np.array_equal(noise(3), noise(3, key=1))
    one = lasting_noise(jax.random.key(0), 77, (STREAMS,), 3)
    np.testing.assert_allclose(one, noise(3)[77], rtol=1e-6)


def test_no_octaves_are_refused():
    with pytest.raises(ValueError, match="at least 1 octave"):
        lasting_noise(jax.random.key(0), 0, (2,), 0)


def test_first_actions_without_octaves_are_uniform_and_white():
    keys = jax.random.split(jax.random.key(2), 512)
    values = np.asarray(jax.vmap(lambda key: first_actions(key, 5, (STREAMS,), 0))(keys))
    share, _ = np.histogram(values, bins=8, range=(-1, 1))
    np.testing.assert_allclose(share / values.size, 1 / 8, atol=0.01)
    two = [np.asarray(first_actions(keys[0], step, (4096,), 0)) for step in (0, 1)]
    assert abs(np.corrcoef(*two)[0, 1]) < 0.05


def test_first_actions_are_the_squashed_noise_and_last_as_it_does():
    x = np.asarray(jax.vmap(lambda step: first_actions(jax.random.key(0), step, (STREAMS,), 4))(np.arange(STEPS)))
    np.testing.assert_allclose(np.arctanh(x), noise(4), atol=1e-3)
    assert correlation(x, 1) == pytest.approx(0.51, abs=0.04)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rl.networks.angles import has_angles, sine_and_cosine, without_turns
from robo_rl.specs import ArraySpec, EnvSpec

SPEC = EnvSpec(
    name="toy/turning",
    observation={
        "camera": ArraySpec((2, 2, 3), "uint8"),
        "position": ArraySpec((4,), unit="rad", angles=(1, 3)),
        "velocity": ArraySpec((2,)),
    },
    action=ArraySpec((1,), minimum=-1, maximum=1),
    episode_steps=5,
    control_hz=1.0,
)


def observation(position):
    position = jnp.asarray(position, jnp.float32)
    camera = jnp.zeros((*position.shape[:-1], 2, 2, 3), jnp.uint8)
    return {"camera": camera, "position": position, "velocity": position[..., :2]}


def test_angles_go_behind_the_rest_as_sines_and_then_cosines():
    read = sine_and_cosine(SPEC, observation([[5.0, 0.5, 7.0, -2.0]]))
    want = [5.0, 7.0, np.sin(0.5), np.sin(-2.0), np.cos(0.5), np.cos(-2.0)]
    np.testing.assert_allclose(read["position"], [want], rtol=1e-6)
    np.testing.assert_array_equal(read["velocity"], [[5.0, 0.5]])
    assert read["camera"].shape == (1, 2, 2, 3)


@given(st.floats(-3, 3), st.integers(-20, 20))
def test_a_full_turn_more_is_the_same_place(angle, turns):
    here = sine_and_cosine(SPEC, observation([1.0, angle, 1.0, 0.0]))
    there = sine_and_cosine(SPEC, observation([1.0, angle + turns * 2 * np.pi, 1.0, 0.0]))
    np.testing.assert_allclose(here["position"], there["position"], atol=1e-4)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_the_spec_says_what_comes(leading):
    read = without_turns(SPEC)
    arrays = jax.jit(lambda x: sine_and_cosine(SPEC, x))(observation(jnp.zeros((*leading, 4))))
    for name, array in arrays.items():
        assert array.shape == (*leading, *read.observation[name].shape), name
        assert array.dtype == read.observation[name].dtype, name
    assert has_angles(SPEC)
    assert not has_angles(read)


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \[3\]; it must end in \[4\]"):
        sine_and_cosine(SPEC, observation([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("array", [ArraySpec((2, 2), angles=(0,)), ArraySpec((2,), angles=(2,))])
def test_angles_that_a_vector_cannot_have_are_refused(array):
    wrong = EnvSpec("toy/wrong", {"position": array}, SPEC.action, 5, 1.0)
    with pytest.raises(ValueError, match=r"'position' of shape .* cannot have angles"):
        without_turns(wrong)

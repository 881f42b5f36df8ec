import json

import numpy as np
import pytest

from robo_rl.specs import ArraySpec, EnvSpec, zero_transition
from tests.toys import SPEC

PIXELS = EnvSpec(
    name="images/none",
    observation={
        "camera": ArraySpec((4, 5, 3), "uint8", "intensity", 0, 255),
        "joints": ArraySpec((7,), unit="rad", angles=(0, 6)),
    },
    action=ArraySpec((2,), minimum=-1, maximum=1),
    episode_steps=10,
    control_hz=5.0,
    env_steps_per_step=2,
)


@pytest.mark.parametrize("spec", [SPEC, PIXELS])
def test_a_spec_survives_json(spec):
    assert EnvSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_from_json_is_hashable_where_the_program_compares_it():
    again = EnvSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again.reward_bounds == (0.0, 1.0)
    assert again.observation["position"].shape == (2,)
    assert hash(again.action) == hash(SPEC.action)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_zero_transition_has_the_shapes_and_types_of_the_spec(leading):
    zero = zero_transition(PIXELS, *leading)
    for side in (zero.observation, zero.next_observation):
        assert {name: (value.shape, value.dtype.name) for name, value in side.items()} == {
            "camera": ((*leading, 4, 5, 3), "uint8"),
            "joints": ((*leading, 7), "float32"),
        }
    assert zero.action.shape == (*leading, 2)
    assert zero.reward.shape == zero.discount.shape == leading
    assert zero.reward.dtype == zero.discount.dtype == np.float32


def test_the_arrays_of_a_zero_transition_are_its_own():
    zero = zero_transition(SPEC, 2)
    zero.reward[:] = 1
    zero.observation["position"][:] = 1
    assert not zero.discount.any()
    assert not zero.next_observation["position"].any()

"""Angles of joints without limits are found in what the suite shows."""

import numpy as np
import pytest
from dm_control import suite

from robo_rl.config import EnvConfig
from robo_rl.envs import make
from robo_rl.envs.turning import turning_entries


@pytest.mark.parametrize(
    ("name", "angles"),
    [
        ("reacher-easy", {"position": (0,)}),  # shoulder; the wrist has limits
        ("reacher-hard", {"position": (0,)}),
        ("cheetah-run", {"position": (1,)}),  # pitch, behind the height
        ("hopper-hop", {"position": (1,)}),
        ("cartpole-swingup", {}),  # the pole's angle is shown by cosine and sine
        ("finger-spin", {}),  # the spinner's by the place of its tip
        ("finger-turn_hard", {}),
        ("walker-walk", {}),
        ("fish-swim", {}),  # no limits, but springs and servos
        ("ball_in_cup-catch", {}),  # no hinge at all
        ("humanoid-stand", {}),
    ],
)
def test_the_suite_says_which_entries_turn_without_limit(name, angles):
    spec = make(EnvConfig(name=f"suite/{name}")).spec
    assert {key: array.angles for key, array in spec.observation.items() if array.angles} == angles


def test_a_joint_that_was_spun_shows_more_than_a_turn_in_that_entry():
    environment = make(EnvConfig(name="suite/reacher-easy"), seed=0)
    environment.reset()
    for _ in range(300):
        last = environment.step(np.float32([1.0, 0.0])).observation
    assert abs(last["position"][0]) > 2 * np.pi


def test_looking_changes_no_episode():
    """The random state of the task is as it was, and the physics begins anew with the next reset."""

    def episode(look):
        environment = suite.load("reacher", "easy", task_kwargs={"random": 5})
        if look:
            assert turning_entries(environment) == {"position": (0,)}
        steps = [environment.reset(), *(environment.step(np.float64([0.3, -0.2])) for _ in range(5))]
        return [np.concatenate([*step.observation.values()]) for step in steps]

    np.testing.assert_array_equal(episode(look=True), episode(look=False))

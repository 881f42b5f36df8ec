import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_rl.config import EnvConfig
from robo_rl.envs import grasp_task as task
from robo_rl.envs.grasp_control import pointing_down
from robo_rl.errors import ConfigError
from robo_rl.specs import EnvSpec

SHAPED = EnvConfig(name="grasp/cube")
SPARSE = EnvConfig(name="grasp/cube", reward="sparse", step_penalty=0.1)


def state(height=0.02, touching=True, offset=(0.0, 0.0, 0.0), gripper_yaw=0.0, object_yaw=0.0, opening=0.04):
    """One simulation with the object `height` (m) over the table; its rest height is 0.02 m."""
    gripper = np.array([[0.5, 0.0, height]])
    quaternion = [np.cos(object_yaw / 2), 0.0, 0.0, np.sin(object_yaw / 2)]
    return task.GraspState(
        joints=np.zeros((1, 7)),
        joint_velocities=np.zeros((1, 7)),
        gripper_position=gripper,
        gripper_rotation=pointing_down(np.array([gripper_yaw])),
        opening=np.array([opening]),
        object_pose=np.concatenate([gripper + offset, [quaternion]], axis=1),
        object_size=np.full((1, 3), 0.02),
        rest_height=np.array([0.02]),
        touching=np.array([touching]),
    )


@pytest.mark.parametrize(
    ("height", "touching", "expected"),
    [(0.13, True, True), (0.13, False, False), (0.11, True, False), (0.02, True, False)],
)
def test_success_is_height_and_both_fingers(height, touching, expected):
    assert task.is_success(state(height, touching)) == [expected]


def test_sparse_reward_is_success_less_the_penalty():
    assert task.reward(state(0.13), SPARSE) == pytest.approx([0.9])
    assert task.reward(state(0.13, touching=False), SPARSE) == pytest.approx([-0.1])


def test_no_shaped_reward_above_what_holding_on_the_table_pays_without_a_lift():
    assert task.reward(state(opening=0.0), SHAPED)[0] == pytest.approx(0.5)
    # Thrown up, balanced on one finger, or hovered over: at most the shares for being near and for closing.
    assert task.reward(state(0.3, touching=False), SHAPED)[0] <= 0.35 + 1e-6
    assert task.reward(state(0.16, opening=0.0), SHAPED)[0] == pytest.approx(1.0)


def test_closed_fingers_resting_on_top_earn_less_than_open_ones_and_far_less_than_a_grasp():
    on_top = (0.0, 0.0, -0.032)
    closed = task.reward(state(offset=on_top, opening=0.0), SHAPED)[0]
    opened = task.reward(state(offset=on_top, opening=0.08, touching=False), SHAPED)[0]
    around = task.reward(state(opening=0.08, touching=False), SHAPED)[0]
    assert closed < opened < around < task.reward(state(opening=0.04), SHAPED)[0]


def test_shaped_reward_grows_with_nearness_touch_and_height():
    far = task.reward(state(touching=False, offset=(0.2, 0, 0)), SHAPED)[0]
    near = task.reward(state(touching=False, offset=(0.02, 0, 0)), SHAPED)[0]
    held = task.reward(state(offset=(0.02, 0, 0)), SHAPED)[0]
    lifted = task.reward(state(0.07), SHAPED)[0]
    success = task.reward(state(0.13), SHAPED)[0]
    assert 0.0 < far < near < held < lifted < success <= 1.0


def test_the_final_reward_is_paid_once_by_the_step_that_ends_the_episode():
    final = EnvConfig(name="grasp/cube", reward="final", step_penalty=0.05)
    spec = task.make_spec(final)
    assert (spec.reward_bounds, spec.pays_once, spec.action.shape) == ((-0.05, 0.95), True, (5,))
    assert not task.make_spec(SPARSE).pays_once
    actions = np.zeros((1, 5))
    for height, ends in ((0.13, True), (0.02, False)):
        ended = task.really_ends(state(height), actions, final)
        assert ended == [ends]
        assert task.reward(state(height), final, ended) == pytest.approx([0.95 if ends else -0.05])
    assert not task.really_ends(state(0.13), actions, SPARSE).any()


@pytest.mark.parametrize(("wish", "height", "ends", "paid"), [
    (0.5, 0.13, True, 0.95), (0.5, 0.02, True, -0.05), (0.0, 0.13, False, -0.05), (-1.0, 0.02, False, -0.05),
])  # fmt: skip
def test_the_terminate_action_ends_the_episode_with_what_is_held_then(wish, height, ends, paid):
    own_end = EnvConfig(name="grasp/cube", reward="final", step_penalty=0.05, terminate_action=True)
    assert task.make_spec(own_end).action.shape == (6,)
    ended = task.really_ends(state(height), np.array([[0, 0, 0, 0, 0, wish]]), own_end)
    assert ended == [ends]
    assert task.reward(state(height), own_end, ended) == pytest.approx([paid])


@settings(deadline=None)
@given(st.floats(-1, 3), st.booleans(), st.tuples(*[st.floats(-2, 2)] * 3))
def test_rewards_stay_within_the_bounds_of_the_spec(height, touching, offset):
    for config in (SHAPED, SPARSE):
        low, high = task.make_spec(config).reward_bounds
        assert low - 1e-6 <= task.reward(state(height, touching, offset), config)[0] <= high + 1e-6


@pytest.mark.parametrize("quarters", [1, 2, 3, 4])
def test_yaw_of_a_square_object_looks_the_same_after_quarter_turns(quarters):
    one = task.observe(state(gripper_yaw=0.3, object_yaw=0.5))["object_yaw"]
    other = task.observe(state(gripper_yaw=0.3, object_yaw=0.5 + quarters * np.pi / 2))["object_yaw"]
    np.testing.assert_allclose(one[0, 2:], other[0, 2:], atol=1e-6)
    np.testing.assert_allclose(one[0, 2:], [np.sin(0.8), np.cos(0.8)], atol=1e-6)
    # After half turns both pairs agree, after quarter turns only the second does.
    np.testing.assert_allclose(one[0, :2], (-1) ** quarters * other[0, :2], atol=1e-6)


def test_observation_is_as_the_spec_says():
    observation = task.observe(state())
    assert list(observation) == sorted(observation) == list(task.OBSERVATION_SPEC)
    for name, spec in task.OBSERVATION_SPEC.items():
        assert observation[name].shape == (1, *spec.shape), name
        assert observation[name].dtype == np.float32, name
        assert spec.unit, name


def test_a_toppled_object_shows_in_its_up_axis_and_has_a_finite_yaw():
    toppled = state()
    toppled.object_pose[0, 3:] = [np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0]
    observation = task.observe(toppled)
    np.testing.assert_allclose(observation["object_up"][0], [-1.0, 0.0, 0.0], atol=1e-6)
    assert np.isfinite(observation["object_yaw"]).all()


def test_spec_survives_json():
    spec = task.make_spec(SPARSE)
    assert EnvSpec.from_json(spec.to_json()) == spec
    assert spec.has_success
    assert spec.episode_steps == 40
    assert spec.control_hz >= 5.0
    assert task.make_spec(EnvConfig(episode_steps=7)).episode_steps == 7


@pytest.mark.parametrize(("field", "value"), [("action_repeat", 2), ("step_penalty", 0.1), ("terminate_action", True)])
def test_fields_that_would_be_ignored_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"env.{field}"):
        task.make_spec(EnvConfig(**{field: value}))

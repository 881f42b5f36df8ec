import mujoco
import numpy as np
import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs.grasp import make_grasp_batch
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.envs.grasp_control import DISPLACEMENT, TURN
from robo_rl.envs.grasp_objects import CUBE, SHAPES, define_object, definitions_of, object_fields
from robo_rl.errors import ConfigError

CUBE_TASK = EnvConfig(name="grasp/cube")
OBJECTS = EnvConfig(name="grasp/objects")
STILL_OPEN = np.array([0.0, 0.0, 0.0, 0.0, 1.0])


def random_actions(seed, steps=12):
    """Actions [steps, 5] that wander downwards, so that contacts happen."""
    actions = np.random.default_rng(seed).uniform(-1, 1, (steps, 5))
    actions[:, 2] = np.clip(actions[:, 2] - 0.4, -1, 1)
    return actions


def play(env, index, seed, others=0):
    """Every number that an episode of `seed` shows in simulation `index`, while the others do something else."""
    seeds = [1000 + others + i for i in range(env.num_envs)]
    seeds[index] = seed
    shown = [env.reset(range(env.num_envs), seeds)]
    columns = [random_actions(s) for s in seeds]
    rewards = []
    for actions in np.stack(columns, axis=1):
        step = env.step(actions)
        shown.append(step.observation)
        rewards.append(step.reward[index])
    return [{name: array[index] for name, array in frame.items()} for frame in shown], rewards


def assert_same(one, other):
    for frame, expected in zip(one[0], other[0], strict=True):
        for name in frame:
            np.testing.assert_array_equal(frame[name], expected[name], err_msg=name)
    assert one[1] == other[1]


@pytest.mark.parametrize("config", [CUBE_TASK, OBJECTS], ids=lambda config: config.name)
def test_an_episode_depends_on_its_seed_and_actions_alone(config):
    reference = play(GraspBatch(config, 1), 0, seed=5)
    assert_same(play(GraspBatch(config, 1), 0, seed=5), reference)
    assert_same(play(GraspBatch(config, 5), 3, seed=5), reference)
    assert_same(play(GraspBatch(config, 16, threads=2), 0, seed=5, others=70), reference)


def test_nothing_is_left_over_from_an_earlier_episode():
    env = GraspBatch(OBJECTS, 2)
    reference = play(env, 0, seed=5)
    play(env, 0, seed=6)
    assert_same(play(env, 0, seed=5), reference)


def test_reset_clears_the_whole_state_of_the_simulation():
    def full_state(env):
        data, model = env._batch.get_data(0), env._batch.get_model(0)
        state = np.zeros(mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_INTEGRATION)))
        mujoco.mj_getState(model, data, state, int(mujoco.mjtState.mjSTATE_INTEGRATION))
        return state

    fresh, used = GraspBatch(OBJECTS, 1), GraspBatch(OBJECTS, 1)
    play(used, 0, seed=6)
    for env in (fresh, used):
        env.reset([0], [5])
    # Time, velocities, controls and the solver's warm start are all in it.
    np.testing.assert_array_equal(full_state(used), full_state(fresh))


def test_each_simulation_has_the_model_of_its_object():
    env = GraspBatch(OBJECTS, 12)
    env.reset(range(12), range(12))
    env.reset([0, 3], [50, 51])
    for index, definition in enumerate(env._objects):
        model = env._batch.get_model(index)
        for name, values in object_fields(definition).items():
            np.testing.assert_array_equal(getattr(model, name)[-len(values) :], values, err_msg=name)


def test_resetting_one_simulation_leaves_the_others_alone():
    def third_frames(reset_after_two):
        env = GraspBatch(OBJECTS, 2)
        env.reset([0, 1], [5, 6])
        for step, actions in enumerate(random_actions(1)[:6]):
            if reset_after_two and step == 2:
                env.reset([1], [9])
            frame = env.step(np.stack([actions, actions])).observation
        return {name: array[0] for name, array in frame.items()}

    one, other = third_frames(True), third_frames(False)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_different_seeds_place_the_cube_differently():
    observation = GraspBatch(CUBE_TASK, 50).reset(range(50), range(50))
    where = observation["object_position"] + observation["gripper_position"]
    assert np.ptp(where[:, 0]) > 0.12
    assert np.ptp(where[:, 1]) > 0.18
    np.testing.assert_allclose(where[:, 2], CUBE.half_size[2], atol=1e-6)
    assert np.ptp(observation["object_yaw"][:, 2]) > 1.5


def test_families_and_shapes():
    for family in ("train", "held_out"):
        env = GraspBatch(EnvConfig(name="grasp/objects", family=family), 60)
        observation = env.reset(range(60), range(60))
        assert set(env.kinds(range(60))) == set(SHAPES)
        sizes = {tuple(np.float32(define_object(n).half_size)) for n in definitions_of(family)}
        assert {tuple(size) for size in observation["object_size"]} <= sizes
    assert GraspBatch(CUBE_TASK, 1).kinds([0]) == ["cube"]


def test_every_object_lies_still_on_the_table():
    env = GraspBatch(OBJECTS, 60)
    first = env.reset(range(60), range(60))
    for _ in range(8):
        last = env.step(np.tile(STILL_OPEN, (60, 1))).observation
    height = last["object_position"][:, 2] + last["gripper_position"][:, 2]
    np.testing.assert_allclose(height, first["object_size"][:, 2], atol=2e-3)


def test_the_gripper_goes_where_the_action_says_and_keeps_pointing_down():
    env = GraspBatch(CUBE_TASK, 40)
    before = env.reset(range(40), range(40))
    # Up first, away from the cube; then a displacement of its own for every simulation.
    for _ in range(3):
        before = env.step(np.tile(STILL_OPEN, (40, 1))).observation
    rng = np.random.default_rng(0)
    actions = np.concatenate([rng.uniform(-1, 1, (40, 4)) * [1, 1, 0.5, 1], np.ones((40, 1))], axis=1)
    env.step(actions)
    after = env.step(np.tile(STILL_OPEN, (40, 1))).observation
    moved = after["gripper_position"] - before["gripper_position"]
    assert np.abs(moved - DISPLACEMENT * actions[:, :3]).max() < 0.012
    yaw = {name: np.arctan2(*frame["gripper_yaw"].T) for name, frame in (("after", after), ("before", before))}
    missed = np.abs(yaw["after"] - yaw["before"] - TURN * actions[:, 3])
    assert np.median(missed) < 0.03
    assert missed.max() < 0.12
    down = env._batch.bind("site_xmat")[:, env._at.gripper].reshape(-1, 3, 3)[:, 2, 2]
    assert (down < -0.995).all()


def test_holding_still_holds_the_arm_against_gravity():
    env = GraspBatch(CUBE_TASK, 4)
    start = env.reset(range(4), range(4))["gripper_position"]
    for _ in range(10):
        last = env.step(np.tile(STILL_OPEN, (4, 1))).observation["gripper_position"]
    np.testing.assert_allclose(last, start, atol=1e-3)


def test_gripper_opens_and_closes_within_four_steps():
    env = GraspBatch(CUBE_TASK, 1)
    assert env.reset([0], [0])["gripper_opening"] == pytest.approx(0.08)
    for _ in range(4):
        closed = env.step(-STILL_OPEN[None]).observation["gripper_opening"]
    assert closed == pytest.approx(0.0, abs=2e-3)
    for _ in range(4):
        opened = env.step(STILL_OPEN[None]).observation["gripper_opening"]
    assert opened == pytest.approx(0.08, abs=2e-3)


def test_joint_limits_hold_under_random_actions():
    env = GraspBatch(OBJECTS, 16)
    env.reset(range(16), range(16))
    limits = env._model.jnt_range[:7]
    rng = np.random.default_rng(0)
    for _ in range(40):
        # Corners of the action box, held for long, push the arm to the edge of the workspace.
        joints = env.step(np.sign(rng.uniform(-1, 1, (16, 5)))).observation["joint_position"]
        assert (joints > limits[:, 0] - 0.02).all()
        assert (joints < limits[:, 1] + 0.02).all()


def test_the_time_limit_is_no_termination():
    env = make_grasp_batch(EnvConfig(name="grasp/cube", episode_steps=3), 2)
    env.reset([0, 1], [0, 1])
    steps = [env.step(np.zeros((2, 5))) for _ in range(3)]
    assert [step.last.tolist() for step in steps] == [[False, False], [False, False], [True, True]]
    assert all((step.discount == 1.0).all() for step in steps)
    assert [array.dtype for array in (steps[0].reward, steps[0].discount)] == [np.float32, np.float32]
    env.reset([1], [2])
    with pytest.raises(ValueError, match=r"simulations \[0\] have no running episode"):
        env.step(np.zeros((2, 5)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.01, -2.0])
def test_bad_action_values_are_refused_and_located(bad):
    env = GraspBatch(CUBE_TASK, 3)
    env.reset(range(3), range(3))
    actions = np.zeros((3, 5))
    actions[1, 4] = bad
    with pytest.raises(ValueError, match="simulation 1"):
        env.step(actions)
    env.step(np.zeros((3, 5)))


def test_bad_calls_are_refused():
    env = GraspBatch(CUBE_TASK, 2)
    with pytest.raises(ValueError, match="no running episode"):
        env.step(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"\[2, 5\]"):
        env.step(np.zeros((2, 4)))
    for indices, seeds in (([0, 0], [1, 2]), ([0], [1, 2]), ([2], [1]), ([-1], [1])):
        with pytest.raises(ValueError, match="reset"):
            env.reset(indices, seeds)
    with pytest.raises(ValueError, match="num_envs"):
        GraspBatch(CUBE_TASK, 0)
    with pytest.raises(ConfigError, match=r"grasp/cub'.*grasp/cube"):
        make_grasp_batch(EnvConfig(name="grasp/cub"), 1)


def test_unstable_physics_is_an_error():
    env = GraspBatch(CUBE_TASK, 2)
    env.reset([0, 1], [0, 1])
    env._batch.bind("qvel")[1] = np.nan
    with pytest.raises(RuntimeError, match=r"simulations \[1\]"):
        env.step(np.zeros((2, 5)))

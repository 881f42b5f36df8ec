import os
import subprocess
import sys
from pathlib import Path

import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch

ROOT = Path(__file__).resolve().parents[2]

# MUJOCO_GL is read when mujoco is imported, so each case needs a process of its own.
DRAW = """
import numpy as np
from robo_rl.config import EnvConfig
from robo_rl.envs.grasp_batch import GraspBatch
from robo_rl.errors import UserError
env = GraspBatch(EnvConfig(name="grasp/objects"), 8)
env.reset(range(8), range(8))
try:
    frames = np.stack([env.render(i, 48, 64) for i in range(8)])
except UserError as error:
    for _ in range(2):
        try:
            env.render(0)
        except UserError:
            pass
    print("UserError:", error)
else:
    assert frames.shape == (8, 48, 64, 3) and frames.dtype == np.uint8
    assert frames.std() > 20, "the picture is empty"
    assert all((frames[0] != frame).any() for frame in frames[1:]), "simulations look the same"
    assert (frames[0] == env.render(0, 48, 64)).all(), "drawing twice gives two pictures"
    assert env.render(0, 30, 40, "shoulder").shape == (30, 40, 3)
    env.close()
    print("drawn")
"""


def draw(backend):
    environment = {**os.environ, "MUJOCO_GL": backend, "PYTHONPATH": str(ROOT)}
    environment.pop("DISPLAY", None)
    return subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_egl_draws_each_simulation_with_its_own_object():
    done = draw("egl")
    if "UserError" in done.stdout or "ImportError" in done.stderr:
        pytest.skip("this machine has no EGL")
    assert done.stdout.strip() == "drawn", done.stderr


@pytest.mark.parametrize("backend", ["disabled", ""])
def test_a_missing_renderer_is_explained_and_stepping_needs_none(backend):
    done = draw(backend)
    assert done.returncode == 0, done.stderr
    assert "UserError: Cannot draw pictures" in done.stdout
    assert "MUJOCO_GL=egl" in done.stdout


def test_unknown_cameras_and_simulations_are_refused():
    env = GraspBatch(EnvConfig(name="grasp/cube"), 2)
    env.reset([0, 1], [0, 1])
    with pytest.raises(ValueError, match="no simulation 2"):
        env.render(2)
    with pytest.raises(ValueError, match=r"'top'.*shoulder and front"):
        env.render(0, camera="top")

"""The learner on a mesh of eight (made-up) devices does what it does on one."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import jax, numpy as np
from robo_rl.config import LearnerConfig, ReplayConfig
from robo_rl.experiment import build
from robo_rl.roles.learner import Counts
from tests.roles.parts import tiny
from tests.toys import toy_family

with toy_family() as env:
    config = tiny(env, replay=ReplayConfig(capacity=64), learner=LearnerConfig(
        batch_size=16, updates_per_dispatch=4, warmup_env_steps=30, updates_per_env_step=0.2))
    experiment = build(config)
    learner = experiment.learner(experiment.initial_state(), Counts())
    actor = experiment.actor()
    losses, compilations = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: event.endswith("backend_compile_duration") and compilations.append(event))
    for turn in range(12):
        if turn == 4:
            assert losses, "not every program has run yet"
            compilations.clear()
        learner.insert(actor.collect(5))
        while learner.may_update():
            learner.update()
            losses.append(learner.row()["critic_loss"])
    storage = learner.state.replay.storage.reward
    print(json.dumps({
        "devices": jax.device_count(),
        "losses": losses,
        "parts": [list(shard.data.shape) for shard in storage.addressable_shards],
        "rewards": np.asarray(storage).tolist(),
        "compiled_in_the_loop": len(compilations),
    }))
"""


def learn_on(devices):
    environment = {
        **os.environ,
        "PYTHONPATH": os.getcwd(),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_learn_as_one_does():
    one, eight = learn_on(1), learn_on(8)
    assert (one["devices"], eight["devices"]) == (1, 8)
    assert eight["parts"] == [[8]] * 8, "the replay is not cut along the mesh"
    assert eight["rewards"] == one["rewards"]
    assert len(one["losses"]) > 3
    assert eight["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert (one["compiled_in_the_loop"], eight["compiled_in_the_loop"]) == (0, 0)

"""A tiny deterministic task for tests: a point on a plane is to reach the middle, within a few steps.

An episode is a function of its seed and actions. Seeds that are multiples of 3 end in termination, all others at the
time limit; lengths differ by up to two steps, so that simulations fall out of step with each other.
"""

import contextlib

import dm_env
import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from robo_rl.config import EnvConfig
from robo_rl.envs.batched import BatchLoop
from robo_rl.envs.interface import Environment
from robo_rl.envs.make import FAMILIES, Family
from robo_rl.specs import ArraySpec, EnvSpec

STEPS = 12
SPEC = EnvSpec(
    name="toy/reach",
    observation={
        "clock": ArraySpec((1,), unit="share of the time limit"),
        "position": ArraySpec((2,), unit="m", minimum=-1, maximum=1),
    },
    action=ArraySpec((2,), minimum=-1, maximum=1),
    episode_steps=STEPS,
    control_hz=10.0,
    has_success=True,
    reward_bounds=(0.0, 1.0),
)


class Reach(Environment):
    """Reward 1 - distance / sqrt(2) after each step of up to 0.25 m per axis."""

    def __init__(self):
        self.spec = SPEC
        self._seed, self._age, self._length = 0, 0, 1
        self._position = np.zeros(2, np.float32)

    def seed_episode(self, seed):
        self._seed = seed

    def length(self):
        return STEPS - self._seed % 3

    def kind(self):
        return "even" if self._seed % 2 == 0 else "odd"

    def reset(self):
        self._age = 0
        # Ready for another episode of the seed that follows, as the interface allows
        self._position = np.random.default_rng(self._seed).uniform(-1, 1, 2).astype(np.float32)
        return dm_env.restart(self._observation())

    def step(self, action):
        self._age += 1
        self._position = np.clip(self._position + np.float32(0.25) * np.asarray(action, np.float32), -1, 1)
        reward = np.float32(1 - np.linalg.norm(self._position) / 2**0.5)
        if self._age < self.length():
            return dm_env.transition(reward, self._observation())
        end = dm_env.termination if self._seed % 3 == 0 else dm_env.truncation
        return end(reward, self._observation())

    def success(self):
        return bool(np.linalg.norm(self._position) < 0.3)

    def render(self, height=240, width=320):
        return np.full((height, width, 3), self._age, np.uint8)

    def observation_spec(self):
        raise NotImplementedError("the tests read `spec`")

    def action_spec(self):
        raise NotImplementedError("the tests read `spec`")

    def _observation(self):
        return {"clock": np.array([self._age / STEPS], np.float32), "position": self._position.copy()}


class ReachBatch(BatchLoop):
    """`size` of them, with episodes of two kinds."""

    def __init__(self, size):
        super().__init__([Reach() for _ in range(size)])

    def kinds(self, indices):
        return [self._environments[index].kind() for index in indices]


@contextlib.contextmanager
def toy_family():
    """`toy/reach` is a name like any other as long as this lasts."""
    assert "toy" not in FAMILIES
    FAMILIES["toy"] = Family(
        "toy/reach", lambda: ["toy/reach"], lambda config: Reach(), lambda config, size: ReachBatch(size)
    )
    try:
        yield EnvConfig(name="toy/reach")
    finally:
        del FAMILIES["toy"]


@contextlib.contextmanager
def jax_settings(**settings):
    """JAX's options set to these values as long as this lasts."""
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def compiled_quickly():
    """Programs are optimised little: in tests, compiling costs more than running."""
    return jax_settings(jax_disable_most_optimizations=True)


@contextlib.contextmanager
def compiled_once(folder):
    """Programs that are compiled again and again, as each new learner does, come from `folder` from the second time."""
    compilation_cache.reset_cache()
    with (
        compiled_quickly(),
        jax_settings(jax_compilation_cache_dir=str(folder), jax_persistent_cache_min_compile_time_secs=0.0),
    ):
        yield
    compilation_cache.reset_cache()

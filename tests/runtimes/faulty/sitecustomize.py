"""Python imports this at the start of every process that has the folder on its path: the spawned children as well.

It adds a family of environments that misbehave in known ways, which no config of the product could ask for.
"""

import dm_env
import numpy as np

from robo_rl.envs.interface import Environment
from robo_rl.envs.make import FAMILIES, Family
from robo_rl.specs import ArraySpec, EnvSpec

NAMES = ["faulty/fine", "faulty/raises", "faulty/not_a_number"]
STEPS = 10


class Faulty(Environment):
    """A one-dimensional point; some versions break after a few hundred steps of one instance."""

    def __init__(self, name):
        self.spec = EnvSpec(
            name=name,
            observation={"position": ArraySpec((1,))},
            action=ArraySpec((1,), minimum=-1, maximum=1),
            episode_steps=STEPS,
            control_hz=10.0,
            has_success=True,
        )
        self._seed, self._age, self._steps, self._position = 0, 0, 0, 0.0

    def seed_episode(self, seed):
        self._seed = seed

    def reset(self):
        self._age, self._position = 0, float(np.random.default_rng(self._seed).uniform(-1, 1))
        return dm_env.restart(self._observation())

    def step(self, action):
        self._age, self._steps = self._age + 1, self._steps + 1
        if self.spec.name == "faulty/raises" and self._steps > 60:
            raise ArithmeticError("the gripper fell off")
        self._position = float(np.clip(self._position + 0.2 * action[0], -1, 1))
        reward = 1 - abs(self._position)
        if self.spec.name == "faulty/not_a_number" and self._steps > 150:
            reward = float("nan")
        if self._age < STEPS:
            return dm_env.transition(reward, self._observation())
        return dm_env.truncation(reward, self._observation())

    def success(self):
        return abs(self._position) < 0.2

    def render(self, height=240, width=320):
        raise NotImplementedError

    def observation_spec(self):
        raise NotImplementedError

    def action_spec(self):
        raise NotImplementedError

    def _observation(self):
        return {"position": np.array([self._position], np.float32)}


FAMILIES["faulty"] = Family("faulty/<fault>", lambda: NAMES, lambda config: Faulty(config.name))

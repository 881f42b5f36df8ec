"""The actor: steps n simulations with the newest policy it has, and hands over what it saw in chunks."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robo_rl import seeds
from robo_rl.agents.agent import Agent, Policy
from robo_rl.compilation import compiled
from robo_rl.data.recorder import EpisodeRecorder
from robo_rl.envs.interface import BatchedEnvironment, BatchStep
from robo_rl.networks.exploration import first_actions
from robo_rl.replay.n_step import NStepAdder, concatenate
from robo_rl.roles.exchange import Chunk, Episode, Reply
from robo_rl.specs import Array, Experience, Observation

Act = Callable[[Policy | None, Observation, Array, int], Array]
"""policy (None: random), observation `[N, ...]`, key, step -> actions `[N, A]`."""


def exploring(agent: Agent, num_envs: int, action_size: int, octaves: int = 0) -> Act:
    """The jitted behaviour of an actor: random actions before the first weights, then the agent's exploration.

    octaves: of the random actions, as in `first_actions`
    """
    explore = compiled(lambda policy, observation, key, step: agent.act(policy, observation, key, step, True))
    random = jax.jit(lambda key, step: first_actions(key, step, (num_envs, action_size), octaves))

    def act(policy: Policy | None, observation: Observation, key: Array, step: int) -> Array:
        return random(key, step) if policy is None else explore(policy, observation, key, step)

    return act


class Actor:
    """One actor: its simulations, the running episodes, and the counters that name its seeds and chunks."""

    def __init__(
        self,
        env: BatchedEnvironment,
        act: Act,
        *,
        root_seed: int,
        n_step: int,
        discount: float,
        actor: int = 0,
        incarnation: int = 0,
        recorder: EpisodeRecorder | None = None,
    ) -> None:
        """An actor that draws all its randomness from (root_seed, actor, incarnation); `recorder` is shown it all."""
        self._recorder = recorder
        self._env, self._act = env, act
        self._root_seed, self._actor, self._incarnation = root_seed, actor, incarnation
        self._key = jax.random.key(seeds.child(root_seed, "actor", actor, incarnation))
        self._adder = NStepAdder(env.num_envs, n_step, discount)
        self._policy: Policy | None = None
        self._version = self._sequence = self._steps = self._started = 0
        self._observation: dict[str, np.ndarray] | None = None
        # What the next chunk will hold: empty between chunks, and so no part of the state.
        self._blocks: list[Experience] = []
        self._episodes: list[Episode] = []
        self._handed_over = 0
        self._seeds = np.zeros(env.num_envs, np.int64)
        self._age = np.zeros(env.num_envs, np.int64)
        self._returns = np.zeros(env.num_envs, np.float64)
        # The actions of running episodes: seed and actions are all it takes to bring a simulation back (`restore`).
        self._actions = np.zeros((env.spec.episode_steps, env.num_envs, *env.spec.action.shape), np.float32)

    @property
    def version(self) -> int:
        """Version of the weights in use; 0 for none."""
        return self._version

    def receive(self, reply: Reply) -> None:
        """Take newer weights, if the reply brings any."""
        if reply.policy is not None:
            self._policy, self._version = reply.policy, reply.version

    @property
    def key(self) -> Array:
        """Key that exploration is drawn from, with the step folded in."""
        return self._key

    @property
    def steps(self) -> int:
        """Control steps taken so far."""
        return self._steps

    def collect(self, steps: int) -> Chunk:
        """Take `steps` control steps in every simulation; a chunk of what that completed."""
        for _ in range(steps):
            action = np.asarray(self._act(self._policy, self.observation(), self._key, self._steps))
            self.advance(action, self._env.step(action))
        return self.hand_over()

    def observation(self) -> dict[str, np.ndarray]:
        """What the next action is for, `[N, *shape]`; the first call starts the episodes."""
        if self._observation is None:
            self._observation = self._start(np.arange(self._env.num_envs))
        return self._observation

    def advance(self, action: np.ndarray, step: BatchStep) -> None:
        """Take note of one control step: `action [N, A]` and what came of it; begins new episodes where some ended."""
        assert self._observation is not None, "observation() comes before the first step"
        self._steps += 1
        self._actions[self._age, np.arange(self._env.num_envs)] = action
        self._age += 1
        self._returns += step.reward
        if self._recorder is not None:
            self._recorder.step(action, step, f"{self._version} updates")
        self._blocks += self._adder.add(
            self._observation, action, step.reward, step.discount, step.last, step.observation
        )
        self._observation = step.observation
        if step.last.any():
            self._episodes += self._finish(step)

    def hand_over(self) -> Chunk:
        """The chunk of all steps since the last one."""
        chunk = Chunk(
            actor=self._actor,
            incarnation=self._incarnation,
            sequence=self._sequence,
            version=self._version,
            env_steps=(self._steps - self._handed_over) * self._env.num_envs * self._env.spec.env_steps_per_step,
            experience=concatenate(self._env.spec, self._blocks),
            episodes=tuple(self._episodes),
        )
        self._sequence += 1
        self._handed_over, self._blocks, self._episodes = self._steps, [], []
        return chunk

    def _finish(self, step: BatchStep) -> list[Episode]:
        """Note the episodes that ended with this step, and start new ones in their place."""
        ended = np.flatnonzero(step.last)
        knows = self._env.spec.has_success
        episodes = [
            Episode(
                seed=int(self._seeds[i]),
                kind=kind,
                episode_return=float(self._returns[i]),
                length=int(self._age[i]),
                success=bool(step.success[i]) if knows else None,
            )
            for i, kind in zip(ended, self._env.kinds(ended.tolist()), strict=True)
        ]
        assert self._observation is not None
        fresh = self._start(ended)
        # A copy, because the last observations are part of transitions that the adder has already handed out.
        self._observation = {name: value.copy() for name, value in self._observation.items()}
        for name, value in fresh.items():
            self._observation[name][ended] = value
        return episodes

    def _start(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        for index in indices:
            self._seeds[index] = seeds.training_episode(self._root_seed, self._actor, self._incarnation, self._started)
            self._started += 1
        self._age[indices] = 0
        self._returns[indices] = 0
        fresh = self._env.reset(indices.tolist(), self._seeds[indices].tolist())
        if self._recorder is not None:
            self._recorder.start(indices.tolist(), self._seeds[indices].tolist(), fresh)
        return fresh

    def state(self) -> dict[str, Any]:
        """Counters and running episodes, as arrays of fixed shapes; with the weights, all it takes to go on exactly."""
        return {
            "counters": np.array([self._version, self._sequence, self._steps, self._started], np.int64),
            "running": np.array(self._observation is not None),
            "seeds": self._seeds.copy(),
            "age": self._age.copy(),
            "actions": self._actions.copy(),
        }

    def restore(self, state: dict[str, Any], policy: Policy | None) -> None:
        """Go on from `state`: the simulations return to where they stood by replaying their episodes' actions.

        Every episode is a function of its seed and actions, so this holds for any environment. The simulations start
        staggered, so that all reach their age at the same step.
        """
        self._version, self._sequence, self._steps, self._started = (int(x) for x in state["counters"])
        self._policy = policy if self._version else None
        self._handed_over = self._steps
        if not state["running"]:
            return
        self._seeds, age, self._actions = (np.array(state[name]) for name in ("seeds", "age", "actions"))
        count, longest = self._env.num_envs, int(age.max())
        everyone = np.arange(count)
        observation = self._env.reset(everyone.tolist(), self._seeds.tolist())
        self._returns[:] = 0
        for tick in range(longest):
            own_step = tick - (longest - age)
            action = np.where((own_step >= 0)[:, None], self._actions[np.maximum(own_step, 0), everyone], 0)
            step = self._env.step(action.astype(np.float32))
            idle = own_step < 0  # its time has not come: it moves without being counted, and starts over just before
            restart = (own_step == -1) | (idle & step.last)
            self._adder.add(observation, action, step.reward, step.discount, idle, step.observation)
            self._returns = np.where(idle, 0, self._returns + step.reward)
            observation = {name: value.copy() for name, value in step.observation.items()}
            if restart.any():
                fresh = self._env.reset(everyone[restart].tolist(), self._seeds[restart].tolist())
                for name, value in fresh.items():
                    observation[name][restart] = value
        self._age = age
        self._observation = observation

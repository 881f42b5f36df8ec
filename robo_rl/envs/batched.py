"""Any environment, n times, behind the batched face: a plain loop over independent simulations."""

from collections.abc import Sequence

import numpy as np

from robo_rl.envs.interface import BatchStep, Environment


class BatchLoop:
    """n environments of one kind stepped one after the other; the generic BatchedEnvironment."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        """Takes over `environments`, at least one, all of the same spec; they are closed with the batch."""
        if not environments:
            raise ValueError("a batch needs at least one environment")
        self._environments = list(environments)
        self.spec = environments[0].spec
        self.num_envs = len(environments)
        if any(environment.spec != self.spec for environment in environments):
            raise ValueError(f"all environments of a batch must have one spec, here that of {self.spec.name}")
        self._needs_reset = np.ones(self.num_envs, bool)

    def reset(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Start the episodes of `seeds [k]` in the simulations `indices [k]`; returns observations `[k, *shape]`.

        Raises:
            ValueError: lengths differ, an index is out of range or named twice, or a seed is negative.
        """
        indices = [int(index) for index in indices]
        if len(indices) != len(seeds):
            raise ValueError(f"{len(indices)} indices but {len(seeds)} seeds; each simulation to reset needs one seed")
        if len(set(indices)) != len(indices) or any(not 0 <= index < self.num_envs for index in indices):
            raise ValueError(f"indices must be distinct and in 0..{self.num_envs - 1}, not {indices}")
        observations = []
        for index, seed in zip(indices, seeds, strict=True):
            self._needs_reset[index] = True
            self._environments[index].seed_episode(int(seed))
            observations.append(self._environments[index].reset().observation)
            self._needs_reset[index] = False
        return self._stack(observations)

    def step(self, actions: np.ndarray) -> BatchStep:
        """Apply `actions [N, A]` in [-1, 1] for one control step.

        Raises:
            ValueError: wrong shape, a value that is not finite, or a simulation that ended and was not reset.
            Exception: whatever a simulation raises, with a note that says which; then all must be reset, because those
                before it have moved and those after it have not.
        """
        actions = self._checked(actions)
        timesteps = []
        for index, (environment, action) in enumerate(zip(self._environments, actions, strict=True)):
            try:
                timesteps.append(environment.step(action))
            except Exception as error:
                self._needs_reset[:] = True
                error.add_note(
                    f"raised by simulation {index} of {self.num_envs}; all must be reset before the next step"
                )
                raise
        last = np.array([timestep.last() for timestep in timesteps], bool)
        self._needs_reset = last.copy()
        return BatchStep(
            observation=self._stack([timestep.observation for timestep in timesteps]),
            reward=np.array([timestep.reward for timestep in timesteps], np.float32),
            discount=np.array([timestep.discount for timestep in timesteps], np.float32),
            last=last,
            success=np.array([environment.success() for environment in self._environments], bool) & last,
        )

    def kinds(self, indices: Sequence[int]) -> list[str]:
        """The environment's name for each: these families have one kind of episode."""
        return [self.spec.name for _ in indices]

    def render(self, index: int, height: int = 240, width: int = 320) -> np.ndarray:
        """RGB frame of one simulation, uint8 `[height, width, 3]`."""
        return self._environments[index].render(height, width)

    def close(self) -> None:
        """Free all simulations and renderers."""
        for environment in self._environments:
            environment.close()

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions)
        expected = (self.num_envs, *self.spec.action.shape)
        if actions.shape != expected:
            raise ValueError(f"{self.spec.name}: actions have shape {expected} [N, A], not {actions.shape}")
        finite = np.isfinite(actions).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{self.spec.name}: actions of simulations {np.flatnonzero(~finite).tolist()} are not finite"
            )
        if self._needs_reset.any():
            ended = np.flatnonzero(self._needs_reset).tolist()
            raise ValueError(f"{self.spec.name}: simulations {ended} ended or never began; reset them before stepping")
        return actions

    def _stack(self, observations: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Observations of k simulations as arrays `[k, *shape]`, also for k = 0."""
        return {
            name: np.stack([observation[name] for observation in observations]) if observations else spec.zeros(0)
            for name, spec in self.spec.observation.items()
        }

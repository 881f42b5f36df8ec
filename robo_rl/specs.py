"""The vocabulary every floor shares: arrays with units, what an environment looks like, and one transition."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = Any
"""A NumPy or JAX array; its shape stands in the docstring of whoever takes or returns it."""

Observation = Mapping[str, Array]
"""Named arrays, each `[..., *shape]` as its ArraySpec says."""


class Transition(NamedTuple):
    """One (possibly n-step) step of experience; every field may carry leading batch axes.

    observation:      what the policy saw, dict of `[..., *shape]`
    action:           what it did, `[..., A]`, in [-1, 1]
    reward:           sum of the discounted rewards of the window, `[...]`, in environment units
    discount:         gamma^n, `[...]`; 0 only where the episode really terminated. A time limit keeps it above 0.
    next_observation: what it saw n steps later, before any reset, dict of `[..., *shape]`
    """

    observation: Observation
    action: Array
    reward: Array
    discount: Array
    next_observation: Observation


class Experience(NamedTuple):
    """What actors hand over: transitions `[k, ...]`, and for each the return so far of its episode.

    running_return: `[k]`, G_t = gamma G_{t-1} + r_t from the episode's start to the transition's first step, in
                    environment units; the statistic that rewards are scaled by
    """

    transition: Transition
    running_return: Array


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape, dtype, unit and bounds of one array (bounds are None where there are none).

    angles: entries of a vector `[D]` that are angles (rad) of joints without limits, so that a full turn more is the
            same place
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    angles: tuple[int, ...] = ()

    def zeros(self, *leading: int) -> np.ndarray:
        """An array of this shape behind `leading` batch axes, filled with zeros."""
        return np.zeros((*leading, *self.shape), self.dtype)


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """All that the rest of the program knows of an environment.

    name:          as given to `envs.make`, e.g. `grasp/cube`
    observation:   name -> ArraySpec, sorted by name
    action:        ArraySpec of one action, always bounded by [-1, 1]
    episode_steps: most control steps an episode can have (its time limit)
    control_hz:    control steps per simulated second
    env_steps_per_step: environment steps that one control step counts for (the action repeat)
    has_success:   whether the task knows success apart from reward
    reward_bounds: least and greatest reward of one control step, None where unknown
    pays_once: whether every step pays the least reward but the one that really ends an episode
    """

    name: str
    observation: Mapping[str, ArraySpec]
    action: ArraySpec
    episode_steps: int
    control_hz: float
    env_steps_per_step: int = 1
    has_success: bool = False
    reward_bounds: tuple[float, float] | None = None
    pays_once: bool = False

    def to_json(self) -> dict[str, Any]:
        """A dict that `json.dump` takes and `from_json` turns back into an equal spec."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvSpec":
        """The inverse of `to_json`."""

        def array(entry: Mapping[str, Any]) -> ArraySpec:
            lists = {"shape": tuple(entry["shape"]), "angles": tuple(entry.get("angles", ()))}
            return ArraySpec(**{**entry, **lists})

        bounds = data["reward_bounds"]
        return cls(
            **{
                **data,
                "observation": {name: array(entry) for name, entry in data["observation"].items()},
                "action": array(data["action"]),
                "reward_bounds": None if bounds is None else (bounds[0], bounds[1]),
            }
        )


def zero_transition(spec: EnvSpec, *leading: int) -> Transition:
    """A transition of zeros shaped as `spec` says, behind `leading` batch axes; the mould of replay storage."""
    observation = {name: array.zeros(*leading) for name, array in spec.observation.items()}
    next_observation = {name: array.zeros(*leading) for name, array in spec.observation.items()}
    scalar = np.zeros(leading, np.float32)
    return Transition(observation, spec.action.zeros(*leading), scalar, scalar.copy(), next_observation)

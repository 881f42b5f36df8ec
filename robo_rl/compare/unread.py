"""How angles are read makes no difference where an environment shows none: cells that differ in that are equal."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from robo_rl import envs
from robo_rl.networks.angles import has_angles

ANGLES = "angles_by_sine_and_cosine"
"""The agent's field that says how angles without limits are read, and nothing where an environment shows none."""


@functools.cache
def shows_angles(environment: str) -> bool:
    """Whether the environment of this name shows angles of joints without limits.

    Raises:
        ConfigError, UserError: as `envs.make`.
    """
    return has_angles(envs.make(environment).spec)


def angles_are_alike(there: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether agents of these training configs, of one environment, read angles alike; it is made only if need be."""
    same = there["agent"].get(ANGLES) == now["agent"].get(ANGLES)
    return same or not shows_angles(now["env"]["name"])


def with_angles_as_read(configs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The configs, with the field as those have it that read it, if those differ in it that do not."""
    if len({config["agent"].get(ANGLES) for config in configs}) < 2:
        return list(configs)
    reading = [shows_angles(config["env"]["name"]) for config in configs]
    # Where nobody reads it, any one value will do.
    value = configs[reading.index(True) if any(reading) else 0]["agent"].get(ANGLES)
    return [
        config if reads else {**config, "agent": {**config["agent"], ANGLES: value}}
        for config, reads in zip(configs, reading, strict=True)
    ]

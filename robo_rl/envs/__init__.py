"""Environments: `make` and `make_batched` turn a name such as `suite/cheetah-run` into a simulation."""

from robo_rl.envs.interface import BatchedEnvironment, BatchStep, Environment
from robo_rl.envs.make import FAMILIES, Family, make, make_batched, names, needs_renderer

__all__ = [
    "FAMILIES",
    "BatchStep",
    "BatchedEnvironment",
    "Environment",
    "Family",
    "make",
    "make_batched",
    "names",
    "needs_renderer",
]

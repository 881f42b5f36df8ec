"""What an agent is to everyone else: five pure functions over a state that is a pytree."""

from collections.abc import Callable
from typing import Any, NamedTuple

from robo_rl.specs import Array, Experience, Observation, Transition

AgentState = Any
"""Pytree with all that learning changes: parameters, optimisers, targets, statistics."""

Policy = Any
"""Pytree with all that acting needs, and no more."""

Metrics = dict[str, Array]
"""Name -> scalar `[]`."""


class Agent(NamedTuple):
    """A bundle of pure functions; all of them can be jitted, vmapped over members, and scanned.

    init:    key -> state
    act:     policy, observation `[B, ...]`, key, step, explore -> actions `[B, A]` in [-1, 1]; the key is the actor's
             and stays, `step` counts its control steps, so that noise can outlast one of them
    update:  state, transitions `[B, ...]`, key -> state, metrics: one gradient step
    policy:  state -> policy
    observe: state, experience `[M, ...]`, mask `[M]` -> state: running statistics take in new experience, once
    """

    init: Callable[[Array], AgentState]
    act: Callable[[Policy, Observation, Array, Array | int, bool], Array]
    update: Callable[[AgentState, Transition, Array], tuple[AgentState, Metrics]]
    policy: Callable[[AgentState], Policy]
    observe: Callable[[AgentState, Experience, Array], AgentState]

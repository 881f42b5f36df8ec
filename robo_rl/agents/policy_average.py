"""An agent whose greedy actions are those of its policy's average over updates: they do not sway with every batch.

Polyak and Juditsky 1992; for policies Nikishin et al. 2018, "Improving stability in deep reinforcement learning with
weight averaging".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robo_rl.agents.agent import Agent, AgentState, Metrics, Policy
from robo_rl.specs import Array, Experience, Observation, Transition


class AveragingState(NamedTuple):
    """The agent's own state, its policy averaged over `updates []`, of which the last 1 / rate weigh most."""

    agent: AgentState
    average: Policy
    updates: Array


class AveragedPolicy(NamedTuple):
    """`latest` explores, `average` is greedy."""

    latest: Policy
    average: Policy


def with_policy_average(agent: Agent, rate: float) -> Agent:
    """`agent`, judged and deployed as its policy's average; learning and exploration do not see it.

    rate: share of each update's policy in the average
    """

    def init(key: Array) -> AveragingState:
        state = agent.init(key)
        # A copy, since whoever updates in place gives away every array of the state once.
        return AveragingState(state, jax.tree.map(jnp.copy, agent.policy(state)), jnp.int32(0))

    def act(policy: AveragedPolicy, observation: Observation, key: Array, step: Array | int, explore: bool) -> Array:
        return agent.act(policy.latest if explore else policy.average, observation, key, step, explore)

    def update(state: AveragingState, batch: Transition, key: Array) -> tuple[AveragingState, Metrics]:
        inner, metrics = agent.update(state.agent, batch, key)
        # A plain mean until there were 1 / rate updates: the first weights are gone with the first of them.
        share = jnp.maximum(rate, 1 / (state.updates + 1))
        average = jax.tree.map(lambda old, new: old + share * (new - old), state.average, agent.policy(inner))
        return AveragingState(inner, average, state.updates + 1), metrics

    def policy(state: AveragingState) -> AveragedPolicy:
        return AveragedPolicy(agent.policy(state.agent), state.average)

    def observe(state: AveragingState, experience: Experience, mask: Array) -> AveragingState:
        return state._replace(agent=agent.observe(state.agent, experience, mask))

    return Agent(init=init, act=act, update=update, policy=policy, observe=observe)

"""An agent whose critics' values follow the scale of its rewards: none outlives the scale it was learned in."""

from collections.abc import Callable
from typing import Any, NamedTuple

from robo_rl.agents.agent import Agent, AgentState, Metrics, Policy
from robo_rl.critics import return_scaling
from robo_rl.specs import Array, Experience, Observation, Transition


class FollowingState(NamedTuple):
    """The agent's own state, and the scales that its critics' values are in."""

    agent: AgentState
    unit: return_scaling.ValueUnit


def with_following_values(
    agent: Agent, update: Callable[..., tuple[Any, Metrics]], reward_scale: Callable[[AgentState], Array], rate: float
) -> Agent:
    """`agent`, with target values converted into the scale of today.

    update: the agent's own, with the conversion `[]` that target values are multiplied by as a fourth argument
    reward_scale: state -> what rewards are divided by now    rate: at which targets follow the critics
    """

    def init(key: Array) -> FollowingState:
        return FollowingState(agent.init(key), return_scaling.no_unit())

    def updated(state: FollowingState, batch: Transition, key: Array) -> tuple[FollowingState, Metrics]:
        divisor = reward_scale(state.agent)
        conversion = return_scaling.conversion(state.unit, divisor)
        inner, metrics = update(state.agent, batch, key, conversion)
        unit = return_scaling.followed(state.unit, divisor, rate)
        return FollowingState(inner, unit), {**metrics, "value_conversion": conversion}

    def act(policy: Policy, observation: Observation, key: Array, step: Array | int, explore: bool) -> Array:
        return agent.act(policy, observation, key, step, explore)

    def policy(state: FollowingState) -> Policy:
        return agent.policy(state.agent)

    def observe(state: FollowingState, experience: Experience, mask: Array) -> FollowingState:
        return state._replace(agent=agent.observe(state.agent, experience, mask))

    return Agent(init=init, act=act, update=updated, policy=policy, observe=observe)

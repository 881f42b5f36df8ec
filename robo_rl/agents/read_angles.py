"""An agent that reads angles without limits by sine and cosine, wherever it meets an observation."""

from collections.abc import Callable

from robo_rl.agents.agent import Agent, AgentState, Metrics, Policy
from robo_rl.networks.angles import sine_and_cosine, without_turns
from robo_rl.specs import Array, EnvSpec, Experience, Observation, Transition


def with_angles_read(make: Callable[[EnvSpec], Agent], spec: EnvSpec) -> Agent:
    """The agent that `make` gives for observations without angles, behind observations of `spec`.

    Actors, replay and data keep the environment's observations as they are.
    """
    agent = make(without_turns(spec))

    def read(transition: Transition) -> Transition:
        return transition._replace(
            observation=sine_and_cosine(spec, transition.observation),
            next_observation=sine_and_cosine(spec, transition.next_observation),
        )

    def act(policy: Policy, observation: Observation, key: Array, step: Array | int, explore: bool) -> Array:
        return agent.act(policy, sine_and_cosine(spec, observation), key, step, explore)

    def update(state: AgentState, batch: Transition, key: Array) -> tuple[AgentState, Metrics]:
        return agent.update(state, read(batch), key)

    def observe(state: AgentState, experience: Experience, mask: Array) -> AgentState:
        return agent.observe(state, experience._replace(transition=read(experience.transition)), mask)

    return Agent(init=agent.init, act=act, update=update, policy=agent.policy, observe=observe)

"""The one channel between an actor and the learner: a chunk one way, newer weights the other."""

from typing import NamedTuple

from robo_rl.agents.agent import Policy
from robo_rl.specs import Experience


class Episode(NamedTuple):
    """A finished episode: its seed, what kind it was (an object's shape, say), and how it went.

    episode_return: undiscounted, environment units    length: control steps
    success: None for tasks without that notion
    """

    seed: int
    kind: str
    episode_return: float
    length: int
    success: bool | None


class Chunk(NamedTuple):
    """What an actor sends. (actor, incarnation, sequence) names it, so a repeated one is counted once.

    actor:       which actor; incarnation: how often it was started before; sequence: how many chunks it sent before
    version:     of the weights it acted with (updates made when they were published; 0: random actions)
    env_steps:   environment steps taken for it
    experience:  arrays `[k, ...]`
    """

    actor: int
    incarnation: int
    sequence: int
    version: int
    env_steps: int
    experience: Experience
    episodes: tuple[Episode, ...]


class Reply(NamedTuple):
    """What the learner answers: weights where there are newer ones than the actor's, and whether to stop.

    The reply is held back while the actors are too far ahead: that is the pacing.
    """

    version: int
    policy: Policy | None
    stop: bool

import json

import jax
import numpy as np
import pytest

from robo_rl import envs, seeds
from robo_rl.agents.sac import make_sac
from robo_rl.config import EnvConfig
from robo_rl.critics import make_head
from robo_rl.roles.actor import Actor, exploring
from robo_rl.roles.exchange import Reply
from tests.roles.parts import assert_same_bits, bits, tiny
from tests.toys import SPEC, STEPS, Reach, ReachBatch

ENVS, GAMMA = 3, 0.9
CASES = {
    "toy": lambda: ReachBatch(ENVS),
    "grasp": lambda: envs.make_batched(EnvConfig(name="grasp/cube", episode_steps=7), ENVS),
    "suite": lambda: envs.make_batched(
        EnvConfig(name="suite/cartpole-swingup", action_repeat=2, episode_steps=9), ENVS
    ),
}


class Parts:
    """An environment's agent and its compiled behaviour, and actors that share them."""

    def __init__(self, build):
        self.build, self.spec = build, build().spec
        config = tiny().agent
        self.agent = make_sac(config, self.spec, make_head(config.critic))
        self.act = exploring(self.agent, ENVS, self.spec.action.shape[0])
        self.policies = [jax.device_get(self.agent.policy(self.agent.init(jax.random.key(k)))) for k in range(2)]

    def actor(self, root_seed=0, n_step=3, **names):
        return Actor(self.build(), self.act, root_seed=root_seed, n_step=n_step, discount=GAMMA, **names)

    def reply(self, version):
        return Reply(version, self.policies[version % 2], stop=False)


@pytest.fixture(scope="module")
def parts():
    made = {}
    return lambda case: made.setdefault(case, None) or made.update({case: Parts(CASES[case])}) or made[case]


def same(left, right):
    """Whether two chunks are equal to the last bit."""
    assert left._replace(experience=None) == right._replace(experience=None)
    assert_same_bits(left.experience, right.experience)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunks", [1, 4])
def test_a_restored_actor_goes_on_bit_for_bit_in_the_middle_of_episodes(parts, case, chunks):
    parts = parts(case)
    actor = parts.actor()
    for number in range(chunks):
        actor.collect(4)
        actor.receive(parts.reply(number + 1))
    assert (actor.state()["age"] > 0).any(), "an episode is running"
    # The state as a checkpoint would hold it: arrays, apart from the actor that goes on.
    state = jax.tree.map(np.array, actor.state())
    twin = parts.actor()
    twin.restore(state, parts.reply(actor.version).policy)
    assert_same_bits(twin.state(), actor.state())
    assert_same_bits(twin._observation, actor._observation)
    np.testing.assert_array_equal(twin._returns, actor._returns)
    finished = 0
    for number in range(3):
        left, right = actor.collect(4), twin.collect(4)
        same(left, right)
        finished += len(left.episodes)
        for one in (actor, twin):
            one.receive(parts.reply(number + 7))
    assert finished, "the comparison went over the end of an episode"


def test_an_actor_that_has_not_begun_is_restored_as_such(parts):
    parts = parts("toy")
    twin = parts.actor()
    twin.restore(parts.actor().state(), None)
    same(parts.actor().collect(5), twin.collect(5))


def test_the_state_has_one_structure_whatever_happened(parts):
    actor = parts("toy").actor()
    shapes = [(x.dtype, x.shape) for x in jax.tree.leaves(actor.state())]
    actor.collect(5)
    assert [(x.dtype, x.shape) for x in jax.tree.leaves(actor.state())] == shapes


@pytest.mark.parametrize(("octaves", "kept"), [(0, 0.0), (1, 0.0), (4, 0.51)])
def test_actions_before_the_first_weights_last_as_long_as_they_are_told_to(parts, octaves, kept):
    act = exploring(parts("toy").agent, 64, 2, octaves)
    actions = np.array([act(None, {}, jax.random.key(0), step) for step in range(64)])
    assert np.abs(actions).max() <= 1
    assert np.mean(actions[1:] * actions[:-1]) / np.mean(actions**2) == pytest.approx(kept, abs=0.05)


def test_chunks_are_a_function_of_root_actor_and_incarnation(parts):
    parts = parts("toy")
    first = parts.actor().collect(6)
    same(first, parts.actor().collect(6))
    for other in (parts.actor(root_seed=1), parts.actor(actor=1), parts.actor(incarnation=1)):
        assert bits(other.collect(6).experience) != bits(first.experience)


def test_episodes_have_the_seeds_of_the_tree(parts):
    actor = parts("toy").actor(root_seed=5, actor=2, incarnation=3)
    episodes = [episode for _ in range(4) for episode in actor.collect(10).episodes]
    assert len(episodes) > 6
    started = [seeds.training_episode(5, 2, 3, number) for number in range(len(episodes) + ENVS)]
    assert {episode.seed for episode in episodes} <= set(started)
    assert len({episode.seed for episode in episodes}) == len(episodes)
    for episode in episodes:
        environment = Reach()
        environment.seed_episode(episode.seed)
        assert (episode.length, episode.kind) == (environment.length(), environment.kind())
        assert 0 < episode.episode_return < STEPS


def test_actions_are_random_until_the_first_weights(parts):
    parts = parts("toy")
    actor, twin = parts.actor(), parts.actor()
    random = actor.collect(10).experience.transition.action
    assert random.min() < -0.8
    assert random.max() > 0.8
    assert abs(random.mean()) < 0.3
    twin.receive(Reply(0, None, stop=False))
    np.testing.assert_array_equal(twin.collect(10).experience.transition.action, random)
    both = []
    for version in (1, 2):
        one = parts.actor()
        one.receive(parts.reply(version))
        assert one.version == version
        both.append(one.collect(10).experience.transition.action)
    assert not np.array_equal(both[0], both[1]), "the weights decide"


def test_no_news_keeps_the_weights(parts):
    parts = parts("toy")
    actor, twin = parts.actor(), parts.actor()
    for one in (actor, twin):
        one.receive(parts.reply(3))
    actor.receive(Reply(3, None, stop=False))
    assert actor.version == 3
    same(actor.collect(4), twin.collect(4))


def test_chunks_are_numbered_and_counted(parts):
    actor = parts("toy").actor(actor=2, incarnation=9)
    chunks = [actor.collect(4) for _ in range(3)]
    assert [(c.actor, c.incarnation, c.sequence, c.version) for c in chunks] == [(2, 9, k, 0) for k in range(3)]
    assert [c.env_steps for c in chunks] == [4 * ENVS] * 3
    repeated = parts("suite").actor()
    assert repeated.collect(2).env_steps == 2 * ENVS * 2, "an action repeat counts environment steps"
    json.dumps(chunks[0].episodes)


@pytest.mark.parametrize("n_step", [1, 3])
def test_transitions_are_those_of_the_episodes(parts, n_step):
    experience = parts("toy").actor(n_step=n_step).collect(2 * STEPS).experience
    transition, clock = experience.transition, experience.transition.observation["clock"][:, 0] * STEPS
    steps = np.rint(transition.next_observation["clock"][:, 0] * STEPS - clock).astype(int)
    assert steps.min() >= 1, "no window goes from one episode into the next"
    assert steps.max() == n_step
    terminal = transition.discount == 0
    np.testing.assert_allclose(transition.discount[~terminal], GAMMA ** steps[~terminal], rtol=1e-6)
    assert terminal.any()
    if n_step == 1:
        position = np.clip(transition.observation["position"] + np.float32(0.25) * transition.action, -1, 1)
        np.testing.assert_allclose(position, transition.next_observation["position"], atol=1e-6)
        np.testing.assert_allclose(
            transition.reward, 1 - np.linalg.norm(position, axis=1) / 2**0.5, rtol=1e-5, atol=1e-6
        )


def test_the_batch_belongs_to_the_spec():
    assert CASES["toy"]().spec == SPEC

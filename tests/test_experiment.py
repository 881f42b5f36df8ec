import jax
import numpy as np
import pytest

from robo_rl import seeds
from robo_rl.config import (
    ActorConfig,
    CriticConfig,
    DataConfig,
    EnvConfig,
    EvaluationConfig,
    ImageConfig,
    LearnerConfig,
    ReplayConfig,
    SACConfig,
)
from robo_rl.errors import ConfigError
from robo_rl.experiment import block_size, build, check, limiter
from robo_rl.replay.rate_limiter import RateLimiter
from robo_rl.roles.learner import Counts
from robo_rl.specs import EnvSpec
from tests.roles.parts import assert_same_bits, bits, tiny
from tests.toys import SPEC, toy_family


@pytest.fixture(autouse=True, scope="module")
def _toys():
    with toy_family():
        yield


def test_parts_are_made_as_the_config_says():
    config = tiny(seed=4)
    experiment = build(config)
    assert experiment.spec == check(config) == SPEC
    assert experiment.training_env().num_envs == config.actor.envs
    assert experiment.evaluation_env().num_envs == config.evaluation.envs
    assert experiment.evaluation_seeds(3) == [0, 1, 2]
    state = experiment.initial_state()
    assert state.replay.storage.reward.shape == (64,)
    assert experiment.learner(state, Counts(env_steps=9)).counts.env_steps == 9


def test_meta_makes_a_checkpoint_readable():
    config = tiny()
    meta = build(config).meta()
    assert EnvSpec.from_json(meta["spec"]) == SPEC
    assert type(config).model_validate(meta["config"]) == config


def test_the_seed_decides_the_first_weights_and_the_first_episodes():
    def beginning(seed):
        experiment = build(tiny(seed=seed))
        return experiment.initial_state().agent.actor, experiment.actor().collect(3).experience

    first = beginning(0)
    assert_same_bits(first, beginning(0))
    other = bits(beginning(1))
    differing = {path for path, leaf in bits(first).items() if other[path] != leaf}
    assert any("kernel" in path for path in differing)
    assert any("position" in path for path in differing)


@pytest.mark.parametrize(("octaves", "least", "most"), [(0, -0.3, 0.3), (9, 0.5, 1.0)])
def test_the_first_actions_last_as_the_config_says(octaves, least, most):
    agent = tiny().agent.model_copy(update={"warmup_octaves": octaves})
    experience = build(tiny(agent=agent)).actor().collect(60).experience
    action = experience.transition.action.reshape(60, -1)  # one row per step, of three simulations
    assert least < np.mean(action[1:] * action[:-1]) / np.mean(action**2) < most


def test_incarnations_of_an_actor_have_episodes_of_their_own():
    experiment = build(tiny())
    one, two = experiment.actor(0, 0), experiment.actor(0, 1)
    assert bits(one.collect(2).experience) != bits(two.collect(2).experience)


def test_each_side_sees_its_own_half_of_the_objects():
    config = tiny(EnvConfig(name="grasp/objects", episode_steps=3), evaluation=EvaluationConfig(envs=2))
    experiment = build(config)
    training, judging = experiment.training_env(), experiment.evaluation_env()
    assert (training.spec.name, judging.num_envs) == ("grasp/objects", 2)
    seen = [env.reset([0, 1], [0, 1]) for env in (training, judging)]
    same = build(config.model_copy(update={"evaluation": EvaluationConfig(envs=2, family="train")})).evaluation_env()
    again = same.reset([0, 1], [0, 1])
    assert any(not np.array_equal(seen[0][name], seen[1][name]) for name in again)
    for name in again:
        np.testing.assert_array_equal(again[name], seen[0][name])
    for env in (training, judging, same):
        env.close()


def test_evaluation_has_a_time_limit_of_its_own_where_it_is_given():
    env = EnvConfig(name="grasp/cube", episode_steps=7)
    given = build(tiny(env, evaluation=EvaluationConfig(episode_steps=13, envs=2)))
    assert given.training_env().spec.episode_steps == 7
    assert given.evaluation_env().spec.episode_steps == 13
    assert build(tiny(env, evaluation=EvaluationConfig(envs=2))).evaluation_env().spec.episode_steps == 7


def test_pace_and_block_come_from_their_fields():
    config = tiny(
        n_step=3, actor=ActorConfig(envs=7, chunk_steps=5),
        learner=LearnerConfig(
            updates_per_env_step=0.5, warmup_env_steps=11, updates_per_dispatch=3, max_lead_env_steps=None
        ),
    )  # fmt: skip
    assert limiter(config) == RateLimiter(0.5, 11, 3, None)
    assert block_size(config) == 7 * (5 + 2)


@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_no_chunk_is_larger_than_the_block(n_step):
    config = tiny(n_step=n_step)
    actor = build(config).actor()
    sizes = [len(actor.collect(config.actor.chunk_steps).experience.running_return) for _ in range(20)]
    assert max(sizes) <= block_size(config)
    assert n_step == 1 or max(sizes) > config.actor.envs * config.actor.chunk_steps


def test_n_step_and_discount_reach_the_transitions():
    def discounts(**changes):
        agent = tiny().agent.model_copy(update=changes)
        experience = build(tiny(agent=agent)).actor().collect(30).experience
        return set(np.unique(experience.transition.discount.round(5)))

    assert discounts(n_step=1, discount=0.9) == {0.0, np.float32(0.9)}
    assert discounts(n_step=2, discount=0.5) == {0.0, 0.5, 0.25}


def test_recency_reaches_what_is_learned():
    def learned(recency):
        config = tiny(replay=ReplayConfig(capacity=100, recency=recency), learner=LearnerConfig(warmup_env_steps=30))
        experiment = build(config)
        learner = experiment.learner(experiment.initial_state(), Counts())
        learner.insert(experiment.actor().collect(5))
        learner.update()
        return bits(learner.state.agent)

    assert learned(1.0) == learned(1.0) != learned(2.0)


def test_evaluation_starts_at_its_first_seed():
    experiment = build(tiny(evaluation=EvaluationConfig(first_seed=70)))
    assert experiment.evaluation_seeds(2) == [70, 71]
    assert max(experiment.evaluation_seeds(200)) < seeds.EVALUATION_SEEDS


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"replay": ReplayConfig(capacity=14)}, r"replay\.capacity is 14, but one chunk can bring 15"),
        ({"learner": LearnerConfig(warmup_env_steps=240)}, r"warmup_env_steps is 240 and env_steps is 240"),
        ({"env": EnvConfig(name="toy/reech")}, r"no environment 'toy/reech'.*toy/reach"),
        ({"env": EnvConfig(name="suite/cartpole-swing")}, r"suite/cartpole-swingup"),
        (
            {"agent": tiny().agent.model_copy(update={"critic": CriticConfig(loss="hlgauss")})},
            "Did you mean 'hl_gauss'",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(changes, named):
    with pytest.raises(ConfigError, match=named):
        check(tiny(**changes))


def test_a_replay_of_exactly_one_chunk_is_enough():
    config = tiny(replay=ReplayConfig(capacity=15))
    experiment = build(config)
    learner = experiment.learner(experiment.initial_state(), Counts())
    assert learner.insert(experiment.actor().collect(5))
    assert int(jax.device_get(learner.state.replay.size)) == 15


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learner": LearnerConfig(warmup_env_steps=5), "n_step": 3}, r"warmup_env_steps is 5, but .* empty until 6 "),
        ({"learner": LearnerConfig(warmup_env_steps=30, updates_per_env_step=0.001)}, "groups of 32"),
        ({"agent": SACConfig(discount=0.99999999)}, r"agent\.discount is 0\.99999999, which is 1"),
        ({"agent": SACConfig(values_follow_scale=True, scale_rewards=False)}, "there is no scale to follow"),
        (
            {"replay": ReplayConfig(recency=2), "data": DataConfig(path="x", share=1)},
            r"replay\.recency is 2\.0, but data\.share is 1",
        ),
        (
            {"env": EnvConfig(name="grasp/cube", observation="camera"), "agent": SACConfig(image=ImageConfig(patch=7))},
            r"agent\.image\.patch",
        ),
        (
            {
                "env": EnvConfig(name="suite/cartpole-swingup", action_repeat=2),
                "evaluation": EvaluationConfig(episode_steps=5000),
            },
            r"With evaluation\.episode_steps as env\.episode_steps: .*at most 500 ",
        ),
    ],
)
def test_what_would_fail_later_or_learn_nothing_is_refused_at_once(changes, said):
    with pytest.raises(ConfigError, match=said):
        check(tiny(**changes))


def test_the_shortest_warm_up_brings_the_first_transition():
    config = tiny(n_step=3, learner=LearnerConfig(warmup_env_steps=6, updates_per_dispatch=1, batch_size=2))
    experiment = build(config)
    learner, actor = experiment.learner(experiment.initial_state(), Counts()), experiment.actor()
    while not learner.may_update():
        learner.insert(actor.collect(1))
    assert int(learner.state.replay.size) > 0

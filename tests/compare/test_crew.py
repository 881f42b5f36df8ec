"""Members are judged on the same episodes, each by its own policy, however many play at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl import envs
from robo_rl.compare.crew import Judge, unit_kinds
from robo_rl.config import EvaluationConfig
from robo_rl.experiment import build
from robo_rl.roles.evaluator import greedy, run_episodes
from tests.compare.parts import Inside
from tests.roles.parts import tiny
from tests.toys import compiled_quickly, toy_family


@pytest.fixture(autouse=True, scope="module")
def _setting():
    with toy_family(), compiled_quickly():
        yield


@pytest.mark.parametrize(("at_once", "episodes"), [(3, 7), (7, 7), (4, 2)])
def test_each_member_is_judged_as_it_would_be_alone(at_once, episodes):
    config = tiny(evaluation=EvaluationConfig(envs=at_once))
    experiment = build(config)
    alone = [experiment.agent.policy(experiment.agent.init(jax.random.key(seed))) for seed in (1, 2)]
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    judged = Judge(experiment, 2, Inside(unit_kinds(config), 2)).judge(both, episodes)
    assert [len(own) for own in judged] == [episodes, episodes]
    for policy, own in zip(alone, judged, strict=True):
        env = envs.make_batched(config.env, 3)
        want = run_episodes(env, greedy(experiment.agent), policy, experiment.evaluation_seeds(episodes))
        assert [(e.seed, e.length, e.success, e.kind) for e in own] == [
            (e.seed, e.length, e.success, e.kind) for e in want
        ]
        np.testing.assert_allclose([e.episode_return for e in own], [e.episode_return for e in want], atol=1e-4)
    assert [e.episode_return for e in judged[0]] != [e.episode_return for e in judged[1]]

"""The shipped diagnostics: comparisons that can run, each of which varies what it says and nothing else."""

import operator

import pytest

from robo_rl import resources
from robo_rl.compare.inputs import checked_configs, load
from robo_rl.compare.plan import shared_part_hash
from robo_rl.experiment import evaluation_env_config, limiter
from tests.toys import jax_settings

FILES = {path.stem: path for path in sorted(resources.configs().glob("diagnose_*.yaml"))}


@pytest.fixture(autouse=True, scope="module")
def _precision_as_it_was():
    # A check sets the precision of matrix products for the whole process.
    with jax_settings(jax_default_matmul_precision=None):
        yield


def values(configs, field):
    return [operator.attrgetter(field)(config) for config in configs.values()]


def test_all_four_are_shipped():
    assert list(FILES) == ["diagnose_reward_noise", "diagnose_softmax", "diagnose_update_ratio", "diagnose_width"]


@pytest.mark.parametrize("name", FILES)
def test_every_cell_can_run_and_differs_by_loss_task_and_axis_alone(name):
    plan = load(FILES[name])
    configs = checked_configs(plan)
    assert len({shared_part_hash(config.model_dump(mode="json"), plan.axes) for config in configs.values()}) == 1
    assert "mse" in plan.losses
    assert "hl_gauss" in plan.losses
    assert len(plan.seeds) >= 3
    assert plan.tuning_seeds
    assert plan.env_steps % plan.evaluate_every == 0


def test_reward_noise_begins_at_none_and_never_reaches_evaluation():
    plan = load(FILES["diagnose_reward_noise"])
    assert list(plan.axes) == ["env.reward_noise"]
    assert plan.axes["env.reward_noise"][0] == 0
    configs = checked_configs(plan)
    assert max(values(configs, "env.reward_noise")) == 1
    assert {evaluation_env_config(config).reward_noise for config in configs.values()} == {0}


def test_width_is_the_critics_alone():
    configs = checked_configs(load(FILES["diagnose_width"]))
    assert set(values(configs, "agent.critic_network.width")) == {64, 256, 1024}
    assert len(set(values(configs, "agent.actor_network.width"))) == 1


def test_update_ratios_are_per_control_step_and_every_chunk_of_them_is_dispatched_whole():
    configs = checked_configs(load(FILES["diagnose_update_ratio"]))
    ratios = set()
    for config in configs.values():
        ratios.add(config.learner.updates_per_env_step * config.env.action_repeat)
        chunk = config.actor.chunk_steps * config.actor.envs * config.env.action_repeat
        due, pace = 0, limiter(config)
        begin = config.learner.warmup_env_steps
        for env_steps in range(begin, begin + 40 * chunk, chunk):
            assert pace.may_act(env_steps, due)
            while pace.may_update(env_steps, due):
                due += config.learner.updates_per_dispatch
        assert due == pytest.approx(39 * chunk * config.learner.updates_per_env_step, abs=16)
    assert ratios == {1, 4, 16}


def test_the_softmax_comparison_has_the_head_between_the_two():
    assert load(FILES["diagnose_softmax"]).losses == ["mse", "softmax_mse", "hl_gauss"]

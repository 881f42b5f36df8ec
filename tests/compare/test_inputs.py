"""A comparison that cannot run is refused in words, before any process starts."""

import pytest
import yaml

from robo_rl import presets
from robo_rl.compare import inputs
from robo_rl.errors import ConfigError
from tests.toys import toy_family


@pytest.fixture(autouse=True)
def _toy():
    with toy_family():
        yield


@pytest.fixture
def plan(tmp_path):
    """A plan from a file of its own, with fields changed."""
    base = tmp_path / "base.yaml"
    base.write_text("learner: {warmup_env_steps: 10}")

    def plan(*flags, **changes):
        fields = {"question": "?", "base": str(base), "losses": ["mse"], "tasks": ["toy/reach"], "seeds": [5, 6],
                  "tuning_seeds": [0], "env_steps": 100} | changes  # fmt: skip
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(fields))
        return inputs.parse(str(path), flags)

    return plan


def test_a_plan_that_can_run_has_a_config_for_each_cell(plan):
    configs = inputs.checked_configs(plan(losses=["mse", "c51"]))
    assert [cell.loss for cell in configs] == ["mse", "c51"]
    assert [config.agent.critic.loss for config in configs.values()] == ["mse", "c51"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"losses": ["hlgauss"]}, r"losses names 'hlgauss'; allowed: mse, .*Did you mean 'hl_gauss'"),
        ({"tasks": ["toy/reech"]}, r"no environment 'toy/reech'.*toy/reach"),
        ({"tasks": ["suite/cheetah-runn"]}, r"no environment 'suite/cheetah-runn'.*suite/cheetah-run"),
        ({"axes": {"agent.critic_network.with": [1]}}, r"axes: .*'agent.critic_network.with'. Nearest: .*\.width"),
        ({"overrides": {"learner.batchsize": 1}}, r"overrides: .*'learner.batchsize'. Nearest: learner\.batch_size"),
        ({"axes": {"agent.critic_network.width": []}}, "has no values"),
        ({"axes": {"agent.critic_network.width": [8, 8]}}, "names a value twice"),
        ({"axes": {"learner.batch_size": [0]}}, r"learner\.batch_size is 0: .*greater"),
        ({"axes": {"agent.critic.loss": ["mse"]}}, r"axes: agent\.critic\.loss is decided by .* losses"),
        ({"overrides": {"env_steps": 3}}, r"overrides: env_steps is decided by .* env_steps"),
        ({"axes": {"learner.batch_size": [8]}, "overrides": {"learner.batch_size": 4}}, "both an axis and an override"),
        ({"seeds": [5, 0]}, r"seeds and tuning_seeds share \[0\]"),
        ({"seeds": [5, 5]}, r"seeds names \[5\] more than once"),
        ({"seeds": [-1]}, r"seeds must lie in"),
        ({"seeds": []}, "seeds is .*at least 1"),
        ({"losses": ["mse", "mse"]}, r"losses names \['mse'\] more than once"),
        ({"tasks": ["toy/reach", "toy/reach"]}, r"tasks names \['toy/reach'\] more than once"),
        ({"env_steps": 10}, r"learner\.warmup_env_steps is 10 and env_steps is 10"),
        ({"base": "grasp_cub"}, r"no config 'grasp_cub'.*grasp_cube"),
        ({"lossses": 3}, r"lossses: there is no such field. Nearest: losses"),
        ({"env_steps": 0}, r"env_steps is 0: .*greater"),
        ({"base": "grasp_offline"}, r"grasp_offline learns from recorded episodes.*no data"),
        ({"overrides": {"data.path": "x"}}, r"overrides: data\.path changes nothing in a comparison: .*own actors"),
        ({"axes": {"actor.processes": [1, 4]}}, r"axes: actor\.processes changes nothing.*--workers"),
        ({"overrides": {"evaluation.enabled": False}}, r"evaluation\.enabled changes nothing"),
        ({"overrides": {"runtime": "inline"}}, r"runtime changes nothing"),
        ({"heads": {"c52": {"bins": 3}}}, r"heads names 'c52'; allowed: mse, .*Did you mean 'c51'"),
        ({"heads": {"mse": {"bins": 3}}}, r"heads: mse makes nothing of 'bins'.*for itself: nothing"),
        ({"heads": {"c51": {"binz": 3}}}, r"heads: c51 makes nothing of 'binz'.*for itself: bins"),
        ({"losses": ["c51"], "heads": {"c51": {"bins": 1}}}, r"agent\.critic\.bins is 1: .*greater"),
        (
            {"losses": ["c51"], "heads": {"c51": {"bins": 9}}, "axes": {"agent.critic.bins": [5, 7]}},
            r"heads: agent\.critic\.bins is an axis",
        ),
    ],
)
def test_what_cannot_run_is_refused_by_name(plan, changes, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        inputs.checked_configs(plan(**changes))


def test_flags_replace_fields_and_override_the_training_config(plan):
    changed = plan("--seeds", "8", "9", "--env-steps=50", "--learner.batch-size", "4", "--agent.learning-rate", "1e-3",
                   "--losses", "c51", "--heads.c51.bins", "31")  # fmt: skip
    assert (changed.seeds, changed.env_steps, changed.losses) == ([8, 9], 50, ["c51"])
    assert changed.heads == {"c51": {"bins": 31}}
    assert changed.overrides == {"learner.batch_size": 4, "agent.learning_rate": 1e-3}


@pytest.mark.parametrize("text", ["Who wins: MSE or HL-Gauss?", "[draft] Does it win? # yes", "null"])
def test_a_question_is_taken_as_it_is_written(plan, text):
    assert plan("--question", text).question == text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--learner.batch-sise", "4"], r"no flag --learner\.batch_sise. Nearest: --learner\.batch_size"),
        (["--env-steps", "4", "5"], r"--env_steps takes one value, not \[4, 5\]"),
        (["--learner.batch-size"], r"--learner\.batch_size takes one value, not \[\]"),
        (["--axes", "x"], "axes is a table"),
        (["--heads.c51.bins"], r"--heads\.c51\.bins takes one value, not \[\]"),
        (["mse"], "'mse' belongs to no flag"),
        (["--env-steps", "many"], "env_steps is 'many': .*integer"),
        (["--env-steps", "[4"], r"--env_steps: '\[4' cannot be read"),
    ],
)
def test_a_wrong_flag_is_named(plan, flags, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        plan(*flags)


def test_a_training_preset_is_no_comparison_and_the_reverse():
    with pytest.raises(ConfigError, match=r"names no losses.*robo-rl train.*compare_quick"):
        inputs.load(presets.find("dmc"))
    with pytest.raises(ConfigError, match="robo-rl compare"):
        presets.load(presets.find("compare_quick"))


@pytest.mark.parametrize("name", presets.comparisons())
def test_every_shipped_comparison_can_run(name):
    plan = inputs.load(presets.find(name))
    assert len(plan.seeds) >= 3
    assert plan.tuning_seeds
    assert inputs.checked_configs(plan)


def test_help_names_every_field():
    text = inputs.help_text()
    for flag in ("--losses", "--tuning-seeds", "--evaluate-every", "--workers", "--heads.LOSS.FIELD"):
        assert flag in text

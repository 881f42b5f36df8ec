import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rl.compare.plan import (
    SET_BY_THE_PLAN,
    WITHOUT_EFFECT,
    Cell,
    CompareConfig,
    cells,
    field_names,
    separate_fields,
    shared_part_hash,
    training_config,
    with_fields,
)
from robo_rl.config import Config
from robo_rl.errors import ConfigError

WIDTH = "agent.critic_network.width"


def plan(**changes):
    fields = {"question": "?", "losses": ["mse", "hl_gauss"], "tasks": ["suite/a-b", "suite/c-d"], "seeds": [7, 8],
              "env_steps": 100}  # fmt: skip
    return CompareConfig.model_validate(fields | changes)


def test_cells_are_every_combination_task_by_task():
    planned = cells(plan(axes={WIDTH: [64, 128]}))
    assert len(planned) == 2 * 2 * 2
    assert planned[0] == Cell("mse", {WIDTH: 64}, "suite/a-b")
    assert [cell.task for cell in planned] == ["suite/a-b"] * 4 + ["suite/c-d"] * 4


def test_a_number_that_yaml_reads_as_text_is_a_number():
    assert cells(plan(axes={"agent.learning_rate": ["3e-4"]}))[0].axes == {"agent.learning_rate": 3e-4}
    assert plan(overrides={"agent.critic.combine": "min"}).overrides == {"agent.critic.combine": "min"}


@given(st.lists(st.integers(0, 99), unique=True, min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_names_suit_any_file_system(values, loss, task):
    for cell in cells(plan(losses=[loss], tasks=[task], axes={WIDTH: values})):
        assert "/" not in cell.name
        assert "\0" not in cell.name
        assert cell.name.count(f"{WIDTH}=") == 1


def test_names_tell_cells_apart():
    planned = cells(plan(axes={WIDTH: [64, 128], "agent.discount": [0.9, 0.99]}))
    assert len({cell.name for cell in planned}) == len(planned) == 16


def test_the_config_of_a_cell_is_the_base_with_what_the_plan_says():
    base = Config(log_every=77)
    asked = plan(overrides={"learner.batch_size": 32}, axes={WIDTH: [64]}, evaluate_every=10, evaluation_episodes=3)
    config = training_config(asked, cells(asked)[0], base)
    assert (config.env.name, config.agent.critic.loss, config.agent.critic_network.width) == ("suite/a-b", "mse", 64)
    assert (config.env_steps, config.seed, config.log_every, config.learner.batch_size) == (100, 7, 77, 32)
    assert (config.checkpoint.policy_every, config.evaluation.episodes) == (10, 3)


def test_all_but_loss_task_seed_and_axes_is_proved_equal():
    asked = plan(axes={WIDTH: [64, 128]})
    configs = [training_config(asked, cell, Config()) for cell in cells(asked)]
    assert len({shared_part_hash(config.model_dump(mode="json"), asked.axes) for config in configs}) == 1
    assert len({shared_part_hash(config.model_dump(mode="json"), {}) for config in configs}) == 2
    other = with_fields(configs[0], {"agent.learning_rate": 1e-3}, "test")
    assert shared_part_hash(other.model_dump(mode="json"), asked.axes) != shared_part_hash(
        configs[0].model_dump(mode="json"), asked.axes
    )


def test_what_a_head_has_for_itself_goes_to_its_cells_alone_and_is_no_part_of_what_is_equal():
    asked = plan(heads={"hl_gauss": {"bins": 51}}, overrides={"agent.critic.bins": 25})
    configs = [training_config(asked, cell, Config()) for cell in cells(asked)]
    assert [config.agent.critic.bins for config in configs] == [25, 51] * 2
    separate = separate_fields(asked.model_dump(mode="json"))
    assert separate == ["agent.critic.bins"]
    assert len({shared_part_hash(config.model_dump(mode="json"), separate) for config in configs}) == 1


def test_an_unknown_field_or_a_value_out_of_range_is_named():
    with pytest.raises(ConfigError, match=r"cell x: .*'agent.critic.bin'. Nearest: agent.critic.bins"):
        with_fields(Config(), {"agent.critic.bin": 3}, "cell x")
    with pytest.raises(ConfigError, match=r"learner\.batch_size is 0: .*greater than or equal to 1"):
        with_fields(Config(), {"learner.batch_size": 0}, "cell x")


def test_what_a_comparison_has_no_use_for_are_fields():
    names = field_names(Config().model_dump(mode="json"))
    for field in WITHOUT_EFFECT:
        assert any(name == field or (field.endswith(".") and name.startswith(field)) for name in names), field


def test_fields_are_found_by_their_dotted_names():
    names = field_names(Config().model_dump(mode="json"))
    assert {"env.variation.mass_scale", "agent.critic.bins", "seed"} <= set(names)
    assert "agent.critic" not in names
    assert set(SET_BY_THE_PLAN) <= set(names)
    assert set(SET_BY_THE_PLAN.values()) <= set(CompareConfig.model_fields)

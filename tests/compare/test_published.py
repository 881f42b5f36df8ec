import pytest

from robo_rl.compare.published import published, published_at, published_over
from tests.compare import made_up


def test_the_baselines_of_the_field_are_there_for_the_seven_tasks_with_their_sources():
    methods = {row.method for row in published()}
    assert {"SAC (SimbaV2 repo)", "SAC (TD-MPC2 repo)", "SimbaV2 UTD2", "SimbaV2 UTD2 with MSE", "BRO UTD2"} <= methods
    for task in made_up.TASKS:
        assert {row.method for row in published_at(task, [100_000])} == methods
    assert all(row.source and 0 <= row.mean <= 1000 and row.seeds >= 1 for row in published())
    assert len({row[:3] for row in published()}) == len(published())


def test_the_mean_over_the_seven_tasks_is_the_one_of_the_literature():
    """523 at 100k for the better public SAC, 804 for BRO with 10 updates per step."""
    rows = {row.method: row for row in published_over(made_up.TASKS, 100_000)}
    assert {method: round(rows[method].mean) for method in ("SAC (SimbaV2 repo)", "BRO UTD10")} == {
        "SAC (SimbaV2 repo)": 523,
        "BRO UTD10": 804,
    }
    own = sorted(row.mean for task in made_up.TASKS for row in published_at(task, [100_000]) if row.method == "TD-MPC2")
    assert rows["TD-MPC2"].median == pytest.approx(own[3])


def test_a_method_that_lacks_a_task_has_no_mean_over_them():
    assert published_over(["suite/cheetah-run", "grasp/cube"], 100_000) == []
    assert published_over(made_up.TASKS, 12_345) == []


def test_only_the_same_task_at_the_same_step_matches():
    assert published_at("suite/cheetah-run", [10_000, 99_000, 101_000, 250_000])[0].env_steps == 100_000
    assert published_at("suite/cheetah-run", [10_000, 90_000]) == []
    assert published_at("grasp/cheetah-run", [100_000]) == []
    assert published_at("suite/no-such", [100_000]) == []

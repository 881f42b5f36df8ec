import json

import numpy as np
import pytest

from robo_rl.compare.results import curves, final_scores, raw_final_scores, read_results
from robo_rl.compare.scores import Group
from robo_rl.errors import UserError
from tests.compare import made_up

SMALL = {"losses": ("mse", "hl_gauss"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}


def test_final_scores_are_the_last_of_each_run_and_curves_hold_every_step(tmp_path):
    results = read_results(made_up.write(tmp_path, **SMALL))
    group = Group("hl_gauss")
    final = final_scores(results, group, made_up.TASKS[:2])
    steps, values = curves(results, group, made_up.TASKS[:2], [100, 101, 102])
    assert final.shape == (3, 2)
    assert steps == list(range(10_000, 100_001, 10_000))
    np.testing.assert_array_equal(values[:, :, -1], final)
    rows = [s for s in results.scores if s.group == group and s.env_steps == 100_000 and s.task == made_up.TASKS[1]]
    assert raw_final_scores(results, group, made_up.TASKS[1]) == [row.value for row in rows]


def test_only_tasks_that_every_group_finished_are_compared(tmp_path):
    def status(cell):
        return "failed" if cell["loss"] == "mse" and cell["task"] == made_up.TASKS[0] else "finished"

    results = read_results(made_up.write(tmp_path, **SMALL, status=status))
    groups, tasks = results.compared()
    assert groups == [Group("mse"), Group("hl_gauss")]
    assert tasks == [made_up.TASKS[1]]


def test_a_loss_that_finished_nothing_does_not_empty_the_comparison(tmp_path):
    results = read_results(
        made_up.write(tmp_path, **SMALL, status=lambda cell: "not begun" if cell["loss"] == "mse" else "finished")
    )
    assert results.compared() == ([Group("hl_gauss")], made_up.TASKS[:2])


def test_axes_make_groups_whichever_way_their_values_are_written(tmp_path):
    axes = {"env.reward_noise": [0.0, 1e-05], "agent.critic_network.kind": ["mlp", "residual"]}
    results = read_results(made_up.write(tmp_path, **SMALL, axes=axes))
    assert len(results.groups) == 8
    assert all(results.finished(group) == made_up.TASKS[:2] for group in results.groups)
    assert final_scores(results, results.groups[-1], made_up.TASKS[:2]).shape == (3, 2)


@pytest.mark.parametrize("status", ["failed", "running", "not begun"])
def test_no_finished_cell_is_an_error_that_counts_the_others(tmp_path, status):
    made_up.write(tmp_path, **SMALL, status=lambda cell: status)
    with pytest.raises(UserError, match=rf"No cell .* is finished .*4 {status}"):
        read_results(tmp_path)


def test_a_folder_that_is_no_comparison_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(UserError, match="no comparison"):
        read_results(tmp_path)
    made_up.write(tmp_path, **SMALL)
    cell = next(tmp_path.glob("cells/*/cell.json"))
    whole = cell.read_text()
    cell.write_text(json.dumps({"name": "nameless"}))
    with pytest.raises(UserError, match=r"no record of the cell .*wrong: loss, task, seeds"):
        read_results(tmp_path)
    cell.write_text(whole)
    (tmp_path / "comparison.json").write_text(json.dumps({"config": {"question": "?"}}))
    with pytest.raises(UserError, match=r"lacks config\.losses"):
        read_results(tmp_path)


def test_seeds_that_were_added_count_where_they_are_finished(tmp_path):
    made_up.write(tmp_path, **{**SMALL, "seeds": (100, 101, 102, 103)})
    for cell in list(tmp_path.glob("cells/*")):
        record = json.loads((cell / "cell.json").read_text())
        (cell / "cell.json").write_text(json.dumps({**record, "seeds": [100, 101, 102]}))
        later = cell.with_name(f"{cell.name}@2")
        later.mkdir()
        status = "finished" if record["task"] == made_up.TASKS[0] else "running"
        (later / "cell.json").write_text(json.dumps({**record, "seeds": [103], "status": status}))
    results = read_results(tmp_path)
    assert [cell.status for cell in results.cells].count("running") == 2
    for group in results.groups:
        assert results.finished(group) == made_up.TASKS[:2]
        assert results.common_seeds(group, made_up.TASKS[:1]) == [100, 101, 102, 103]
        assert results.common_seeds(group, made_up.TASKS[:2]) == [100, 101, 102]
    assert final_scores(results, group, made_up.TASKS[:2]).shape == (3, 2)


def test_a_folder_that_is_no_planned_cell_changes_nothing(tmp_path):
    made_up.write(tmp_path, **SMALL)
    before = read_results(tmp_path)
    moved = tmp_path / "cells" / "mse-suite_cartpole-swingup.old"
    moved.mkdir()
    (moved / "cell.json").write_text(json.dumps({**before.cells[0].record, "status": "failed"}))
    assert read_results(tmp_path) == before


@pytest.mark.parametrize(("steps", "repeat", "is_scaled"), [(250, 2, False), (500, 2, True), (500, 1, False)])
def test_a_task_whose_episodes_are_cut_short_has_no_scale(tmp_path, steps, repeat, is_scaled):
    made_up.write(tmp_path, **SMALL, axes={"env.action_repeat": [repeat], "env.episode_steps": [steps]})
    tasks = made_up.TASKS[:2]
    assert read_results(tmp_path).without_scale() == ([] if is_scaled else tasks)


def test_a_finished_cell_without_its_last_score_is_refused(tmp_path):
    made_up.write(tmp_path, **SMALL)
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    (tmp_path / "scores.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match=r"seed 102 has no score at 100,000 .*the last is at 90,000"):
        read_results(tmp_path)

import csv
import json

import numpy as np
import pytest
import scipy.stats

from robo_rl.compare.results import read_results
from robo_rl.compare.scores import Group
from robo_rl.compare.summary import reference_of, summarise
from tests.compare import made_up

REPETITIONS = 300
SMALL = {"losses": ("mse", "hl_gauss"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.write(tmp_path_factory.mktemp("made_up"), **SMALL)


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads(json.dumps(summarise(read_results(folder), REPETITIONS), allow_nan=False))


def test_the_summary_follows_from_scores_csv_by_rliable_alone(folder, summary):
    """Nothing of ours between the file and rliable: what a sceptical reader would do."""
    from rliable import library, metrics

    with (folder / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["env_steps"]) == summary["env_steps"]]
    scores = {
        loss: np.array(
            [
                [
                    float(row["return"]) / 1000
                    for task in summary["tasks"]
                    for row in rows
                    if (row["loss"], row["task"], row["seed"]) == (loss, task, str(seed))
                ]
                for seed in summary["reporting_seeds"]
            ]
        )
        for loss in summary["losses"]
    }
    functions = {
        "iqm": metrics.aggregate_iqm, "mean": metrics.aggregate_mean, "median": metrics.aggregate_median,
        "optimality_gap": metrics.aggregate_optimality_gap,
    }  # fmt: skip
    for entry in summary["groups"]:
        np.random.seed(summary["bootstrap"]["seed"])
        points, intervals = library.get_interval_estimates(
            {"x": scores[entry["loss"]]},
            lambda x: np.array([function(x) for function in functions.values()]),
            reps=summary["bootstrap"]["repetitions"],
        )
        for row, name in enumerate(functions):
            expected = [points["x"][row], *intervals["x"][:, row]]
            np.testing.assert_allclose([entry[name][key] for key in ("value", "low", "high")], expected, atol=1e-9)
        if "reference" in entry:
            np.random.seed(summary["bootstrap"]["seed"])
            points, intervals = library.get_interval_estimates(
                {"x": [scores[entry["loss"]], scores[entry["reference"]["loss"]]]},
                lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
                reps=summary["bootstrap"]["repetitions_of_pairs_profiles_curves_and_tasks"],
            )
            found = [entry["probability_of_improvement"][key] for key in ("value", "low", "high")]
            np.testing.assert_allclose(found, [points["x"][0], *intervals["x"][:, 0]], atol=1e-9)


def test_every_loss_but_the_baseline_has_a_reference_and_a_verdict(summary):
    assert ["reference" in entry for entry in summary["groups"]] == [False, True]
    assert summary["groups"][1]["reference"] == {"loss": "mse", "axes": {}}
    assert summary["groups"][1]["iqm_difference"]["verdict"] == "higher"


def test_curves_end_at_the_final_scores(summary):
    for entry in summary["groups"]:
        assert entry["curve"]["env_steps"][-1] == summary["env_steps"]
        assert entry["curve"]["value"][-1] == pytest.approx(entry["iqm"]["value"])
    for task in summary["per_task"]:
        for row in task["groups"]:
            assert row["curve"]["value"][-1] == pytest.approx(row["value"])


def test_per_task_means_are_in_the_tasks_unit_beside_published_ones(folder, summary):
    scores = [s.value for s in read_results(folder).scores if s[:2] == (Group("mse"), made_up.TASKS[0])]
    task = summary["per_task"][0]
    assert task["quantity"] == "return"
    assert task["groups"][0]["value"] == pytest.approx(np.mean(scores[9::10]))
    assert {row["env_steps"] for row in task["published"]} == {100_000}


def test_a_tasks_difference_is_that_of_its_means_by_welch(folder, summary):
    """scipy's own test gives the interval."""
    scores = read_results(folder).scores
    for task in summary["per_task"]:
        assert "difference" not in task["groups"][0]
        found = task["groups"][1]["difference"]
        assert found["value"] == pytest.approx(task["groups"][1]["value"] - task["groups"][0]["value"])
        sides = [
            [s.value for s in scores if (s.group, s.task, s.env_steps) == (Group(loss), task["task"], 100_000)]
            for loss in ("hl_gauss", "mse")
        ]
        expected = scipy.stats.ttest_ind(*sides, equal_var=False).confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("lacking", ["its own", "the reference's"])
def test_a_task_that_one_side_lacks_has_no_difference(tmp_path, lacking):
    unfinished = "hl_gauss" if lacking == "its own" else "mse"

    def status(cell):
        return "running" if (cell["loss"], cell["task"]) == (unfinished, made_up.TASKS[0]) else "finished"

    summary = summarise(read_results(made_up.write(tmp_path, **SMALL, status=status)), 20)
    told = [["difference" in row for row in task["groups"]] for task in summary["per_task"]]
    assert told == [[False], [False, True]]


def test_one_seed_has_no_difference_and_two_have_no_verdict(tmp_path):
    def of(seeds):
        return summarise(read_results(made_up.write(tmp_path / str(seeds), **{**SMALL, "seeds": seeds})), 20)

    assert "difference" not in of((1,))["per_task"][0]["groups"][1]
    assert of((1, 2))["per_task"][0]["groups"][1]["difference"]["verdict"] == "too few seeds"


def test_the_mean_of_a_task_with_success_is_its_rate(tmp_path):
    made_up.write(tmp_path, losses=("mse",), tasks=("grasp/cube",), seeds=(1, 2, 3), success=True)
    summary = summarise(read_results(tmp_path), 20)
    task = summary["per_task"][0]
    assert task["quantity"] == "success rate"
    assert task["groups"][0]["value"] == pytest.approx(summary["groups"][0]["mean"]["value"])
    assert 0 < task["groups"][0]["value"] <= 1
    wilson = task["groups"][0]["wilson"]
    assert wilson["episodes"] == 60
    assert wilson["low"] < task["groups"][0]["value"] < wilson["high"]


def test_what_a_group_is_measured_against():
    axes = [(("width", 64),), (("width", 256),)]
    groups = [Group(loss, axis) for axis in axes for loss in ("hl_gauss", "mse")]
    assert reference_of(groups[0], groups) == Group("mse", axes[0])
    assert reference_of(groups[2], groups) == Group("mse", axes[1])
    assert reference_of(groups[1], groups) is None
    alone = [Group("c51", axis) for axis in axes]
    assert reference_of(alone[1], alone) == alone[0]
    assert reference_of(alone[0], alone) is None
    assert reference_of(Group("c51"), [Group("two_hot"), Group("c51")]) == Group("two_hot")


def test_no_common_task_leaves_the_tasks_but_no_aggregate(tmp_path):
    def status(cell):
        return "finished" if (cell["loss"] == "mse") == (cell["task"] == made_up.TASKS[0]) else "running"

    made_up.write(tmp_path, losses=("mse", "c51"), tasks=made_up.TASKS[:2], seeds=(1, 2, 3), status=status)
    summary = summarise(read_results(tmp_path), 20)
    assert summary["tasks"] == []
    assert not any("iqm" in entry for entry in summary["groups"])
    assert [len(task["groups"]) for task in summary["per_task"]] == [1, 1]
    assert "nothing can be said across tasks" in summary["answer"]

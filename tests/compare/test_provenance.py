"""What a report may claim about equal conditions follows from the records of the cells, and from nothing else."""

import json

import pytest

from robo_rl.compare.provenance import SUM_TOLERANCE, held_equal, is_mixed, mixed_versions, origin
from robo_rl.compare.results import read_results
from tests.compare import made_up

SMALL = {"losses": ("mse", "hl_gauss"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}


@pytest.fixture
def told(tmp_path):
    """What is claimed after `change(record)` was applied to every cell's record."""
    made_up.write(tmp_path, **SMALL)

    def told(change):
        for cell in tmp_path.glob("cells/*/cell.json"):
            record = json.loads(cell.read_text())
            change(record)
            cell.write_text(json.dumps(record))
        return read_results(tmp_path)

    return told


def other_weights(record):
    """What another processor makes of the same keys, or the same one of other keys."""
    if record["loss"] == "mse":
        record["initial_weights"] = {seed: "other" for seed in record["initial_weights"]}


def test_one_configuration_and_the_same_weights(told):
    text = held_equal(told(lambda record: None))
    assert "one configuration for all cells" in text
    assert "the same initial weights of the trunk for every loss, by task and seed" in text


def test_a_cell_with_another_field_is_no_equal_configuration(told):
    def change(record):
        if record["loss"] == "mse":
            record["config"]["agent"]["learning_rate"] = 1.0

    assert "NOT the configuration: 2 different ones" in held_equal(told(change))


@pytest.mark.parametrize(("loss", "equal"), [("mse", True), ("hl_gauss", False)])
def test_bins_are_part_of_what_is_equal_for_those_alone_that_have_any(told, loss, equal):
    def change(record):
        if record["loss"] == loss and record["task"] == made_up.TASKS[0]:
            record["config"]["agent"]["critic"]["bins"] = 11

    assert ("one configuration for all cells" in held_equal(told(change))) == equal


@pytest.mark.parametrize(("task", "equal"), [("suite/cartpole-swingup", True), ("suite/reacher-easy", False)])
def test_how_angles_are_read_is_part_of_what_is_equal_for_tasks_that_show_some(told, task, equal):
    def change(record):
        record["config"]["agent"]["angles_by_sine_and_cosine"] = record["task"] != task or record["loss"] == "mse"

    assert ("one configuration for all cells" in held_equal(told(change))) == equal


@pytest.mark.parametrize(("bins", "equal"), [(11, True), (12, False)])
def test_what_a_head_has_for_itself_is_equal_as_planned_and_in_no_other_way(told, tmp_path, bins, equal):
    plan = json.loads((tmp_path / "comparison.json").read_text())
    plan["config"]["heads"] = {"hl_gauss": {"bins": 11}}
    (tmp_path / "comparison.json").write_text(json.dumps(plan))

    def change(record):
        critic = record["config"]["agent"]["critic"]
        if record["loss"] == "hl_gauss":
            critic["bins"] = 11 if record["task"] == made_up.TASKS[0] else bins
        else:
            critic["loss"] = "c51"  # a loss that reads bins, and has those that all share

    text = held_equal(told(change))
    assert ("one configuration for all cells but for loss, task, seed, axes and what a head" in text) == equal


def test_a_field_that_some_cells_are_too_old_for_counts_as_its_default(told):
    def older(record):
        if record["loss"] == "mse":
            del record["config"]["agent"]["target_rate"]

    assert "one configuration for all cells" in held_equal(told(older))

    def other(record):
        if record["loss"] == "hl_gauss":
            record["config"]["agent"]["target_rate"] = 0.5

    assert "NOT the configuration: 2 different ones" in held_equal(told(other))


def test_what_was_not_recorded_is_not_claimed(told):
    text = held_equal(told(lambda record: record.update(config={}, initial_weights={})))
    assert text == "configurations were not recorded; initial weights were not recorded"


def test_other_weights_on_one_processor_are_not_equal(told):
    text = held_equal(told(lambda record: (other_weights(record), record.update(processor="one"))))
    assert "NOT the initial weights: they differ between losses for 6 of 6" in text


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (SUM_TOLERANCE / 2, "and but for rounding where not (6 of 6"),
        (SUM_TOLERANCE * 2, "NOT the initial weights"),
        (None, "how far they differ was not recorded"),
    ],
)
def test_weights_of_two_processors_are_equal_if_their_sums_are(told, difference, said):
    def change(record):
        other_weights(record)
        record["processor"] = f"processor of {record['loss']}"
        if difference is not None:
            shift = difference * (record["loss"] == "mse")
            record["initial_weights_sum"] = {seed: 3.0 + shift for seed in record["initial_weights"]}

    assert said in held_equal(told(change))


def test_the_versions_of_a_task_are_mixed_if_its_cells_differ(told):
    def change(record):
        jax = "0.9" if (record["loss"], record["task"]) == ("mse", made_up.TASKS[1]) else "0.10"
        record.update(versions={"jax": jax, "numpy": "2.3"}, processor=record["loss"])

    assert mixed_versions(told(change)) == [{"task": made_up.TASKS[1], "what": ["jax"]}]


def test_a_cell_that_was_resumed_elsewhere_has_more_than_one_origin():
    record = {"git": "b" * 40, "versions": {"jax": "2"}, "earlier": [{"git": "a" * 40, "versions": {"jax": "2"}}]}
    assert origin(record) == {"Revision": f"{'a' * 10}, then {'b' * 10}", "jax": "2"}
    assert origin({}) == {}
    assert is_mixed("jax", [{"jax": "1"}, {"jax": "2"}, {}])
    assert not is_mixed("jax", [{"jax": "1"}, {}])

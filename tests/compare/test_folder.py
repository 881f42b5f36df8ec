import csv
import json

import pytest

from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.folder import ComparisonFolder
from robo_rl.compare.plan import CompareConfig, cells, training_config
from robo_rl.config import Config
from robo_rl.errors import ConfigError, UserError

WIDTH = "agent.critic_network.width"


def begin(path, base=None, **changes):
    fields = {"question": "?", "losses": ["mse", "c51"], "tasks": ["a/b"], "seeds": [7, 8], "tuning_seeds": [1],
              "axes": {WIDTH: [8, 16]}, "env_steps": 100}  # fmt: skip
    plan = CompareConfig.model_validate(fields | changes)
    configs = {cell: training_config(plan, cell, base or Config()) for cell in cells(plan)}
    folder = ComparisonFolder(path)
    folder.begin(plan, configs)
    return folder, plan, list(configs)


def test_the_folder_says_what_was_asked_and_proves_that_all_else_is_equal(tmp_path):
    folder, plan, planned = begin(tmp_path)
    about = json.loads(folder.comparison_file.read_text())
    assert CompareConfig.model_validate(about["config"]) == plan
    assert (about["reporting_seeds"], about["tuning_seeds"]) == ([7, 8], [1])
    assert about["equal_part_sha256"].keys() == {cell.name for cell in planned}
    assert len(set(about["equal_part_sha256"].values())) == 1
    assert {"command", "versions", "git", "machine"} <= about.keys()


def test_the_same_comparison_may_go_on_and_another_is_refused_by_field(tmp_path):
    folder, _, _ = begin(tmp_path)
    command = json.loads(folder.comparison_file.read_text())["command"]
    begin(tmp_path, workers=3, checkpoint_every=7, tuning_seeds=[1, 2])
    about = json.loads(folder.comparison_file.read_text())
    assert (about["command"], about["tuning_seeds"]) == (command, [1, 2])
    with pytest.raises(
        ConfigError, match=r"another comparison(?s:.*)env_steps: 100 -> 200(?s:.*)seeds: \[7, 8\] -> \[7\]"
    ):
        begin(tmp_path, env_steps=200, seeds=[7])
    with pytest.raises(ConfigError, match=r"training\.learner\.batch_size: 256 -> 3"):
        begin(tmp_path, base=Config.model_validate({"learner": {"batch_size": 3}}))


def test_a_cell_from_elsewhere_is_taken_if_it_was_trained_alike_and_refused_by_field_if_not(tmp_path):
    folder, plan, planned = begin(tmp_path)
    config = training_config(plan, planned[0], Config()).model_dump(mode="json")
    elsewhere = {**config, "checkpoint": {**config["checkpoint"], "run_every": 7}, "seed": 3}
    place = folder.cohorts(plan, planned)[0].folder
    about = {"loss": "mse", "task": "a/b", "status": "finished", "seeds": [7, 8], "config": elsewhere}
    place.write_record(about)
    begin(tmp_path)
    learner = {**config["learner"], "batch_size": 3}
    place.write_record(about | {"seeds": [7, 9], "config": {**config, "learner": learner}})
    with pytest.raises(
        ConfigError, match=r"mse-a_b(?s:.*)learner.batch_size: 3 -> 256(?s:.*)seeds: \[7, 9\] -> \[7, 8\](?s:.*)Move"
    ):
        begin(tmp_path)


@pytest.mark.parametrize(("task", "taken"), [("suite/cartpole-swingup", True), ("suite/reacher-easy", False)])
def test_a_cell_may_differ_in_how_it_would_read_angles_that_its_task_does_not_show(tmp_path, task, taken):
    base = Config.model_validate({"agent": {"angles_by_sine_and_cosine": True}})
    asked = {"axes": {}, "losses": ["mse"], "tasks": [task], "base": base}
    folder, plan, planned = begin(tmp_path, **asked)
    config = training_config(plan, planned[0], base).model_dump(mode="json")
    config["agent"]["angles_by_sine_and_cosine"] = False
    record = {"loss": "mse", "task": task, "status": "finished", "seeds": [7, 8], "config": config}
    folder.cohorts(plan, planned)[0].folder.write_record(record)
    if taken:
        begin(tmp_path, **asked)
    else:
        with pytest.raises(ConfigError, match=r"agent\.angles_by_sine_and_cosine: False -> True"):
            begin(tmp_path, **asked)


def test_a_cell_may_differ_in_what_its_loss_does_not_read(tmp_path):
    folder, plan, planned = begin(tmp_path, axes={})
    mse, c51 = folder.cohorts(plan, planned)
    for cell, cohort in zip(planned, (mse, c51), strict=True):
        config = training_config(plan, cell, Config()).model_dump(mode="json")
        config["agent"]["critic"]["bins"] = 11
        record = {"loss": cell.loss, "task": "a/b", "status": "finished", "seeds": [7, 8], "config": config}
        cohort.folder.write_record(record)
    with pytest.raises(ConfigError, match=r"cells/c51-a_b holds(?s:.*)agent\.critic\.bins: 11 -> 101"):
        begin(tmp_path, axes={})
    c51.folder.record_file.unlink()
    begin(tmp_path, axes={})


def test_a_field_that_is_younger_than_a_cell_counts_as_its_default(tmp_path):
    folder, plan, planned = begin(tmp_path)
    config = training_config(plan, planned[0], Config()).model_dump(mode="json")
    del config["agent"]["target_rate"]
    about = json.loads(folder.comparison_file.read_text())
    del about["training"]["agent"]["target_rate"]
    folder.comparison_file.write_text(json.dumps(about))
    place = folder.cohorts(plan, planned)[0].folder
    record = {"loss": "mse", "task": "a/b", "status": "finished", "seeds": [7, 8], "config": config}
    place.write_record(record)
    begin(tmp_path)
    other = Config.model_validate({"agent": {"target_rate": 0.5}})
    with pytest.raises(ConfigError, match=r"training\.agent\.target_rate: 0\.005 -> 0\.5"):
        begin(tmp_path, base=other)
    folder.comparison_file.unlink()
    with pytest.raises(ConfigError, match=r"mse-a_b(?s:.*)agent\.target_rate: 0\.005 -> 0\.5"):
        begin(tmp_path, base=other)
    # A field that is gone is not taken for one that never mattered.
    place.write_record(record | {"config": {**config, "agent": {**config["agent"], "of_old": 3}}})
    with pytest.raises(ConfigError, match=r"agent\.of_old: 3 -> \(no such field\)"):
        begin(tmp_path)


def test_seeds_may_be_added_and_none_left_out(tmp_path, monkeypatch):
    folder, plan, planned = begin(tmp_path)
    config = training_config(plan, planned[0], Config()).model_dump(mode="json")
    about = {"loss": "mse", "task": "a/b", "status": "finished", "seeds": [7, 8], "config": config}
    folder.cohorts(plan, planned)[0].folder.write_record(about)
    monkeypatch.setattr("sys.argv", ["robo-rl", "compare", "--seeds", "8", "7", "9"])
    folder, plan, planned = begin(tmp_path, seeds=[8, 7, 9])
    recorded = json.loads(folder.comparison_file.read_text())
    assert (recorded["reporting_seeds"], recorded["command"]) == ([8, 7, 9], "robo-rl compare --seeds 8 7 9")
    assert [(c.name, list(c.seeds)) for c in folder.cohorts(plan, planned[:2])] == [
        (planned[0].name, [7, 8]), (f"{planned[0].name}@2", [9]), (planned[1].name, [8, 7, 9]),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"seeds: \[8, 7, 9\] -> \[7, 8\]"):
        begin(tmp_path)


@pytest.mark.parametrize(
    ("more", "new"),
    [
        ({"losses": ["hl_gauss", "mse", "c51"]}, ["hl_gauss-a_b-{}=8", "hl_gauss-a_b-{}=16"]),
        ({"tasks": ["a/b", "c/d"]}, ["mse-c_d-{}=8", "c51-c_d-{}=8", "mse-c_d-{}=16", "c51-c_d-{}=16"]),
        ({"axes": {WIDTH: [8, 12, 16]}}, ["mse-a_b-{}=12", "c51-a_b-{}=12"]),
    ],
)
def test_losses_tasks_and_values_of_an_axis_may_be_added_and_none_left_out(tmp_path, monkeypatch, more, new):
    folder, plan, planned = begin(tmp_path)
    for cell, cohort in zip(planned, folder.cohorts(plan, planned), strict=True):
        config = training_config(plan, cell, Config()).model_dump(mode="json")
        record = {"loss": cell.loss, "task": cell.task, "status": "finished", "seeds": [7, 8], "config": config}
        cohort.folder.write_record(record)
    monkeypatch.setattr("sys.argv", ["robo-rl", "compare", "more"])
    folder, plan, planned = begin(tmp_path, **more)
    to_train = [cohort.name for cohort in folder.cohorts(plan, planned) if cohort.status != "finished"]
    assert to_train == [name.format(WIDTH) for name in new]
    assert json.loads(folder.comparison_file.read_text())["command"] == "robo-rl compare more"
    (field,) = more
    with pytest.raises(ConfigError, match=rf"another comparison.*\n +{field}"):
        begin(tmp_path)


def test_a_loss_may_join_with_settings_of_its_own_and_keep_them(tmp_path):
    begin(tmp_path, losses=["mse"])
    folder, plan, planned = begin(tmp_path, heads={"c51": {"bins": 11}})
    assert "bins" not in json.loads(folder.comparison_file.read_text())["training"]["agent"]["critic"]
    c51 = next(cell for cell in planned if cell.loss == "c51")
    config = training_config(plan, c51, Config()).model_dump(mode="json")
    record = {"loss": "c51", "task": "a/b", "status": "finished", "seeds": [7, 8], "config": config}
    folder.cohorts(plan, [c51])[0].folder.write_record(record)
    begin(tmp_path, heads={"c51": {"bins": 11}})
    with pytest.raises(ConfigError, match=r"cells/c51-a_b(?s:.*)agent\.critic\.bins: 11 -> 101"):
        begin(tmp_path)
    with pytest.raises(ConfigError, match=r"training\.agent\.critic\.quantiles: 100 -> 7"):
        begin(
            tmp_path, heads={"c51": {"bins": 11}}, base=Config.model_validate({"agent": {"critic": {"quantiles": 7}}})
        )


def test_another_base_is_no_other_comparison_if_overrides_bring_back_what_it_was(tmp_path):
    begin(tmp_path)
    later = Config.model_validate({"learner": {"batch_size": 3}})
    begin(tmp_path, base=later, overrides={"learner.batch_size": 256})
    with pytest.raises(ConfigError, match=r"training\.learner\.batch_size: 256 -> 4"):
        begin(tmp_path, base=later, overrides={"learner.batch_size": 4})


def test_an_axis_may_not_be_added(tmp_path):
    begin(tmp_path)
    with pytest.raises(ConfigError, match=r"axes\.agent\.target_rate: \(no such field\) -> \[0\.1\]"):
        begin(tmp_path, axes={WIDTH: [8, 16], "agent.target_rate": [0.1]})


def test_a_folder_of_an_older_version_is_refused_with_what_to_do(tmp_path):
    folder, _, _ = begin(tmp_path)
    about = json.loads(folder.comparison_file.read_text())
    del about["training"]
    folder.comparison_file.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"older version.*Move cells/ into a new folder"):
        begin(tmp_path)


def test_a_run_folder_is_no_place_for_a_comparison(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(ConfigError, match="training run"):
        begin(tmp_path)


def test_one_process_at_a_time(tmp_path):
    with ComparisonFolder(tmp_path).lock(), pytest.raises(UserError, match="is at work on"):
        ComparisonFolder(tmp_path).lock().__enter__()


def test_scores_hold_every_evaluation_of_every_seed(tmp_path):
    folder, plan, planned = begin(tmp_path)
    episodes = [
        {"seed": 0, "return": 1.5, "length": 3, "success": True},
        {"seed": 1, "return": 2.5, "length": 3, "success": False},
    ]
    for cohort in folder.cohorts(plan, planned[:2]):
        place = cohort.folder
        place.path.mkdir(parents=True)
        place.add_evaluations({"seed": seed, "env_steps": 50, "episodes": episodes} for seed in (7, 8))
        with place.evaluations_file.open("a") as file:
            file.write('{"seed": 7, "env_st')  # torn by a crash
    folder.write_scores(plan, planned)
    with folder.scores_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert rows[0] == {
        "loss": "mse",
        "task": "a/b",
        "seed": "7",
        "env_steps": "50",
        "return": "2.0",
        "success": "0.5",
        WIDTH: "8",
    }
    assert [row["loss"] for row in rows] == ["mse", "mse", "c51", "c51"]


def test_rows_beyond_a_checkpoint_are_forgotten(tmp_path):
    place = CellFolder(tmp_path / "cell")
    place.path.mkdir(parents=True)
    place.log([{"env_steps": step, "seed": 7, "q_mean": 0.5} for step in (10, 20, 30)])
    place.add_evaluations([{"seed": 7, "env_steps": 30, "episodes": []}])
    place.truncate_after(20)
    assert [json.loads(line)["env_steps"] for line in place.metrics_file.read_text().splitlines()] == [10, 20]
    assert place.evaluations() == []

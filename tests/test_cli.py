"""The command as a user types it: what it says to bad input, before any process starts, and with which exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from robo_rl import cli, render
from robo_rl.checkpoints.layout import committed_steps
from tests.runtimes.local_run import TINY

TINY_GRASP = {**TINY, "env": {"name": "grasp/cube"}, "runtime": "inline", "env_steps": 400, "log_every": 100}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of the grasp task, too short to have learned anything."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY_GRASP))
    assert robo_rl("train", folder / "tiny.yaml", "--run", folder / "run").returncode == 0
    return folder / "run"


def robo_rl(*arguments, folder=None, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "robo_rl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, **environment},
    )


def refused(capsys, *arguments) -> str:
    """What the command says when it refuses `arguments` as bad input."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def preset(folder: Path, **fields) -> Path:
    file = folder / "preset.yaml"
    file.write_text(yaml.safe_dump({**TINY_GRASP, **fields}))
    return file


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"learner": {"batch_sise": 3}}, ["learner.batch_sise", "batch_size"]),
        ({"learner": {"batch_size": "many"}}, ["learner.batch_size", "'many'", "integer"]),
        ({"learner": {"batch_size": 0}}, ["learner.batch_size", "0", "greater than or equal to 1"]),
        ({"agent": {"critic": {"loss": "hl_gaus"}}}, ["hl_gaus", "hl_gauss"]),
        ({"env": {"name": "grasp/cub"}}, ["grasp/cub", "grasp/cube"]),
        ({"env": {"name": "suite/cheetah-rum"}}, ["suite/cheetah-run"]),
        ({"env": {"name": "grasp/cube", "step_penalty": 0.1}}, ["env.step_penalty", "sparse"]),
        ({"replay": {"capacity": 3}}, ["replay.capacity", "3", "10"]),
        ({"env_steps": 50}, ["learner.warmup_env_steps", "env_steps"]),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(tmp_path, capsys, fields, said):
    message = refused(capsys, "train", preset(tmp_path, **fields), "--run", tmp_path / "run")
    for text in said:
        assert text in message
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_an_unknown_config_lists_the_nearest(capsys):
    assert "grasp_cube" in refused(capsys, "train", "grasp_cub")


def test_a_file_that_is_no_yaml_is_refused(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("env: [")
    assert "cannot be read as YAML" in refused(capsys, "train", tmp_path / "bad.yaml")


def test_an_unknown_flag_is_refused_with_a_suggestion(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["train", "grasp_cube", "--learner.batch-sise", "3"])
    assert error.value.code == 2
    assert "--learner.batch-size" in "".join(capsys.readouterr())


def test_a_flag_out_of_range_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        raise SystemExit(cli.main(["train", "grasp_cube", "--run", str(tmp_path), "--learner.batch-size", "0"]))
    assert error.value.code == 2
    assert "batch" in "".join(capsys.readouterr())


def test_help_shows_every_field_with_its_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "grasp_cube", "--help"])
    shown = capsys.readouterr().out
    for flag in ("--env-steps", "--learner.batch-size", "--agent.critic.loss", "--checkpoint.run-every"):
        assert flag in shown
    assert "36000" in shown, "the defaults are not those of the preset"


def test_an_unwritable_run_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    message = refused(capsys, "train", preset(tmp_path), "--run", tmp_path / "file" / "run")
    assert "cannot be written" in message
    assert "--run" in message


def test_evaluate_judges_the_newest_checkpoint_and_writes_the_record(trained, tmp_path):
    done = robo_rl("evaluate", trained, "--episodes", 3, "--episode-seed", 7, "--json", tmp_path / "record.json")
    assert done.returncode == 0, done.stderr
    assert "grasp/cube, checkpoint 400: success" in done.stdout
    assert "3 episodes" in done.stdout
    record = json.loads((tmp_path / "record.json").read_text())
    assert [episode["seed"] for episode in record["episodes"]] == [7, 8, 9]
    again = robo_rl("evaluate", trained / "checkpoints" / "400", "--episodes", 3, "--episode-seed", 7)
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout, "the same checkpoint and seeds gave another result"


def test_evaluate_by_hand_agrees_with_the_evaluator_of_the_run(trained, tmp_path):
    done = robo_rl("evaluate", trained, "--json", tmp_path / "record.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "record.json").read_text()) == json.loads(
        (trained / "evaluations" / "400.json").read_text()
    )


def test_evaluate_refuses_what_is_no_checkpoint(tmp_path, trained, capsys):
    assert "no committed checkpoint" in refused(capsys, "evaluate", tmp_path)
    message = refused(capsys, "evaluate", trained / "checkpoints" / "3")
    assert "no committed step 3" in message
    assert "400" in message
    assert "--episodes is 0" in refused(capsys, "evaluate", trained, "--episodes", 0)


def test_an_export_is_written_judged_and_refused_when_damaged(trained, tmp_path, capsys):
    file = tmp_path / "policy.zip"
    done = robo_rl("export", trained, file)
    assert done.returncode == 0, done.stderr
    assert "over 3 episodes" in done.stdout
    done = robo_rl("evaluate", file, "--episodes", 2, "--episode-seed", 7, "--json", tmp_path / "record.json")
    assert done.returncode == 0, done.stderr
    assert "grasp/cube, checkpoint policy.zip: success" in done.stdout
    assert [episode["seed"] for episode in json.loads((tmp_path / "record.json").read_text())["episodes"]] == [7, 8]
    file.write_bytes(file.read_bytes()[:-1000])
    assert "truncated" in refused(capsys, "evaluate", file)
    assert "There is no file" in refused(capsys, "evaluate", tmp_path / "none.zip")


def test_a_missing_renderer_is_said_before_anything_is_evaluated(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(render, "usable_gl_backend", lambda: None)
    monkeypatch.setattr(render, "probe_gl_backend", lambda name: render.GlProbe(name, False, f"no lib{name}"))
    message = refused(capsys, "evaluate", trained, "--video", tmp_path / "v.mp4")
    assert "no libegl" in message
    assert "apt-get install" in message
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.parametrize("runtime", ["inline", "local"])
def test_training_from_a_camera_without_a_renderer_is_refused_before_anything_starts(
    tmp_path, capsys, monkeypatch, runtime
):
    monkeypatch.setattr(render, "usable_gl_backend", lambda: None)
    monkeypatch.setattr(render, "probe_gl_backend", lambda name: render.GlProbe(name, False, f"no lib{name}"))
    flags = ("--run", tmp_path / "run", "--runtime", runtime)
    message = refused(capsys, "train", "grasp_camera", *flags)
    assert "apt-get install" in message
    assert not (tmp_path / "run").exists()


def test_status_says_where_a_finished_run_stands(trained, capsys):
    assert cli.main(["status", str(trained)]) == 0
    shown = capsys.readouterr().out
    assert "400 of 400" in shown
    assert "evaluation 400" in shown


def test_a_reader_that_has_seen_enough_gets_no_traceback(trained):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "robo_rl", "status", str(trained)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (cli.EXIT_FAILED, "")


def test_a_broken_pipe_between_processes_is_not_taken_for_a_closed_terminal(monkeypatch):
    def fails(options, rest):
        raise BrokenPipeError("a child is gone")

    monkeypatch.setattr(cli.commands, "status", fails)
    with pytest.raises(BrokenPipeError, match="a child is gone"):
        cli.main(["status", "runs/any"])


def test_status_of_something_else_is_refused(tmp_path, capsys):
    assert "is no run folder" in refused(capsys, "status", tmp_path)


def test_a_folder_of_another_experiment_is_refused_and_the_fields_named(trained, tmp_path, capsys):
    other = preset(tmp_path, seed=5, learner={**TINY["learner"], "batch_size": 16})
    message = refused(capsys, "train", other, "--run", trained)
    assert "learner.batch_size: 8 -> 16" in message
    assert "seed: 0 -> 5" in message


def test_a_damaged_checkpoint_is_named_and_training_does_not_start_over(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    step = committed_steps(run / "checkpoints")[-1]
    victim = max((run / "checkpoints" / str(step) / "run").rglob("*"), key=lambda path: path.stat().st_size)
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    victim.write_bytes(damaged)
    done = robo_rl("train", trained.parent / "tiny.yaml", "--run", run, "--env-steps", 800)
    assert done.returncode == 2
    assert victim.name in done.stderr
    assert committed_steps(run / "checkpoints") == [step]


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory):
    """The finished run, judged by a fleet of one worker and promoted; with the suite's file and what was said."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(trained, folder / "run")
    suite = {
        **{"task": "grasp/*", "episodes": 4, "block_episodes": 2, "envs": 2, "promotion": {"min_episodes": 2}},
        "variations": {"held_out": {}, "sparse": {"env": {"reward": "sparse"}}},
    }
    (folder / "few.yaml").write_text(yaml.safe_dump(suite))
    done = [robo_rl("fleet", "run", "--suite", "few.yaml", "--report", folder=folder)]
    done += [robo_rl("promote", "run", *flags, folder=folder) for flags in (["--dry-run"], [], [])]
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    return folder, [one.stdout for one in done]


def test_a_fleet_judges_a_run_and_promotes_its_best(judged):
    folder, said = judged
    steps = committed_steps(folder / "run" / "checkpoints")
    assert f"{4 * len(steps)} blocks evaluated, {2 * len(steps)} rows merged, 0 workers lost" in said[0]
    assert [text.partition(":")[0] for text in said[1:]] == ["best would move", "best moved", "best stays"]
    assert "<svg" in (folder / "run" / "leaderboard.html").read_text()
    assert len((folder / "run" / "leaderboard.csv").read_text().splitlines()) == 1 + 2 * len(steps)


def test_the_worst_episode_is_played_again_by_the_command_that_the_leaderboard_gives(judged):
    folder, _ = judged
    [step] = committed_steps(folder / "run" / "best" / "checkpoints")
    [row] = folder.glob(f"run/evaluations/few/{step}-*/held_out.json")
    worst = json.loads(row.read_text())["worst"][0]
    again = robo_rl(
        *("evaluate", "run/best", "--suite", "run/evaluations/few/suite.json", "--variation", "held_out"),
        *("--episodes", 1, "--episode-seed", worst["seed"], "--json", "again.json"),
        folder=folder,
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "again.json").read_text())["episodes"] == [worst]


def test_fleets_and_promotions_that_cannot_be(trained, tmp_path, capsys):
    assert "no run folder" in refused(capsys, "fleet", tmp_path)
    assert "Nearest: grasp" in refused(capsys, "fleet", trained, "--suite", "grap")
    assert "this run's task is grasp/cube" in refused(capsys, "fleet", trained, "--suite", "suite")
    assert "--workers is 0" in refused(capsys, "fleet", trained, "--workers", 0)
    assert "named twice" in refused(capsys, "fleet", trained, trained)
    assert "no evaluations" in refused(capsys, "promote", trained)
    assert "go together" in refused(capsys, "evaluate", trained, "--suite", "grasp")


COMPARISON = {"question": "?", "base": "dmc", "losses": ["mse"], "tasks": ["suite/cartpole-balance"],
              "seeds": [5, 6], "tuning_seeds": [0], "env_steps": 9000}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"losses": ["hl_gaus"]}, ["losses", "hl_gaus", "hl_gauss"]),
        ({"tasks": ["suite/cheetah-rum"]}, ["suite/cheetah-rum", "suite/cheetah-run"]),
        ({"axes": {"agent.critic_network.widht": [1]}}, ["agent.critic_network.widht", "agent.critic_network.width"]),
        ({"seeds": [0, 5]}, ["seeds", "tuning_seeds", "[0]"]),
    ],
)
def test_a_comparison_that_cannot_run_is_refused(tmp_path, capsys, fields, said):
    file = tmp_path / "comparison.yaml"
    file.write_text(yaml.safe_dump({**COMPARISON, **fields}))
    message = refused(capsys, "compare", file, "--run", tmp_path / "run")
    assert [part for part in said if part not in message] == []
    assert not (tmp_path / "run").exists()


def test_compare_refuses_a_missing_config_no_jobs_and_a_training_preset(tmp_path, capsys):
    assert "needs a CONFIG" in refused(capsys, "compare")
    assert "names no losses" in refused(capsys, "compare", "grasp_cube")
    assert "--jobs is 0" in refused(capsys, "compare", "compare_quick", "--jobs", "0", "--run", tmp_path / "run")
    assert cli.main(["compare", "--help"]) == 0
    assert "--tuning-seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "name", "said"), [("--video", "film.gif", "must end in .mp4"), ("--json", "", "is a folder")]
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_played(
    trained, tmp_path, capsys, monkeypatch, flag, name, said
):
    monkeypatch.setattr("robo_rl.evaluation.evaluate_checkpoint", lambda *_: pytest.fail("it was played"))
    message = refused(capsys, "evaluate", trained, flag, tmp_path / name)
    assert flag in message
    assert said in message


def test_folders_of_results_are_made(trained, tmp_path):
    file = tmp_path / "new" / "record.json"
    assert robo_rl("evaluate", trained, "--episodes", 1, "--json", file).returncode == 0
    assert len(json.loads(file.read_text())["episodes"]) == 1

"""The local runtime as a user has it: whole commands, real processes, real kills."""

import json
import os
import signal

import pytest

from robo_rl.checkpoints.layout import committed_steps, restorable_steps
from robo_rl.checkpoints.reader import load_meta
from robo_rl.render import usable_gl_backend
from tests.runtimes.local_run import LocalRun, is_alive, kill, wait_until_gone

pytestmark = pytest.mark.slow


def test_a_whole_run_of_the_grasp_task_leaves_a_complete_run_folder(tmp_path):
    with LocalRun(
        tmp_path,
        env={"name": "grasp/cube"},
        env_steps=600,
        checkpoint={"policy_every": 300},
        evaluation={"episodes": 2, "final_episodes": 4},
    ) as local:
        assert local.end(120) == 0, local.said()
        run = local.run
        steps = committed_steps(run.checkpoints)
        assert len(steps) == 2
        assert steps[-1] >= 600
        assert restorable_steps(run.checkpoints) == steps, "the first and the last are whole"
        assert load_meta(run.checkpoints, steps[0])["spec"]["name"] == "grasp/cube"
        rows = local.rows()
        assert [row["env_steps"] for row in rows] == sorted({row["env_steps"] for row in rows})
        assert {"critic_loss", "q_mean", "clipped_fraction", "entropy", "temperature", "return"} <= rows[-1].keys()
        records = run.evaluation_records()
        assert sorted(records) == steps
        assert [len(records[step]["episodes"]) for step in steps] == [2, 4]
        assert [episode["seed"] for episode in records[steps[-1]]["episodes"]] == [0, 1, 2, 3]
        assert run.config()["env"]["name"] == "grasp/cube"
        assert {"packages", "git", "seed", "spec"} <= json.loads(run.manifest_file.read_text()).keys()
        assert list((run.path / "tensorboard").iterdir())
        assert local.status()["state"] == "finished"
        assert not local.leftovers()
        assert not wait_until_gone(local.family(), 5)
        assert "Last checkpoint" in local.said()


def test_a_killed_actor_is_restarted_and_nothing_is_counted_twice(tmp_path):
    with LocalRun(tmp_path) as local:
        local.wait_until_trained()
        first = local.wait_for(lambda: local.pid("actor 0"), "actor")
        kill(first)
        local.wait_for(lambda: local.pid("actor 0") not in (None, first), "new actor")
        local.wait_until_trained(1000)
        row = local.rows()[-1]
        # One transition per control step, all but those of the chunk under way: more would be counted twice.
        assert row["replay_size"] == min(row["env_steps"], 2000)
        assert "actor 0 died (it ended without a word (killed by SIGKILL)); restart 1" in local.said()


def test_a_killed_evaluator_is_restarted_and_judges_the_checkpoint_from_the_start(tmp_path):
    with LocalRun(tmp_path, evaluation={"episodes": 50_000, "final_episodes": 1}) as local:
        step = local.wait_for(lambda: committed_steps(local.run.checkpoints), "checkpoint")[0]
        first = local.wait_for(lambda: local.pid("evaluator"), "evaluator")
        kill(first)
        second = local.wait_for(lambda: local.pid("evaluator") not in (None, first), "new evaluator")
        assert second
        assert not local.run.evaluation_records(), "half an evaluation was written"
        assert not list(local.run.evaluations.glob("*tmp*"))
        assert step
        local.wait_until_trained()


def test_a_killed_learner_ends_the_run_and_the_same_command_resumes_it(tmp_path):
    with LocalRun(tmp_path) as local:
        step = local.wait_for(lambda: restorable_steps(local.run.checkpoints), "whole checkpoint")[-1]
        family = local.family()
        kill(local.pid("learner"))
        assert local.end(15) == 1
        assert "killed by SIGKILL" in local.said()
        assert "the same command resumes" in local.said()
        assert not wait_until_gone(family, 5)
        assert not local.leftovers()
    with LocalRun(tmp_path) as local:
        resumed = local.wait_for(lambda: local.env_steps() > step + 400 and local.rows(), "rows after the resume")
        steps = [row["env_steps"] for row in resumed]
        assert steps == sorted(set(steps)), "the curve has two values for one step"
        # The limiter goes on from its counts: no burst, no pause.
        last = resumed[-1]
        assert last["updates"] == pytest.approx((last["env_steps"] - 100) * 0.2, abs=150)


def test_a_killed_parent_takes_its_children_with_it(tmp_path):
    with LocalRun(tmp_path) as local:
        local.wait_until_trained()
        family = local.family()
        assert len(family) == 4
        assert all(map(is_alive, family))
        kill(local.process.pid)
        assert not wait_until_gone(family[1:], 15)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_commits_a_whole_checkpoint(tmp_path, number):
    with LocalRun(tmp_path) as local:
        local.wait_until_trained()
        family = local.family()
        os.killpg(local.process.pid, number)  # as a terminal does: to the whole group
        assert local.end(30) == 0, local.said()
        assert restorable_steps(local.run.checkpoints), local.said()
        assert restorable_steps(local.run.checkpoints)[-1] >= local.env_steps()
        assert "the same command goes on from there" in local.said()
        assert not wait_until_gone(family, 5)
        assert not local.leftovers()


def test_a_second_interrupt_ends_at_once(tmp_path):
    with LocalRun(tmp_path) as local:
        local.wait_until_trained()
        family = local.family()
        os.kill(local.pid("learner"), signal.SIGSTOP)  # so that the polite stop cannot succeed
        local.process.send_signal(signal.SIGINT)
        local.wait_for(lambda: "commits a checkpoint" in local.said(), "polite stop")
        local.process.send_signal(signal.SIGINT)
        assert local.end(10) == 130
        assert not wait_until_gone(family, 5)


def test_an_environment_that_keeps_raising_stops_the_run_with_its_traceback(tmp_path):
    with LocalRun(tmp_path, env={"name": "faulty/raises"}, actor={"max_restarts": 1}) as local:
        assert local.end(90) == 1
        said = local.said()
        assert "restart 1" in said
        assert "actor 0 failed 2 times in a row" in said
        assert "ArithmeticError: the gripper fell off" in said
        assert "sitecustomize.py" in said, "the traceback does not say where"
        assert not wait_until_gone(local.family(), 5)


def test_a_reward_that_is_no_number_stops_the_run_and_the_last_good_checkpoint_stands(tmp_path):
    with LocalRun(
        tmp_path, env={"name": "faulty/not_a_number"}, checkpoint={"policy_every": 200, "run_every": 200}
    ) as local:
        assert local.end(90) == 1
        assert "training diverged" in local.said()
        steps = restorable_steps(local.run.checkpoints)
        assert steps
        assert steps[-1] <= 310
        assert load_meta(local.run.checkpoints, steps[-1])["counts"]["env_steps"] == steps[-1]


def test_two_jobs_on_one_folder_are_refused(tmp_path):
    with LocalRun(tmp_path) as local:
        local.wait_until_trained(200)
        with LocalRun(tmp_path) as second:
            assert second.end(60) == 2
            assert f"is being trained by process {local.process.pid}" in second.said()


def test_a_full_disk_ends_the_run_loudly_and_costs_no_earlier_checkpoint(tmp_path):
    with LocalRun(tmp_path, env_steps=1500, checkpoint={"policy_every": 500}) as local:
        assert local.end(90) == 0, local.said()
        before = restorable_steps(local.run.checkpoints)
    # The same run, with a longer budget and room for small files only.
    with LocalRun(tmp_path, env_steps=100_000, most_file_bytes=3000) as local:
        assert local.end(90) in (1, 2)
        said = local.said()
        assert "File too large" in said or "No space" in said or "failed" in said
        assert "the run failed" in said or "cannot be written" in said
        assert restorable_steps(local.run.checkpoints) == before
        assert not local.leftovers()
        assert not wait_until_gone(local.family(), 5)


def test_a_run_from_a_camera_draws_in_actor_and_evaluator(tmp_path):
    if usable_gl_backend() is None:
        pytest.skip("nothing renders on this machine")
    camera = {"name": "grasp/cube", "observation": "camera", "camera_size": 16, "episode_steps": 5}
    with LocalRun(tmp_path, env=camera, env_steps=600, evaluation={"episodes": 2, "final_episodes": 2}) as local:
        # Making an OpenGL context visits every core in turn, which takes its time on busy ones.
        assert local.end(240) == 0, local.said()
        spec = load_meta(local.run.checkpoints, committed_steps(local.run.checkpoints)[-1])["spec"]
        assert spec["observation"]["camera"]["dtype"] == "uint8"
        assert local.run.evaluation_records()
        assert not local.leftovers()

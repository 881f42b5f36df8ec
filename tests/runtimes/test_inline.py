"""A run in one thread is a function of its config: repeated, it gives the same bits; stopped and resumed, too."""

import io
import os

import jax
import numpy as np
import pytest
from rich.console import Console

from robo_rl.checkpoints.layout import committed_steps, restorable_steps
from robo_rl.checkpoints.reader import load_meta, load_run
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import CheckpointConfig, EnvConfig, EvaluationConfig, LearnerConfig, ReplayConfig
from robo_rl.errors import ConfigError, RunFailedError
from robo_rl.experiment import build
from robo_rl.metrics.sinks import read_rows
from robo_rl.roles.evaluator import greedy, run_episodes
from robo_rl.runtimes import inline
from robo_rl.status import print_status
from tests.roles.parts import assert_same_bits, bits, tiny
from tests.toys import Reach, compiled_once, toy_family

CASES = {
    "toy": lambda: tiny(n_step=3),
    # Rewards whose noise a resume must bring back with the episode
    "noise": lambda: tiny(EnvConfig(name="toy/reach", reward_noise=0.5)),
    "grasp": lambda: tiny(EnvConfig(name="grasp/cube", episode_steps=9)),
    # 20 control steps of 2 environment steps, windows of 3 that are open wherever a run stops
    "suite": lambda: tiny(EnvConfig(name="suite/cartpole-swingup", action_repeat=2, episode_steps=20), n_step=3),
}


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """case -> config and folder of an uninterrupted run, made once."""
    done = {}

    def whole(case):
        if case not in done:
            config, run = CASES[case](), RunFolder(tmp_path_factory.mktemp(case) / "whole")
            inline.train(config, run, ignore)
            done[case] = config, run
        return done[case]

    return whole


def ignore(kind, what):
    """A report that nobody reads."""


def final(config, run):
    """The whole `run` item of the last checkpoint, and the counts beside it but for the seconds."""
    experiment = build(config)
    step = restorable_steps(run.checkpoints)[-1]
    tree = load_run(run.checkpoints, step, {"learner": experiment.initial_state(), "actor": experiment.actor().state()})
    counts = load_meta(run.checkpoints, step)["counts"]
    return tree, {name: value for name, value in counts.items() if name != "seconds"}


class StopAfter:
    """Says stop from the n-th time it is asked."""

    def __init__(self, turns):
        self.turns = turns

    def __call__(self):
        self.turns -= 1
        return self.turns < 0


@pytest.mark.parametrize("case", CASES)
def test_stopped_and_resumed_equals_uninterrupted_to_the_last_bit(tmp_path, whole, case):
    config, run = whole(case)
    parts = RunFolder(tmp_path / "parts")
    inline.train(config, parts, ignore, StopAfter(7))
    [half] = committed_steps(parts.checkpoints)
    assert 0 < half < config.env_steps
    assert half > config.learner.warmup_env_steps, "some of the updates lie before the stop"
    inline.train(config, parts, ignore)
    (tree, counts), (want, want_counts) = final(config, parts), final(config, run)
    assert counts == want_counts
    assert counts["updates"] > 0
    assert_same_bits(tree, want)


def test_a_run_may_be_stopped_many_times(tmp_path, whole):
    config, run = whole("toy")
    parts = RunFolder(tmp_path)
    for _ in range(4):
        inline.train(config, parts, ignore, StopAfter(4))
    assert_same_bits(final(config, parts), final(config, run))


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, whole):
    config, run = whole("toy")
    inline.train(config, RunFolder(tmp_path / "again"), ignore)
    again = final(config, RunFolder(tmp_path / "again"))
    assert_same_bits(again, final(config, run))
    other_config = config.model_copy(update={"seed": 1})
    inline.train(other_config, RunFolder(tmp_path / "other"), ignore)
    before, after = (
        bits(again[0]["learner"].agent.actor),
        bits(final(other_config, RunFolder(tmp_path / "other"))[0]["learner"].agent.actor),
    )
    kernels = [path for path in before if "kernel" in path]
    assert kernels
    assert all(before[path] != after[path] for path in kernels)


def test_a_run_killed_after_checkpoints_of_the_policy_goes_on_from_the_last_whole_one(tmp_path, whole):
    config, run = whole("toy")
    killed = RunFolder(tmp_path)
    often = config.model_copy(update={"checkpoint": CheckpointConfig(policy_every=30, run_every=90)})

    class KilledError(Exception):
        pass

    def report(kind, what):
        if kind == "row" and what["env_steps"] >= 150:
            raise KilledError

    with pytest.raises(KilledError):
        inline.train(often, killed, report)
    assert committed_steps(killed.checkpoints)[-1] > restorable_steps(killed.checkpoints)[-1]
    inline.train(often, killed, ignore)
    (tree, counts), (want, want_counts) = final(often, killed), final(config, run)
    assert counts == want_counts
    assert_same_bits(tree, want)
    steps = [row["env_steps"] for row in read_rows(killed.metrics_file)]
    assert steps == [60, 120, 180, 240]


def test_every_checkpoint_is_judged_and_the_last_one_longer(tmp_path, whole):
    config, run = whole("toy")
    judged = RunFolder(tmp_path)
    config_judged = config.model_copy(
        update={
            "checkpoint": CheckpointConfig(policy_every=120, run_every=10_000),
            "evaluation": config.evaluation.model_copy(update={"enabled": True}),
        }
    )
    said = []
    inline.train(config_judged, judged, lambda kind, what: said.append(kind))
    assert isinstance(config_judged.evaluation, EvaluationConfig)
    assert {step: len(record["episodes"]) for step, record in judged.evaluation_records().items()} == {120: 4, 240: 7}
    assert said.count("evaluation") == said.count("checkpoint") == 2
    # Judging a run does not change it.
    assert_same_bits(final(config_judged, judged)[0]["learner"], final(config, run)[0]["learner"])


def shown(run):
    """The first lines of `robo-rl status`."""
    console = Console(file=io.StringIO(), width=200)
    print_status(run.path, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_run_says_that_it_trains_and_that_it_has_finished(tmp_path):
    run, lines = RunFolder(tmp_path), []
    inline.train(tiny(env_steps=120), run, lambda kind, what: lines.append(shown(run)))
    assert len(lines) == 3, "two rows and a checkpoint"
    assert all(f"state training (process {os.getpid()})" in said for said in lines)
    assert "state finished" in shown(run)
    assert run.status()["env_steps"] == 120


def test_a_run_that_is_stopped_says_so_and_plays_no_last_episodes(tmp_path):
    run = RunFolder(tmp_path)
    inline.train(tiny(evaluation=EvaluationConfig(episodes=4, final_episodes=7, envs=3)), run, ignore, StopAfter(4))
    assert committed_steps(run.checkpoints)
    assert run.status()["state"] == "stopped"
    assert run.evaluation_records() == {}


def test_a_run_that_fails_says_so(tmp_path):
    run = RunFolder(tmp_path)

    def report(kind, what):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inline.train(tiny(), run, report)
    assert run.status()["state"] == "failed"


def test_a_run_that_diverged_has_failed(tmp_path, monkeypatch):
    step = Reach.step
    monkeypatch.setattr(Reach, "step", lambda self, action: step(self, action)._replace(reward=np.nan))
    with pytest.raises(RunFailedError, match="training diverged"):
        inline.train(tiny(), RunFolder(tmp_path), ignore)
    assert RunFolder(tmp_path).status()["state"] == "failed"


def test_a_folder_that_is_refused_keeps_its_status(tmp_path):
    run = RunFolder(tmp_path)
    inline.train(tiny(env_steps=60), run, ignore)
    with pytest.raises(ConfigError, match="another experiment"):
        inline.train(tiny(seed=1), run, ignore)
    assert run.status()["state"] == "finished"


def test_a_finished_run_is_finished(tmp_path, whole):
    config, _ = whole("toy")
    run = RunFolder(tmp_path)
    inline.train(config, run, ignore)
    before = final(config, run)
    inline.train(config, run, ignore)
    assert committed_steps(run.checkpoints) == [240]
    assert_same_bits(final(config, run), before)
    # A larger budget goes on from there.
    longer = config.model_copy(update={"env_steps": 300})
    inline.train(longer, run, ignore)
    assert committed_steps(run.checkpoints) == [240, 300]
    assert int(jax.device_get(final(longer, run)[0]["actor"]["counters"])[2]) == 300 // 3


@pytest.mark.slow
def test_learning_improves_a_real_return(tmp_path):
    """A random policy stays about 0.5 m away from the middle; a trained one goes there and stays, within 4 steps."""
    config = tiny(env_steps=3000, log_every=1000)
    config = config.model_copy(
        update={
            "agent": config.agent.model_copy(update={"learning_rate": 3e-3, "target_rate": 0.02}),
            "replay": ReplayConfig(capacity=5000),
            "learner": LearnerConfig(batch_size=64, updates_per_dispatch=25, warmup_env_steps=300),
            "evaluation": EvaluationConfig(episodes=60, final_episodes=60, envs=20),
        }
    )
    experiment, run = build(config), RunFolder(tmp_path)
    untrained = experiment.agent.policy(experiment.initial_state().agent)
    before = run_episodes(experiment.evaluation_env(), greedy(experiment.agent), untrained, list(range(60)))
    inline.train(config, run, ignore)
    after = run.evaluation_records()[3000]
    mean_before = sum(episode.episode_return for episode in before) / 60
    print(f"return {mean_before:.2f} -> {after['return']['mean']:.2f}, success {after['success']['rate']:.0%}")
    assert after["return"]["low"] > mean_before + 2
    assert after["success"]["rate"] > 0.9


def test_evaluations_are_filmed_where_that_is_asked_for(tmp_path):
    config = tiny(evaluation=EvaluationConfig(episodes=4, final_episodes=2, envs=2, video=True))
    run = RunFolder(tmp_path / "run")
    inline.train(config, run, ignore)
    [step] = run.evaluation_records()
    assert (run.videos / f"{step}.mp4").stat().st_size > 500
    assert len(run.evaluation_records()[step]["episodes"]) == 4, "the last checkpoint is judged on no fewer"

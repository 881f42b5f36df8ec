"""Runs that learn from a data set: offline, mixed, from memory and streamed; stopped and resumed to the last bit."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from robo_rl.checkpoints.layout import restorable_steps
from robo_rl.checkpoints.reader import load_meta, load_run
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import DataConfig
from robo_rl.data.reader import open_for
from robo_rl.errors import ConfigError, DataError
from robo_rl.experiment import build, with_data
from robo_rl.metrics.sinks import read_rows
from robo_rl.roles.learner import Counts
from robo_rl.runtimes import inline, local
from tests.data.parts import toy_episodes, write
from tests.roles.parts import assert_same_bits, tiny
from tests.runtimes.test_inline import StopAfter, ignore
from tests.toys import SPEC, Reach, compiled_once, toy_family


@pytest.fixture(autouse=True, scope="module")
def _setting(tmp_path_factory):
    with toy_family(), compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), toy_episodes(9))


def config(folder, **changes):
    return tiny(n_step=3, env_steps=120, log_every=40, data=DataConfig(path=str(folder), stream_episodes=2, **changes))


CASES = {"offline, streamed": {"share": 1.0, "buffer": 40}, "mixed, from memory": {"share": 0.25}}


def final(config, run):
    experiment = with_data(build(config))
    step = restorable_steps(run.checkpoints)[-1]
    template = {"learner": experiment.initial_state(), "actor": experiment.actor().state()}
    counts = load_meta(run.checkpoints, step)["counts"]
    tree = load_run(run.checkpoints, step, template)
    return tree, {name: value for name, value in counts.items() if name != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, recorded, case):
    settings = config(recorded, **CASES[case])
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    inline.train(settings, whole, ignore)
    inline.train(settings, parts, ignore, StopAfter(5))
    assert restorable_steps(parts.checkpoints)[-1] < settings.env_steps
    inline.train(settings, parts, ignore)
    (tree, counts), (want, want_counts) = final(settings, parts), final(settings, whole)
    assert counts == want_counts
    assert counts["updates"] > 0
    assert_same_bits(tree, want)
    streams = "streamed" in case
    assert counts["data"]["read"] > 9 if streams else counts["data"]["read"] == 9


def test_offline_nothing_acts_and_the_clock_counts_updates(tmp_path, recorded):
    settings = config(recorded, share=1.0)
    inline.train(settings, RunFolder(tmp_path), ignore)
    tree, counts = final(settings, RunFolder(tmp_path))
    assert counts["env_steps"] == counts["updates"] == settings.env_steps
    assert counts["episodes"] == 0
    assert int(tree["learner"].replay.size) == 0
    assert not tree["actor"]["running"]
    assert [row["env_steps"] for row in read_rows(tmp_path / "metrics.jsonl")] == [40, 80, 120]


def test_statistics_take_in_each_recorded_transition_once(recorded):
    steps = sum(episode.length for episode in toy_episodes(9))
    for buffer in (10_000, 40):
        settings = config(recorded, share=1.0, buffer=buffer)
        experiment = with_data(build(settings))
        learner = experiment.learner(experiment.initial_state(), Counts())
        held = int(learner.state.demonstrations.size)
        assert held == min(steps, buffer)
        for _ in range(20):
            learner.update()
        returns = jax.device_get(learner.state.agent.returns)
        assert returns.count == steps
        assert np.isfinite(returns.variance)


@pytest.mark.slow
def test_without_data_the_run_is_what_it_was(tmp_path, recorded):
    runs = [RunFolder(tmp_path / "plain"), RunFolder(tmp_path / "share 0")]
    configs = [tiny(n_step=3, env_steps=120, log_every=40), config(recorded, share=0.0)]
    for settings, run in zip(configs, runs, strict=True):
        inline.train(settings, run, ignore)
    [(plain, _), (unused, _)] = [final(s, r) for s, r in zip(configs, runs, strict=True)]
    assert plain["learner"].demonstrations is None
    assert_same_bits(plain, unused)


def test_training_without_data_imports_nothing_that_reads_it():
    code = """
import sys
from robo_rl.experiment import Experiment
from robo_rl.runtimes import inline, local
assert not {"tensorflow_datasets", "grain", "array_record"} & set(sys.modules), "data is for those who ask for it"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_records_what_its_actors_did_and_is_the_same_run(tmp_path):
    plain, shown = (tiny(env_steps=120, data=DataConfig(record=folder)) for folder in (None, str(tmp_path / "data")))
    inline.train(plain, RunFolder(tmp_path / "plain"), ignore)
    inline.train(shown, RunFolder(tmp_path / "shown"), ignore, StopAfter(4))
    inline.train(shown, RunFolder(tmp_path / "shown"), ignore)
    (tree, counts), (want, want_counts) = (
        final(shown, RunFolder(tmp_path / "shown")),
        final(plain, RunFolder(tmp_path / "plain")),
    )
    assert counts == want_counts
    assert_same_bits(tree, want)
    source = open_for(tmp_path / "data", SPEC)
    # All but those that were running when the run stopped, whose beginning the second half has not seen.
    assert counts["episodes"] - plain.actor.envs <= len(source) < counts["episodes"]
    for index in range(len(source)):
        episode, env = source[index], Reach()
        env.seed_episode(episode.seed)
        env.reset()
        rewards = [env.step(action).reward for action in episode.action]
        assert rewards == episode.reward.tolist()
        assert (episode.success, episode.length) == (env.success(), env.length())
        assert episode.policy.endswith(" updates")


def nan_in(folder):
    episodes = toy_episodes(3)
    episodes[1].reward[2] = np.nan
    return write(folder, episodes)


def truncated(folder):
    shard = write(folder, toy_episodes(6)) / "toy_reach-train.array_record-00001"
    shard.write_bytes(shard.read_bytes()[:1000])
    return folder


BAD = {"nan": (nan_in, "reward of episode 1"), "truncated": (truncated, "00001"), "none": (lambda f: f, "no data set")}


@pytest.mark.parametrize("runtime", [inline, local], ids=lambda module: module.__name__)
@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_before_a_run_begins(tmp_path, case, runtime):
    make, said = BAD[case]
    run = RunFolder(tmp_path / "run")
    with pytest.raises(DataError, match=said):
        runtime.train(config(make(tmp_path / "data")), run, ignore)
    assert not run.config_file.exists()


def test_where_nothing_can_be_recorded_it_is_said(recorded):
    with pytest.raises(ConfigError, match="nothing acts"):
        build(config(recorded, share=1.0, record="elsewhere"))
    with pytest.raises(ConfigError, match="same folder"):
        build(config(recorded, record=str(recorded)))


def test_offline_without_a_data_set_and_shares_that_round_to_nothing_are_refused(recorded):
    with pytest.raises(ConfigError, match=r"--data\.path DIR"):
        build(tiny(data=DataConfig(share=1.0)))
    for share in (0.01, 0.99):
        with pytest.raises(ConfigError, match=f"data.share is {share}"):
            build(config(recorded, share=share))

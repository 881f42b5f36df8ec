"""Recordings by real worker processes, of the grasp task at a few steps per episode."""

import os
import signal
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from robo_rl import cli
from robo_rl.config import EnvConfig
from robo_rl.data.reader import EpisodeSource, summarize
from robo_rl.errors import ConfigError, DataError, ExportError, RunFailedError
from robo_rl.recording import record as module
from robo_rl.recording.record import record
from robo_rl.recording.settings import RecordConfig, make_policy, parse
from robo_rl.runtimes.processes import SPAWN

ENV = EnvConfig(name="grasp/cube", episode_steps=3)


def config(out, **changes):
    return RecordConfig(
        **{"out": out, "episodes": 5, "env": ENV, "noise": 0.3, "envs": 2, "shard_episodes": 2} | changes
    )


def records(folder):
    """The serialised episodes, in their order."""
    from array_record.python.array_record_module import ArrayRecordReader

    readers = [ArrayRecordReader(str(path)) for path in sorted(folder.glob("*.array_record-*"))]
    return [record for reader in readers for record in reader.read_all()]


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "one"
    done = record(config(folder))
    assert (done.added, done.steps, done.episodes) == (5, 15, 5)
    return folder


@pytest.mark.slow
def test_behind_a_camera_the_script_acts_as_from_the_state(tmp_path, one_worker):
    record(config(tmp_path, env=ENV.model_copy(update={"observation": "camera"})))
    for seen, known in zip(EpisodeSource(tmp_path), EpisodeSource(one_worker), strict=True):
        assert seen.observation["camera"].dtype == np.uint8
        assert seen.seed == known.seed
        np.testing.assert_array_equal(seen.action, known.action)
        np.testing.assert_array_equal(seen.reward, known.reward)


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path, one_worker):
    record(config(tmp_path / "two", workers=2))
    assert records(tmp_path / "two") == records(one_worker)


def test_a_recording_that_is_complete_starts_nobody(one_worker, monkeypatch):
    monkeypatch.setattr(module, "Child", None)
    assert record(config(one_worker)).added == 0


def test_a_stopped_recording_is_whole_and_goes_on_to_the_same_data_set(tmp_path, one_worker):
    asked = iter([False] * 10_000)
    heard = []
    stopped = record(config(tmp_path), lambda count, _: heard.append(count), lambda: bool(heard) or next(asked))
    assert 0 < stopped.episodes < 5
    assert summarize(EpisodeSource(tmp_path)).episodes == stopped.episodes == heard[-1]
    assert record(config(tmp_path)).episodes == 5
    assert records(tmp_path) == records(one_worker)


def test_a_worker_that_dies_ends_the_recording_with_what_there_is(tmp_path, monkeypatch):
    class Doomed(module.Child):
        def __init__(self, *args):
            super().__init__(*args)
            self.process.kill()

    monkeypatch.setattr(module, "Child", Doomed)
    with pytest.raises(RunFailedError, match="ended without a word"):
        record(config(tmp_path))


def test_a_worker_that_dies_halfway_through_a_block_is_said_to_have_died():
    worker = SimpleNamespace(name="recorder 0", process=SimpleNamespace(join=lambda timeout: None, exitcode=-9))
    here, there = SPAWN.Pipe()
    worker.connection = here
    os.write(there.fileno(), struct.pack("!i", 1000) + b"half of a block")
    there.close()
    with pytest.raises(RunFailedError, match=r"recorder 0 ended without a word \(exit code -9\)"):
        module._next(worker, lambda: False)


@pytest.mark.slow
def test_ctrl_c_keeps_the_episodes_that_are_complete(tmp_path):
    flags = [
        "--out", str(tmp_path / "data"), "--episodes", "100000", "--env.name", "grasp/cube", "--env.episode-steps", "3",
        "--envs", "2", "--shard-episodes", "1000000",
    ]  # fmt: skip
    command = [sys.executable, "-m", "robo_rl", "data", "record", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert process.stdout is not None
    assert "episodes" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == cli.EXIT_INTERRUPTED, errors
    assert "the same command records the rest" in said
    source = EpisodeSource(tmp_path / "data")
    assert summarize(source).episodes == len(source) >= 2


def test_what_cannot_be_recorded_is_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "data"
    with pytest.raises(ConfigError, match="--policy scripted grasps"):
        record(config(out, env=EnvConfig(name="suite/cartpole-swingup")))
    with pytest.raises(ConfigError, match="no environment"):
        record(config(out, env=EnvConfig(name="grasp/dog")))
    with pytest.raises(ExportError, match="policy"):
        record(config(out, policy=str(tmp_path / "policy.zip")))
    assert not out.exists()
    out.mkdir()
    (out / "other.txt").touch()
    with pytest.raises(DataError, match="not empty"):
        record(config(out))


def test_a_trained_policy_acts_in_its_own_environment(tmp_path):
    settings = parse(["--policy", "docs/policies/grasp_cube.zip", "--episodes", "1", "--out", str(tmp_path)])
    assert settings.env.name == "grasp/cube"
    elsewhere = config(tmp_path, policy="docs/policies/grasp_cube.zip")
    intend, name = make_policy(elsewhere, module.check(elsewhere))
    assert name == "grasp_cube.zip"
    assert intend is not None


def test_a_flag_that_is_missing_is_said(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(["--episodes", "3"])
    assert "--out" in capsys.readouterr().err


def test_random_actions_take_no_noise(tmp_path):
    with pytest.raises(ConfigError, match=r"--noise is 0\.3, but random"):
        record(config(tmp_path / "out", policy="random"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["suite/quadruped-escape", "manipulation/reach_site_vision"])
def test_a_task_that_needs_a_renderer_is_recorded_with_one(tmp_path, name):
    flags = ["--env.name", name, "--env.episode-steps", "2", "--policy", "random", "--episodes", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    command = [sys.executable, "-m", "robo_rl", "data", "record", "--out", str(tmp_path / "out"), *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert len(EpisodeSource(tmp_path / "out")) == 1


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match="taken cannot be written"):
        record(config(tmp_path / "taken"))

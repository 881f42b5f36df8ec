import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from robo_rl.data.reader import EpisodeSource, open_for, summarize
from robo_rl.data.writer import INFO
from robo_rl.errors import DataError
from robo_rl.specs import ArraySpec, EnvSpec
from tests.data.parts import toy_episodes, write
from tests.toys import SPEC

CAMERA = EnvSpec("toy/camera", {"image": ArraySpec((8, 6, 3), "uint8")}, ArraySpec((2,)), 12, 10.0, has_success=True)


def poisoned(folder, **fields):
    episodes = toy_episodes(3)
    episodes[1] = episodes[1]._replace(**fields)
    return write(folder, episodes)


def test_what_was_written_is_read(tmp_path):
    episodes = toy_episodes(6)
    source = EpisodeSource(write(tmp_path, episodes))
    assert (len(source), source.spec) == (6, SPEC)
    for index, episode in enumerate(episodes):
        again = source[index]
        assert again[3:] == episode[3:]
        np.testing.assert_array_equal(again.action, episode.action)
        for name, values in episode.observation.items():
            np.testing.assert_array_equal(again.observation[name], values)
    summary = summarize(source, SPEC)
    assert (summary.episodes, summary.judged) == (6, 6)
    assert summary.steps == sum(episode.length for episode in episodes)
    assert summary.longest == max(episode.length for episode in episodes)
    assert summary.successes == sum(bool(episode.success) for episode in episodes)


def test_a_loop_over_a_source_ends_after_its_episodes(tmp_path):
    write(tmp_path, toy_episodes(2))
    assert len(list(EpisodeSource(tmp_path))) == 2
    with pytest.raises(IndexError, match="2 episodes; there is no episode -1"):
        EpisodeSource(tmp_path)[-1]


def test_pictures_are_read_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [
        episode._replace(observation={"image": rng.integers(0, 255, (episode.length + 1, 8, 6, 3), np.uint8)})
        for episode in toy_episodes(2)
    ]
    source = open_for(write(tmp_path, episodes, CAMERA), CAMERA)
    for index, episode in enumerate(episodes):
        np.testing.assert_array_equal(source[index].observation["image"], episode.observation["image"])


def test_tfds_alone_reads_it(tmp_path):
    write(tmp_path, toy_episodes(6))
    code = """
        import sys
        import tensorflow_datasets as tfds
        source = tfds.builder_from_directory(sys.argv[1]).as_data_source()["train"]
        rewards = [step["reward"] for episode in source for step in episode["steps"]]
        print(len(source), len(rewards), source[3]["steps"][0]["observation"]["position"].shape)
        assert not {"robo_rl", "tensorflow"} & set(sys.modules)
    """
    # -I: nothing but installed packages; a checkout that is installed is not imported either, as asserted above.
    command = [sys.executable, "-I", "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = sum(episode.length + 1 for episode in toy_episodes(6))
    assert done.stdout.split() == ["6", str(steps), "(2,)"]


@pytest.mark.parametrize("name", ["action", "reward", "observation/position"])
def test_nan_is_refused_with_its_place(tmp_path, name):
    episode = toy_episodes(3)[1]
    old = episode.observation["position"] if "/" in name else getattr(episode, name)
    values = old.copy()
    values[2] = np.nan
    fields = {"observation": {**episode.observation, "position": values}} if "/" in name else {name: values}
    source = open_for(poisoned(tmp_path, **fields), SPEC)
    with pytest.raises(DataError, match=rf"{name} of episode 1 \(seed \d+\) is .*nan.* at step 2"):
        summarize(source, SPEC)


def test_an_action_outside_its_range_is_refused(tmp_path):
    episode = toy_episodes(3)[1]
    source = open_for(poisoned(tmp_path, action=episode.action * 40), SPEC)
    with pytest.raises(DataError, match=r"action of episode 1 .* in \[-1, 1\]"):
        summarize(source, SPEC)
    assert summarize(source).episodes == 3


@pytest.mark.parametrize("keep", [0, 0.5, 0.999])
def test_a_truncated_shard_is_refused(tmp_path, keep):
    shard = write(tmp_path, toy_episodes(6)) / "toy_reach-train.array_record-00001"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match="00001"):
        summarize(EpisodeSource(tmp_path))


def test_a_missing_shard_is_refused(tmp_path):
    (write(tmp_path, toy_episodes(6)) / "toy_reach-train.array_record-00000").unlink()
    with pytest.raises(DataError, match="00000 is missing"):
        EpisodeSource(tmp_path)


def test_a_shard_of_another_length_is_refused(tmp_path):
    info = json.loads((write(tmp_path, toy_episodes(6)) / INFO).read_text())
    info["splits"][0]["shardLengths"] = ["4", "3"]
    (tmp_path / INFO).write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"holds 2 episodes, but dataset_info\.json says 3"):
        EpisodeSource(tmp_path)


def test_an_empty_data_set_and_no_data_set_are_refused(tmp_path):
    with pytest.raises(DataError, match="is no data set"):
        EpisodeSource(tmp_path / "nothing")
    write(tmp_path / "empty", [])
    with pytest.raises(DataError, match="is no data set"):
        EpisodeSource(tmp_path / "empty")
    write(tmp_path / "some", toy_episodes(2))
    info = json.loads((tmp_path / "some" / INFO).read_text())
    info["splits"] = []
    (tmp_path / "some" / INFO).write_text(json.dumps(info))
    with pytest.raises(DataError, match="no episodes in its split 'train'"):
        EpisodeSource(tmp_path / "some")


def test_another_file_format_is_refused_with_the_command_that_helps(tmp_path):
    path = write(tmp_path, toy_episodes(2)) / INFO
    path.write_text(path.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(DataError, match="data convert"):
        EpisodeSource(tmp_path)

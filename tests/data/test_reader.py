import dataclasses
import json
import subprocess
import textwrap
import venv
from importlib.metadata import Distribution, distribution

import numpy as np
import pytest
import tensorflow_datasets as tfds
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from robo_rl.data.episode import to_rows
from robo_rl.data.features import features_of
from robo_rl.data.reader import EpisodeSource, open_for, summarize
from robo_rl.data.writer import INFO, DatasetWriter
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


def with_requirements(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Adds the installed distribution `name` and all that it asks for on this machine to `found`."""
    if canonicalize_name(name) not in found:
        found[canonicalize_name(name)] = installed = distribution(name)
        for line in installed.requires or []:
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                with_requirements(required.name, found)
    return found


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """The interpreter of a new virtual environment that has tensorflow-datasets, what that asks for, and no more."""
    folder = tmp_path_factory.mktemp("clean") / "environment"
    venv.create(folder, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    for each in with_requirements("tensorflow-datasets", {}).values():
        # Linked, not downloaded: the test needs no network, and the versions are those that wrote the data.
        for top in {file.parts[0] for file in each.files or [] if ".." not in file.parts}:
            if not (packages / top).exists():
                (packages / top).symlink_to(each.locate_file(top))
    return folder / "bin" / "python"


@pytest.mark.slow
def test_tfds_alone_reads_it_in_a_clean_environment(tmp_path, clean_python):
    write(tmp_path, toy_episodes(6))
    code = """
        import importlib.util, sys
        assert not any(importlib.util.find_spec(name) for name in ("robo_rl", "tensorflow", "jax"))
        import tensorflow_datasets as tfds
        source = tfds.builder_from_directory(sys.argv[1]).as_data_source()["train"]
        rewards = [step["reward"] for episode in source for step in episode["steps"]]
        print(len(source), len(rewards), source[3]["steps"][0]["observation"]["position"].shape)
    """
    command = [str(clean_python), "-I", "-c", textwrap.dedent(code), str(tmp_path)]
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"reward_bounds": (-0.1, 0.9)},
            r"reward_bounds: .* has \(-0\.1, 0\.9\), the data set \(0\.0, 1\.0\)",
        ),
        ({"pays_once": True}, "pays_once"),
        ({"control_hz": 25.0}, r"control_hz: the environment has 25\.0, the data set 10\.0"),
        ({"name": "toy/other"}, "name: the environment has toy/other, the data set toy/reach"),
    ],
)
def test_the_same_features_with_other_rewards_are_refused(tmp_path, change, said):
    write(tmp_path, toy_episodes(1))
    with pytest.raises(DataError, match=said):
        open_for(tmp_path, dataclasses.replace(SPEC, **change))


def test_another_time_limit_and_what_is_grasped_may_differ(tmp_path):
    write(tmp_path, toy_episodes(1), dataclasses.replace(SPEC, name="grasp/objects"))
    assert len(open_for(tmp_path, dataclasses.replace(SPEC, name="grasp/cube", episode_steps=40))) == 1


def test_observations_that_are_no_pictures_are_left_as_they_are(tmp_path):
    features = features_of(SPEC)
    steps = features["steps"].feature
    told = tfds.features.FeaturesDict({**steps["observation"], "instruction": tfds.features.Text()})
    foreign = tfds.features.FeaturesDict({**features, "steps": tfds.features.Dataset({**steps, "observation": told})})
    with DatasetWriter(tmp_path, "toy", foreign, {}) as writer:
        for episode in toy_episodes(2):
            rows = to_rows(episode)
            rows["steps"]["observation"]["instruction"] = np.array([b"lift"] * (episode.length + 1), object)
            writer.add(foreign.serialize_example(rows))
    source = open_for(tmp_path, SPEC)
    assert source[1].observation["instruction"].tolist()[0] == b"lift"
    assert summarize(source, SPEC).episodes == 2

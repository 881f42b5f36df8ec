import json
import struct
from pathlib import Path

import numpy as np
import pytest

from robo_rl.data.convert import convert
from robo_rl.data.features import features_of, serialize
from robo_rl.data.reader import EpisodeSource, open_for
from robo_rl.data.writer import INFO, METADATA
from robo_rl.errors import DataError
from tests.data.parts import toy_episodes, write
from tests.toys import SPEC

FEATURES = features_of(SPEC)


def as_tfrecord(folder, episodes):
    """A tfrecord data set as tfds lays it out; the sums of each record are left at 0, which our reader passes over."""
    write(folder, episodes, shard_episodes=100)
    (folder / "toy_reach-train.array_record-00000").unlink()
    (folder / METADATA).unlink()
    framed = b""
    for episode in episodes:
        content = serialize(FEATURES, SPEC, episode)
        framed += struct.pack("<QI", len(content), 0) + content + struct.pack("<I", 0)
    (folder / "toy_reach-train.tfrecord-00000-of-00001").write_bytes(framed)
    info = json.loads((folder / INFO).read_text())
    info["fileFormat"] = "tfrecord"
    info["splits"][0]["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (folder / INFO).write_text(json.dumps(info))
    return folder


def read_framed(paths):
    """The records of tfrecord files, without looking at their sums."""
    for path in paths:
        content, at = Path(path).read_bytes(), 0
        while at < len(content):
            [length] = struct.unpack_from("<Q", content, at)
            yield content[at + 12 : at + 12 + length]
            at += 16 + length


def test_a_converted_data_set_holds_the_same_episodes(tmp_path):
    episodes = toy_episodes(5)
    source = as_tfrecord(tmp_path / "source", episodes)
    with pytest.raises(DataError, match="data convert"):
        EpisodeSource(source)
    assert convert(source, tmp_path / "out", read_framed, shard_episodes=2) == 5
    converted = open_for(tmp_path / "out", SPEC)
    assert converted.spec is None
    assert converted.metadata["converted_from"] == "toy_reach/1.0.0"
    for index, episode in enumerate(episodes):
        assert converted[index][3:] == episode[3:]
        np.testing.assert_array_equal(converted[index].action, episode.action)


def test_without_tensorflow_it_says_what_to_install(tmp_path, monkeypatch):
    source = as_tfrecord(tmp_path / "source", toy_episodes(2))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'robo-rl\[tf\]'"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_source_is_refused(tmp_path):
    source = as_tfrecord(tmp_path / "source", toy_episodes(3))
    with pytest.raises(DataError, match="should hold 3 episodes, but its files hold 2"):
        convert(source, tmp_path / "out", lambda paths: list(read_framed(paths))[:2])


def test_what_cannot_be_converted_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no data set"):
        convert(tmp_path, tmp_path / "out", read_framed)
    there = write(tmp_path / "there", toy_episodes(2))
    with pytest.raises(DataError, match="only tfrecord is converted"):
        convert(there, tmp_path / "out", read_framed)
    with pytest.raises(DataError, match="is not empty"):
        convert(as_tfrecord(tmp_path / "source", toy_episodes(2)), there, read_framed)


def test_a_reader_that_fails_is_said_with_where_it_stood(tmp_path):
    source = as_tfrecord(tmp_path / "source", toy_episodes(3))

    def damaged(paths):
        yield next(read_framed(paths))
        raise OSError("corrupted record at 1234")

    with pytest.raises(DataError, match=r"the record after the first 1 cannot be read \(corrupted record at 1234\)"):
        convert(source, tmp_path / "out", damaged)

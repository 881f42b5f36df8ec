import os
import signal
import subprocess
import sys
import textwrap

import pytest

from robo_rl.data.features import dataset_name, features_of, serialize
from robo_rl.data.reader import EpisodeSource
from robo_rl.data.writer import DatasetWriter
from robo_rl.errors import DataError
from tests.data.parts import toy_episodes, write
from tests.toys import SPEC

FEATURES = features_of(SPEC)


def writer(folder, **metadata):
    return DatasetWriter(folder, dataset_name(SPEC.name), FEATURES, {"spec": SPEC.to_json(), **metadata}, 3)


def seeds_in(folder):
    source = EpisodeSource(folder)
    return [source[index].seed for index in range(len(source))]


def test_episodes_come_back_in_their_order_from_several_shards(tmp_path):
    episodes = toy_episodes(7)
    write(tmp_path, episodes, shard_episodes=3)
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes]
    assert len(list(tmp_path.glob("toy_reach-train.array_record-*"))) == 3
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_an_exception_keeps_the_episodes_before_it(tmp_path):
    episodes = toy_episodes(5)

    def interrupted():
        with writer(tmp_path) as open_writer:
            for episode in episodes:
                open_writer.add(serialize(FEATURES, SPEC, episode))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes]


def test_a_recording_goes_on_behind_what_is_there(tmp_path):
    episodes = toy_episodes(8)
    for start in (0, 4):
        with writer(tmp_path) as open_writer:
            assert open_writer.finished == start
            for episode in episodes[start : start + 4]:
                open_writer.add(serialize(FEATURES, SPEC, episode))
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes]


def test_a_kill_leaves_the_shards_that_were_finished_and_the_next_call_clears_up(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from tests.data.parts import toy_episodes
        from tests.data.test_writer import FEATURES, SPEC, serialize, writer
        open_writer = writer(Path({str(tmp_path)!r}))
        for episode in toy_episodes(8):
            open_writer.add(serialize(FEATURES, SPEC, episode))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=os.getcwd(), timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / ".unfinished_shard").exists()
    episodes = toy_episodes(8)
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes[:6]]
    with writer(tmp_path) as open_writer:
        assert open_writer.finished == 6
        for episode in episodes[6:]:
            open_writer.add(serialize(FEATURES, SPEC, episode))
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes]
    assert not (tmp_path / ".unfinished_shard").exists()


def test_a_shard_that_was_renamed_but_not_counted_is_written_again(tmp_path):
    episodes = toy_episodes(6)
    write(tmp_path, episodes[:3], shard_episodes=3)
    (tmp_path / "toy_reach-train.array_record-00001").write_bytes(b"the kill came between the two renames")
    with writer(tmp_path) as open_writer:
        for episode in episodes[3:]:
            open_writer.add(serialize(FEATURES, SPEC, episode))
    assert seeds_in(tmp_path) == [episode.seed for episode in episodes]


def test_another_recording_or_other_files_are_refused(tmp_path):
    write(tmp_path / "one", toy_episodes(2), seed=1, noise=0.5)
    with pytest.raises(DataError, match="another recording; noise, seed differ"):
        writer(tmp_path / "one", seed=2, noise=0.25)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "thesis.tex").touch()
    with pytest.raises(DataError, match="not empty and holds no recording"):
        writer(tmp_path / "two")
    assert [file.name for file in (tmp_path / "two").iterdir()] == ["thesis.tex"]


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with writer(tmp_path) as first:
        first.add(serialize(FEATURES, SPEC, toy_episodes(1)[0]))
        with pytest.raises(DataError, match="being written by another process"):
            writer(tmp_path)
    assert len(seeds_in(tmp_path)) == 1
    with writer(tmp_path) as second:
        assert second.finished == 1

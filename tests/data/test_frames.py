import numpy as np
import pytest
from PIL import Image

from robo_rl.data.frames import example_frames, write_montage
from robo_rl.data.reader import EpisodeSource
from robo_rl.errors import DataError
from robo_rl.specs import ArraySpec, EnvSpec
from tests.data.parts import toy_episodes, write
from tests.toys import toy_family


def test_frames_are_drawn_again_from_seed_and_actions(tmp_path):
    with toy_family() as env:
        source = EpisodeSource(write(tmp_path, toy_episodes(4), env=env.model_dump(mode="json")))
        number, frames = example_frames(source)
    length = source[number].length
    # The toy draws its age.
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, length // 2, length]
    assert source[number].success or not any(source[index].success for index in range(4))


def test_pictures_that_were_recorded_are_shown_as_they_are(tmp_path):
    [episode] = toy_episodes(1)
    images = np.random.default_rng(0).integers(0, 255, (episode.length + 1, 8, 6, 3), np.uint8)
    spec = EnvSpec("toy/camera", {"image": ArraySpec((8, 6, 3), "uint8")}, ArraySpec((2,)), 12, 10.0, has_success=True)
    source = EpisodeSource(write(tmp_path / "data", [episode._replace(observation={"image": images})], spec))
    _, frames = example_frames(source)
    np.testing.assert_array_equal(frames, images[[0, episode.length // 2, episode.length]])
    write_montage(tmp_path / "three.png", frames)
    np.testing.assert_array_equal(Image.open(tmp_path / "three.png"), np.concatenate(frames, axis=1))


def test_a_data_set_of_others_without_pictures_has_none(tmp_path):
    with pytest.raises(DataError, match="--frames"):
        example_frames(EpisodeSource(write(tmp_path, toy_episodes(1))))

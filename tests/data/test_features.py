import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from robo_rl.data.features import dataset_name, expect_fit, features_of, picture_of, pictures_of, png
from robo_rl.errors import DataError
from robo_rl.specs import ArraySpec
from tests.toys import SPEC


def changed(**observation):
    return dataclasses.replace(SPEC, observation={**SPEC.observation, **observation})


def test_the_features_are_those_of_the_spec(tmp_path):
    steps = features_of(SPEC)["steps"].feature
    for name, array in SPEC.observation.items():
        assert steps["observation"][name].shape == array.shape
        assert steps["observation"][name].np_dtype == np.dtype(array.dtype)
    assert steps["action"].shape == SPEC.action.shape
    assert set(steps) == {"observation", "action", "reward", "discount", "is_first", "is_last", "is_terminal"}
    assert set(features_of(SPEC)["episode_metadata"]) == {"seed", "policy", "success"}
    assert "success" not in features_of(dataclasses.replace(SPEC, has_success=False))["episode_metadata"]
    expect_fit(features_of(SPEC), SPEC, tmp_path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (changed(position=ArraySpec((3,))), r"observation/position: the environment has float32\[3\], .* float32\[2\]"),
        (changed(clock=ArraySpec((1,), "float64")), r"observation/clock: the environment has float64\[1\]"),
        (changed(image=ArraySpec((8, 8, 3), "uint8")), r"observation/image: .* the data set nothing"),
        (dataclasses.replace(SPEC, action=ArraySpec((5,))), r"action: the environment has float32\[5\]"),
    ],
)
def test_a_feature_that_differs_is_named(tmp_path, spec, said):
    with pytest.raises(DataError, match=said):
        expect_fit(features_of(SPEC), spec, tmp_path)


def test_what_the_environment_does_not_observe_may_be_there(tmp_path):
    expect_fit(features_of(changed(more=ArraySpec((2,)))), SPEC, tmp_path)


def test_a_data_set_without_episodes_of_steps_is_no_rlds(tmp_path):
    with pytest.raises(DataError, match="no RLDS episodes"):
        expect_fit(tfds.features.FeaturesDict({"label": tfds.features.Scalar(np.int64)}), SPEC, tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_survive_to_the_last_bit(channels):
    picture = np.random.default_rng(0).integers(0, 255, (6, 5, channels), np.uint8)
    np.testing.assert_array_equal(picture_of(png(picture)), picture)


def test_names_are_what_tfds_allows():
    assert dataset_name("suite/cheetah-run") == "suite_cheetah_run"


@pytest.mark.parametrize("field", ["observation", "action"])
def test_steps_in_another_form_are_refused_in_words(tmp_path, field):
    features = features_of(SPEC)
    steps = dict(features["steps"].feature)
    tensor = tfds.features.Tensor(shape=(2,), dtype=np.float32)
    steps[field] = tensor if field == "observation" else tfds.features.FeaturesDict({"arm": tensor})
    with pytest.raises(DataError, match=f"need a dict `observation`.*{field}"):
        pictures_of(tfds.features.FeaturesDict({"steps": tfds.features.Dataset(steps)}), tmp_path)

"""What a data set says its episodes look like, from an environment's spec, and whether the two still agree."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from robo_rl.data.episode import RecordedEpisode, to_rows
from robo_rl.errors import DataError
from robo_rl.specs import ArraySpec, EnvSpec


def is_image(array: ArraySpec) -> bool:
    """Whether an observation is a grey or colour picture `[height, width, 1 or 3]`, which is stored as PNG."""
    return array.dtype == "uint8" and len(array.shape) == 3 and array.shape[-1] in (1, 3)


def features_of(spec: EnvSpec) -> tfds.features.FeaturesDict:
    """The RLDS features of this environment: same names, shapes and dtypes as its spec."""
    features = tfds.features
    observation = {name: _feature(array) for name, array in spec.observation.items()}
    metadata: dict[str, Any] = {"seed": features.Scalar(np.int64), "policy": features.Text()}
    if spec.has_success:
        metadata["success"] = features.Scalar(np.bool_)
    step = {
        "observation": features.FeaturesDict(observation),
        "action": _feature(spec.action),
        "reward": features.Scalar(np.float32),
        "discount": features.Scalar(np.float32),
        "is_first": features.Scalar(np.bool_),
        "is_last": features.Scalar(np.bool_),
        "is_terminal": features.Scalar(np.bool_),
    }
    return features.FeaturesDict({"steps": features.Dataset(step), "episode_metadata": features.FeaturesDict(metadata)})


def _feature(array: ArraySpec) -> Any:
    dtype = np.dtype(array.dtype).type
    if is_image(array):
        return tfds.features.Image(shape=array.shape, dtype=dtype, encoding_format="png")
    return tfds.features.Tensor(shape=array.shape, dtype=dtype)


def serialize(features: tfds.features.FeaturesDict, spec: EnvSpec, episode: RecordedEpisode) -> bytes:
    """The episode as one record of the data set."""
    rows = to_rows(episode)
    for name, array in spec.observation.items():
        if is_image(array):
            pictures = [png(picture) for picture in rows["steps"]["observation"][name]]
            rows["steps"]["observation"][name] = np.array(pictures, object)
    # tfds's own encoding would go row by row, and needs TensorFlow for pictures; these are its results already.
    content = features.serialize_example(rows)
    # The order of its fields differs from call to call; the same recording shall be the same file.
    example = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue] - protobuf makes it at import
    return example.FromString(content).SerializeToString(deterministic=True)


def png(picture: np.ndarray) -> bytes:
    """A uint8 picture `[height, width, 1 or 3]` as a PNG file."""
    stream = io.BytesIO()
    # Little compression: recording is bound by it, and rendered pictures shrink well at any level.
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def picture_of(content: bytes) -> np.ndarray:
    """The inverse of `png`, uint8 `[height, width, channels]`."""
    picture = np.asarray(Image.open(io.BytesIO(content)))
    return picture[..., None] if picture.ndim == 2 else picture


def expect_fit(features: Any, spec: EnvSpec, path: Path) -> None:
    """Refuse a data set whose steps are not those of the environment.

    Raises:
        DataError: names every feature that is missing or differs; what the environment does not observe may be there.
    """
    steps = _steps(features, path)
    wanted = {f"observation/{name}": array for name, array in spec.observation.items()}
    wanted |= {"action": spec.action, "reward": ArraySpec(())}
    found = {**steps, **{f"observation/{name}": entry for name, entry in _children(steps.get("observation")).items()}}
    differing = [
        f"{name}: the environment has {_meaning(array)}, the data set {_meaning(found.get(name))}"
        for name, array in wanted.items()
        if _meaning(found.get(name)) != _meaning(array)
    ]
    if "is_terminal" not in steps:
        differing.append("is_terminal: RLDS steps have it, the data set does not")
    if differing:
        raise DataError(
            f"The data set {path} does not fit {spec.name}. Features that differ: {'; '.join(differing)}. Record it "
            "again with `robo-rl data record`, or train the environment it was made with."
        )


def expect_same_rewards(there: EnvSpec, spec: EnvSpec, path: Path) -> None:
    """Refuse a data set whose rewards, or time between its steps, mean something else than those of `spec`.

    The time limit may differ, and grasp tasks differ in what is grasped alone.

    Raises:
        DataError: names what differs.
    """
    facts = ["control_hz", "reward_bounds", "pays_once"]
    if not (there.name.startswith("grasp/") and spec.name.startswith("grasp/")):
        facts.append("name")
    differing = [
        f"{fact}: the environment has {getattr(spec, fact)}, the data set {getattr(there, fact)}"
        for fact in facts
        if getattr(there, fact) != getattr(spec, fact)
    ]
    if differing:
        raise DataError(
            f"The data set {path} was recorded in another environment than {spec.name} as it is now: "
            f"{'; '.join(differing)}. Record it again with the env.* fields of this run (`robo-rl data info` shows "
            "what it is), or train with those that it was recorded with."
        )


def pictures_of(features: Any, path: Path) -> frozenset[str]:
    """The names of the observations that are stored as picture files.

    Raises:
        DataError: no RLDS episodes, or steps whose observation is no dict or whose action is no array.
    """
    steps = _steps(features, path)
    observation, action = steps.get("observation"), steps.get("action")
    if not isinstance(observation, tfds.features.FeaturesDict) or not isinstance(action, tfds.features.Tensor):
        raise DataError(
            f"{path} cannot be read here: its steps need a dict `observation` and an array `action`; they have "
            f"observation {_meaning(observation)} and action {_meaning(action)}. Convert it into that form."
        )
    return frozenset(name for name, entry in observation.items() if isinstance(entry, tfds.features.Image))


def _steps(features: Any, path: Path) -> Mapping[str, Any]:
    steps = _children(features).get("steps")
    if steps is None or not _children(getattr(steps, "feature", None)):
        raise DataError(
            f"{path} holds no RLDS episodes: its records have no `steps` (features: {sorted(_children(features))}). "
            "Give a data set of episodes, as `robo-rl data record` writes them."
        )
    return _children(steps.feature)


def _children(features: Any) -> Mapping[str, Any]:
    return dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}


def _meaning(entry: Any) -> str:
    if entry is None:
        return "nothing"
    if isinstance(entry, tfds.features.FeaturesDict):
        return "a dict"
    # tfds's own `dtype` asks TensorFlow.
    dtype = entry.dtype if isinstance(entry, ArraySpec) else entry.np_dtype
    return f"{np.dtype(dtype).name}{list(entry.shape)}"


def dataset_name(env_name: str) -> str:
    """The name tfds allows that is most like an environment's, e.g. `grasp_objects`."""
    return re.sub(r"\W+", "_", env_name)

"""Opens a data set, episode by episode, and refuses what is damaged, empty, foreign or not finite."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader

from robo_rl.data.episode import RecordedEpisode, from_rows
from robo_rl.data.features import expect_fit, expect_same_rewards, picture_of, pictures_of
from robo_rl.data.writer import FEATURES, INFO, SPLIT
from robo_rl.errors import DataError
from robo_rl.specs import EnvSpec


class DatasetSummary(NamedTuple):
    """What is in a data set; `steps` and `longest` are control steps, which is transitions.

    successes, judged: episodes that succeeded, and those of which that is known
    """

    episodes: int
    steps: int
    longest: int
    successes: int
    judged: int
    mean_return: float


class EpisodeSource:
    """The episodes of a data set in order: `len(source)`, `source[i]`. Can be sent to another process."""

    def __init__(self, path: Path) -> None:
        """Open `path`, a folder as `robo-rl data record` or any tfds builder writes it.

        Raises:
            DataError: no data set, not array_record, without episodes, not RLDS as it is read here, or a shard is
                missing or damaged.
        """
        self.path = path
        info = _builder(path).info
        if SPLIT not in info.splits or not info.splits[SPLIT].num_examples:
            raise DataError(
                f"{path} holds no episodes in its split {SPLIT!r} (splits: {sorted(info.splits)}). "
                "Record some with `robo-rl data record`."
            )
        self.features, self.metadata = info.features, dict(info.metadata or {})
        self._pictures = pictures_of(info.features, path)
        _check_shards(info.splits[SPLIT])
        # Steps as whole arrays: tfds would decode them row by row.
        self._records = _builder(path).as_data_source(SPLIT, decoders={"steps": tfds.decode.SkipDecoding()})

    @property
    def has_pictures(self) -> bool:
        """Whether an observation is a picture."""
        return bool(self._pictures)

    @property
    def spec(self) -> EnvSpec | None:
        """The spec of the environment it was recorded in; None for a data set of others."""
        return EnvSpec.from_json(self.metadata["spec"]) if "spec" in self.metadata else None

    def __len__(self) -> int:
        """Episodes."""
        return len(self._records)

    def __iter__(self) -> Iterator[RecordedEpisode]:
        """Every episode, in their order."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> RecordedEpisode:
        """One episode, pictures decoded.

        Raises:
            DataError: the record cannot be read or has fewer than two rows.
            IndexError: there is no such episode.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} episodes; there is no episode {index}.")
        try:
            record: Any = self._records[index]
        except Exception as error:
            raise DataError(
                f"{self.path}: episode {index} cannot be read ({error}). A shard is damaged: copy it again, or remove "
                "the folder and record it again."
            ) from error
        steps = dict(record["steps"])
        if len(steps["reward"]) < 2:
            raise DataError(f"{self.path}: episode {index} has {len(steps['reward'])} rows; a transition needs two.")
        steps["observation"] = {
            name: np.stack([picture_of(content) for content in values]) if name in self._pictures else values
            for name, values in steps["observation"].items()
        }
        return from_rows(steps, record.get("episode_metadata", {}))


def open_for(path: Path, spec: EnvSpec) -> EpisodeSource:
    """The episodes of a data set that fits this environment.

    Raises:
        DataError: what EpisodeSource, expect_fit and expect_same_rewards refuse.
    """
    source = EpisodeSource(path)
    expect_fit(source.features, spec, path)
    if source.spec is not None:
        expect_same_rewards(source.spec, spec, path)
    return source


def summarize(
    source: EpisodeSource,
    spec: EnvSpec | None = None,
    progress: Callable[[int, int], None] = lambda read, episodes: None,
) -> DatasetSummary:
    """Read every episode once; `progress(read, episodes)` is called after each.

    With `spec`, only the observations that it names must be finite, and actions must lie in [-1, 1].

    Raises:
        DataError: an episode cannot be read, or holds a value that may not be; names episode, feature and step.
    """
    steps = longest = successes = judged = 0
    total_return = 0.0
    for index in range(len(source)):
        episode = source[index]
        _check_values(source.path, index, episode, spec)
        steps += episode.length
        longest = max(longest, episode.length)
        judged += episode.success is not None
        successes += bool(episode.success)
        total_return += float(episode.reward.sum())
        progress(index + 1, len(source))
    return DatasetSummary(len(source), steps, longest, successes, judged, total_return / len(source))


def _check_values(path: Path, index: int, episode: RecordedEpisode, spec: EnvSpec | None) -> None:
    numbers = {"action": episode.action, "reward": episode.reward}
    numbers |= {
        f"observation/{name}": values
        for name, values in episode.observation.items()
        if (spec is None or name in spec.observation) and np.issubdtype(values.dtype, np.floating)
    }
    for name, values in numbers.items():
        allowed = np.isfinite(values)
        if name == "action" and spec is not None:
            allowed &= np.abs(values) <= 1
        good = allowed.reshape(len(values), -1).all(axis=1)
        if not good.all():
            step = int(np.argmin(good))
            rule = "finite and in [-1, 1]" if name == "action" and spec is not None else "finite"
            raise DataError(
                f"{path}: {name} of episode {index} (seed {episode.seed}) is {values[step]} at step {step}; it must be "
                f"{rule}. Leave the episode out, or record the data set again."
            )


def _builder(path: Path) -> Any:
    if not (path / INFO).is_file() or not (path / FEATURES).is_file():
        raise DataError(
            f"{path} is no data set: it needs {INFO} and {FEATURES} (a recording has them once its first shard is "
            "whole). Give the folder that holds them, as `robo-rl data record --out DIR` writes it."
        )
    try:
        builder = tfds.builder_from_directory(str(path.absolute()))
        kind = builder.info.file_format
    except Exception as error:
        raise DataError(f"{path}: {INFO} or {FEATURES} cannot be read ({error}). Copy the data set again.") from error
    if kind is None or kind.value != "array_record":
        raise DataError(
            f"{path} holds {getattr(kind, 'value', kind)} files; training reads array_record. Convert it once: "
            "robo-rl data convert SRC OUT."
        )
    return builder


def _check_shards(split: Any) -> None:
    """Compare every shard with how many episodes it should have: array_record itself takes half a file as it is."""
    for name, expected in zip(split.filepaths, split.shard_lengths, strict=True):
        advice = "Copy the shard again, or remove the folder and record it again."
        try:
            reader = ArrayRecordReader(str(name))
            count = reader.num_records()
            reader.close()
        except Exception as error:
            raise DataError(f"{name} is missing or damaged ({error}). {advice}") from error
        if count != expected:
            raise DataError(f"{name} holds {count} episodes, but {INFO} says {expected}: it is truncated. {advice}")

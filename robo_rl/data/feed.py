"""Brings the experience of a data set to the learner: all of it once, or in a shuffled stream without an end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grain

from robo_rl.config import DataConfig
from robo_rl.data.experience import Block, experience_of
from robo_rl.data.reader import DatasetSummary, open_for, summarize
from robo_rl.replay.n_step import pad
from robo_rl.specs import EnvSpec

# Episodes decoded ahead of the learner: enough to hide the disk, and all that a stream keeps in memory.
READ_AHEAD = grain.ReadOptions(num_threads=1, prefetch_buffer_size=16)


class Feed:
    """A data set on its way to the device. It was read whole once, so that nothing in it can fail a run later.

    A set of at most `config.buffer` transitions is read once, in its order, and stays on the device. A larger one is
    read for ever, in an order drawn anew for every pass; the newest `config.buffer` transitions are on the device.
    """

    def __init__(
        self,
        config: DataConfig,
        spec: EnvSpec,
        *,
        n_step: int,
        discount: float,
        seed: int,
        progress: Callable[[int, int], None] = lambda read, episodes: None,
    ) -> None:
        """Open and check the data set at `config.path`; `discount` is gamma per control step.

        `progress(read, episodes)` is called after each episode that was checked.

        Raises:
            DataError: it is missing, damaged, empty, not of this environment or not finite.
        """
        assert config.path is not None, "without data there is nothing to feed"
        self._source = open_for(Path(config.path), spec)
        self.summary: DatasetSummary = summarize(self._source, spec, progress)
        self._spec, self._n_step, self._discount = spec, n_step, discount
        self._episodes = min(config.stream_episodes, self.summary.episodes)
        self.block = self._episodes * self.summary.longest
        self.fits = self.summary.steps <= config.buffer
        self.capacity = max(self.summary.steps if self.fits else config.buffer, self.block)
        data = grain.MapDataset.source(self._source)
        if not self.fits:
            data = data.seed(seed).shuffle().repeat()
        self._iterator = iter(data.to_iter_dataset(READ_AHEAD))
        self._read = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether all there is has been handed over; a stream never is."""
        return self.fits and self._read >= self.summary.episodes

    def next(self) -> Block:
        """The next few episodes; StopIteration once it is exhausted."""
        if self.is_exhausted:
            raise StopIteration
        # The first pass ends with a block of its own, so that a block is either new or not.
        left = self.summary.episodes - self._read
        is_new = left > 0
        episodes = [next(self._iterator) for _ in range(min(self._episodes, left) if is_new else self._episodes)]
        self._read += len(episodes)
        experience = experience_of(self._spec, episodes, self._n_step, self._discount)
        return Block(pad(experience, self.block), len(experience.running_return), is_new)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON."""
        return {"read": self._read, "iterator": self._iterator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken: the same blocks follow."""
        self._read = state["read"]
        self._iterator.set_state(state["iterator"])

"""What a cell leaves behind as it goes: rows of metrics, evaluations, and its record."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_rl.compare.cell_folder import RUNNING, CellFolder
from robo_rl.compare.population import Population
from robo_rl.roles.exchange import Chunk, Episode
from robo_rl.roles.journal import Report


class CellJournal:
    """Writes into the folder of one cell, and tells whoever watches."""

    def __init__(self, folder: CellFolder, population: Population, record: dict[str, Any], report: Report) -> None:
        """A journal that goes on from the population's counts; they are told at once, and the record says running."""
        self._folder, self._population, self._record, self._report = folder, population, record, report
        self._episodes: list[list[Episode]] = [[] for _ in population.seeds]
        self._clipped: dict[str, float] = {}
        self._logged = (population.counts.env_steps, population.counts.updates, population.seconds())
        self.write_record(RUNNING)
        # Until the first row a resumed cell would count for nothing in what the whole comparison has reached.
        at_rest = {"env_steps_per_second": 0.0, "updates_per_second": 0.0}
        report("row", {"env_steps": population.counts.env_steps, "updates": population.counts.updates, **at_rest})

    def note(self, chunks: Sequence[Chunk]) -> None:
        """Take note of the training episodes that ended, for the next rows."""
        for own, chunk in zip(self._episodes, chunks, strict=True):
            own += chunk.episodes

    def log(self) -> None:
        """Write a row of metrics for every member.

        Raises:
            DivergedError: a metric is not finite; names the first and its seed.
        """
        counts, seconds = self._population.counts, self._population.seconds()
        env_steps, updates, before = self._logged
        elapsed = max(seconds - before, 1e-9)
        shared = {
            "env_steps": counts.env_steps,
            "updates": counts.updates,
            "seconds": round(seconds, 3),
            "env_steps_per_second": round((counts.env_steps - env_steps) / elapsed, 1),
            "updates_per_second": round((counts.updates - updates) / elapsed, 1),
        }
        sizes = np.asarray(self._population.state.replay.size)
        metrics = self._population.metrics()
        rows = []
        for member, seed in enumerate(self._population.seeds):
            own = {"seed": seed, "episodes": counts.episodes[member], "replay_size": int(sizes[member])}
            rows.append({**shared, **own, **_summary(self._episodes[member]), **metrics[member]})
        self._folder.log(rows)
        self._clipped = {str(row["seed"]): row["clipped_fraction"] for row in rows if "clipped_fraction" in row}
        self._episodes = [[] for _ in self._population.seeds]
        self._logged = (counts.env_steps, counts.updates, seconds)
        returns = [row["return"] for row in rows if "return" in row]
        self._report("row", {**shared, **({"return": float(np.mean(returns))} if returns else {})})

    def evaluated(self, results: Sequence[Sequence[Episode]]) -> None:
        """Write down the episodes of every member that were judged now."""
        env_steps = self._population.counts.env_steps
        self._folder.add_evaluations(
            {"seed": seed, "env_steps": env_steps, "episodes": [_plain(episode) for episode in episodes]}
            for seed, episodes in zip(self._population.seeds, results, strict=True)
        )
        self.write_record(RUNNING)
        returns = [episode.episode_return for episodes in results for episode in episodes]
        self._report("evaluation", {"env_steps": env_steps, "return": float(np.mean(returns))})

    def write_record(self, status: str) -> None:
        """Write `cell.json`: what the cell is, where it stands, and what it cost so far."""
        counts, seconds = self._population.counts, self._population.seconds()
        self._folder.write_record(
            {
                **self._record,
                "status": status,
                "seconds": round(seconds, 3),
                "env_steps": counts.env_steps,
                "updates": counts.updates,
                "updates_per_second": round(counts.updates / max(seconds, 1e-9), 2),
                "clipped_fraction": self._clipped,
            }
        )


def _summary(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean return, length and success of training episodes; nothing where none ended."""
    if not episodes:
        return {}
    summary = {
        "return": float(np.mean([episode.episode_return for episode in episodes])),
        "episode_length": float(np.mean([episode.length for episode in episodes])),
    }
    judged = [episode.success for episode in episodes if episode.success is not None]
    return {**summary, "success": float(np.mean(judged))} if judged else summary


def _plain(episode: Episode) -> dict[str, Any]:
    return {
        "seed": episode.seed,
        "return": episode.episode_return,
        "length": episode.length,
        "success": episode.success,
    }

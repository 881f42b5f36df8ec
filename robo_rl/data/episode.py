"""One recorded episode as arrays, and as the rows of an RLDS data set.

RLDS (Ramos et al. 2021, arXiv 2111.02767): row t holds the observation before action t, that action, and the reward
and discount it earned. The last row holds the final observation; its action and reward mean nothing and are zero.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from robo_rl.specs import Observation


class RecordedEpisode(NamedTuple):
    """An episode of T control steps.

    observation: dict of `[T + 1, *shape]`, the last one after the last action
    action:      `[T, A]`, in [-1, 1]      reward: float32 `[T]`, of one control step each
    terminated:  whether the task really ended; False where a time limit cut it off
    seed:        of the episode            policy: name of what acted
    success:     None where the task or the data set does not know
    """

    observation: Observation
    action: np.ndarray
    reward: np.ndarray
    terminated: bool
    seed: int
    policy: str
    success: bool | None

    @property
    def length(self) -> int:
        """Control steps T."""
        return len(self.reward)


def to_rows(episode: RecordedEpisode) -> dict[str, Any]:
    """The RLDS record: `steps`, arrays with T + 1 rows, and `episode_metadata`. Images are still arrays."""
    rows = episode.length + 1
    position = np.arange(rows)
    # The environment's discount: 0 for the step that ended in termination, and for the row behind it.
    ended = (position >= episode.length - 1) & episode.terminated
    steps = {
        "observation": dict(episode.observation),
        "action": np.concatenate([episode.action, np.zeros_like(episode.action[:1])]),
        "reward": np.append(episode.reward, 0).astype(np.float32),
        "discount": np.where(ended, 0, 1).astype(np.float32),
        "is_first": position == 0,
        "is_last": position == episode.length,
        "is_terminal": (position == episode.length) & episode.terminated,
    }
    metadata: dict[str, Any] = {"seed": np.int64(episode.seed), "policy": episode.policy}
    if episode.success is not None:
        metadata["success"] = np.bool_(episode.success)
    return {"steps": steps, "episode_metadata": metadata}


def from_rows(steps: Mapping[str, Any], metadata: Mapping[str, Any]) -> RecordedEpisode:
    """The inverse of `to_rows`; a data set of others may lack the metadata, which then is seed -1 and policy ``.

    Termination is read from `is_terminal` of the last row, because data sets differ in where they put discount 0.
    """
    policy = metadata.get("policy", "")
    return RecordedEpisode(
        observation=dict(steps["observation"]),
        action=steps["action"][:-1],
        reward=steps["reward"][:-1].astype(np.float32),
        terminated=bool(steps["is_terminal"][-1]),
        seed=int(metadata.get("seed", -1)),
        policy=policy.decode() if isinstance(policy, bytes) else str(policy),
        success=bool(metadata["success"]) if "success" in metadata else None,
    )

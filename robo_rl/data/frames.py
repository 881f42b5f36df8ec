"""Three pictures of an example episode: from its own camera, else drawn anew from its seed and actions."""

from pathlib import Path

import numpy as np
from PIL import Image

from robo_rl import envs
from robo_rl.config import EnvConfig
from robo_rl.data.episode import RecordedEpisode
from robo_rl.data.reader import EpisodeSource
from robo_rl.errors import DataError


def example_frames(source: EpisodeSource) -> tuple[int, list[np.ndarray]]:
    """The number of an example episode, a successful one where there is any, and its first, middle and last picture.

    Raises:
        DataError: it has neither pictures nor the environment it was recorded in, so that nothing can be drawn.
        UserError: nothing can render here.
    """
    number = next((index for index in range(len(source)) if source[index].success), 0)
    episode = source[number]
    moments = [0, episode.length // 2, episode.length]
    for values in episode.observation.values():
        if values.dtype == np.uint8 and values.ndim == 4:
            return number, [values[moment] for moment in moments]
    if "env" not in source.metadata:
        raise DataError(
            f"{source.path} holds no pictures and does not say which environment it was recorded in. "
            "Leave --frames out."
        )
    return number, replayed(episode, EnvConfig.model_validate(source.metadata["env"]), moments)


def replayed(episode: RecordedEpisode, config: EnvConfig, moments: list[int]) -> list[np.ndarray]:
    """Pictures of the episode after so many control steps, from its seed and actions; `moments` rise."""
    env = envs.make_batched(config, 1)
    env.reset([0], [episode.seed])
    frames = []
    for moment in range(episode.length + 1):
        if moment:
            env.step(episode.action[moment - 1 : moment])
        frames += [env.render(0).copy()] * moments.count(moment)
    env.close()
    return frames


def write_montage(path: Path, frames: list[np.ndarray]) -> None:
    """Write pictures `[height, width, 1 or 3]` of one size side by side as a PNG."""
    joined = np.concatenate(frames, axis=1)
    Image.fromarray(joined.squeeze(-1) if joined.shape[-1] == 1 else joined).save(path, "PNG")

"""Judge one checkpoint or policy export by hand: the same code as the evaluator of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from robo_rl import envs, presets, seeds
from robo_rl.agents.agent import Policy
from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.reader import load_meta, load_policy
from robo_rl.config import Config, EnvConfig
from robo_rl.errors import CheckpointError, ConfigError
from robo_rl.experiment import Experiment, build
from robo_rl.export.loading import expect_fit, load_export
from robo_rl.files import is_remote
from robo_rl.roles.evaluator import Greedy, greedy, judge, policy_template


def locate(path: Path) -> tuple[Path, int]:
    """The `checkpoints` folder and the step that `path` means: RUN/checkpoints/STEP, or RUN and with it the newest.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    path = path if is_remote(path) else path.absolute()
    if path.name.isdecimal() and path.parent.name == "checkpoints":
        return path.parent, int(path.name)
    steps = committed_steps(path / "checkpoints")
    if not steps:
        raise CheckpointError(
            f"{path} holds no committed checkpoint. Give a run folder that has one, or RUN/checkpoints/STEP."
        )
    return path / "checkpoints", steps[-1]


class Judged(NamedTuple):
    """What is judged, and in which experiment: `act(policy, observation)` are its greedy actions."""

    experiment: Experiment
    name: int | str
    act: Greedy
    policy: Policy


def is_export(path: Path) -> bool:
    """Whether `path` means a policy export rather than a run or checkpoint, which are folders."""
    return path.is_file() or path.suffix == ".zip"


def config_of(path: Path) -> Config:
    """The config of the run that the checkpoint or export at `path` comes from; no environment is made.

    Raises:
        CheckpointError, ExportError: as `open_checkpoint`.
    """
    if is_export(path):
        return load_export(path).config
    folder, step = locate(path)
    return presets.validate(load_meta(folder, step)["config"], f"the config in {folder / str(step)}")


def open_checkpoint(path: Path) -> Judged:
    """The policy of RUN/checkpoints/STEP, of the newest checkpoint of RUN, or in policy.zip.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ExportError: no such export, a damaged one, or one made for another environment.
    """
    if is_export(path):
        exported = load_export(path)
        experiment = build(exported.config)
        expect_fit(exported.spec, experiment.spec, str(path))
        return Judged(experiment, path.name, lambda _, observation: exported.act(observation), None)
    folder, step = locate(path)
    experiment = build(config_of(path))
    policy = load_policy(folder, step, policy_template(experiment.agent))
    return Judged(experiment, step, greedy(experiment.agent), policy)


def evaluate_checkpoint(
    path: Path,
    episodes: int | None,
    first_seed: int | None,
    video: Path | None,
    scenario: Callable[[Config], tuple[EnvConfig, int]] | None = None,
) -> dict[str, Any]:
    """The record of an evaluation (see `roles.evaluator.evaluation`); None means what the checkpoint's config says.

    `scenario` gives the environment and the number of simulations for a config, where they are not the config's own.

    Raises:
        CheckpointError, ExportError: as `open_checkpoint`.
        ConfigError: a count below 1, or seeds outside the half kept for evaluation.
        UserError: a video was asked for and nothing can render.
    """
    judged = open_checkpoint(path)
    config = judged.experiment.config
    count = config.evaluation.final_episodes if episodes is None else episodes
    first = config.evaluation.first_seed if first_seed is None else first_seed
    if count < 1:
        raise ConfigError(f"--episodes is {count}; it must be at least 1.")
    try:
        episode_seeds = seeds.evaluation_episodes(first, count)
    except ValueError as error:
        raise ConfigError(f"--episode-seed {first}: {error}") from error
    env = judged.experiment.evaluation_env() if scenario is None else envs.make_batched(*scenario(config))
    record = judge(env, judged.act, judged.policy, judged.name, episode_seeds, video)
    env.close()
    return record

"""What `robo-rl data record` is told: the fields of the command, and the policy they name."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from pydantic import Field

from robo_rl import presets
from robo_rl.config import EnvConfig, Section
from robo_rl.data.play import Intend
from robo_rl.errors import ConfigError
from robo_rl.evaluation import config_of, is_export, locate, open_checkpoint
from robo_rl.export.loading import expect_fit
from robo_rl.files import as_path
from robo_rl.specs import EnvSpec, Observation

PROGRAM = "robo-rl data record"


class RecordConfig(Section):
    """What `robo-rl data record` records."""

    out: Path = Field(description="Folder of the data set; a recording that was interrupted goes on.")
    episodes: int = Field(ge=1, description="Episodes of the whole data set.")
    env: EnvConfig = EnvConfig()
    policy: str = Field(
        default="scripted", description="scripted (grasp tasks), random, or a checkpoint, run folder or policy.zip."
    )
    noise: float = Field(
        default=0.0, ge=0, description="Standard deviation of Gaussian noise on every action (share of its range, 1)."
    )
    workers: int = Field(default=1, ge=1, le=4096, description="Processes that play episodes.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Root of every random number of the recording.")
    envs: int = Field(default=25, ge=1, description="Episodes that a worker plays side by side.")
    shard_episodes: int = Field(
        default=100, ge=1, description="Episodes per file; a recording that is killed loses at most these."
    )


def parse(flags: Sequence[str]) -> RecordConfig:
    """The recording that the flags of `robo-rl data record` describe; `--help` prints every field and exits.

    Where the policy is a checkpoint, the environment is its run's unless `--env.name` says otherwise.

    Raises:
        CheckpointError, ExportError: the policy cannot be read.
        SystemExit: tyro refused a flag, or one that is needed is missing; it says which.
    """
    policy = presets.flag_value(list(flags), "--policy")
    if policy in (None, "scripted", "random"):
        return tyro.cli(RecordConfig, args=list(flags), prog=PROGRAM)
    # Not by opening it, which would load MuJoCo before anyone knows whether something is to be drawn.
    env = config_of(as_path(policy)).env
    # `construct`, because the fields without a default have none here either.
    default = RecordConfig.model_construct(out=tyro.MISSING, episodes=tyro.MISSING, env=env, policy=policy)
    return tyro.cli(RecordConfig, args=list(flags), default=default, prog=PROGRAM)


def settled(config: RecordConfig) -> RecordConfig:
    """The same, with the step named where the policy is a run: its newest checkpoint may move while it is recorded.

    Raises:
        CheckpointError: the run has no checkpoint.
    """
    if config.policy in ("scripted", "random") or is_export(as_path(config.policy)):
        return config
    folder, step = locate(as_path(config.policy))
    return config.model_copy(update={"policy": str(folder / str(step))})


def make_policy(
    config: RecordConfig, spec: EnvSpec, true_state: Callable[[], Observation] | None = None
) -> tuple[Intend | None, str]:
    """What acts (None: uniformly at random), and its name in the data set.

    `true_state` is asked by a scripted policy where the observation shows it pixels, which it cannot read.

    Raises:
        ConfigError, ExportError, CheckpointError: as `record`.
    """
    if config.policy == "random":
        if config.noise:
            raise ConfigError(f"--noise is {config.noise:g}, but random actions are nothing else. Leave it out.")
        return None, "random"
    if config.policy == "scripted":
        if not spec.name.startswith("grasp/"):
            raise ConfigError(
                f"--policy scripted grasps; it cannot act in {spec.name}. It exists for grasp/cube and grasp/objects; "
                "elsewhere record `random` or a checkpoint."
            )
        # Imported here: it loads MuJoCo, which must not be before the environment says whether something is drawn.
        from robo_rl.envs.grasp_scripted import scripted_intent

        intend = partial(scripted_intent, terminate=config.env.terminate_action)
        name = f"scripted, noise {config.noise:g}"
        if true_state is None or config.env.observation == "state":
            return intend, name
        return lambda observation: intend(true_state()), name
    judged = open_checkpoint(as_path(config.policy))
    expect_fit(judged.experiment.spec, spec, config.policy)
    return lambda observation: np.asarray(judged.act(judged.policy, observation)), f"{judged.name}"

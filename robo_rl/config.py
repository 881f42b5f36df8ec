"""The typed schema that `configs/*.yaml` fill in and dotted flags override. Every field has a unit and a default."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field


class Section(pydantic.BaseModel):
    """Base of every section: no unknown field, no change after parsing."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VariationConfig(Section):
    """How a grasp task differs from the plain one; the defaults change nothing. Other tasks refuse all of it.

    The table's own friction is not among these: an object's friction decides all of its contacts.
    """

    friction_scale: float = Field(default=1.0, gt=0, le=10, description="Times the object's sliding friction.")
    mass_scale: float = Field(default=1.0, gt=0, le=10, description="Times the object's mass.")
    size_scale: float = Field(
        default=1.0, ge=0.5, le=1.4, description="Times the object's lengths; beyond 1.4 some no longer fit."
    )
    grip_scale: float = Field(default=1.0, gt=0, le=3, description="Times the force of the fingers.")
    action_delay: int = Field(default=0, ge=0, le=20, description="Control steps before an action takes effect.")
    action_noise: float = Field(
        default=0.0, ge=0, le=1, description="Standard deviation added to each action (share of its full range, 1)."
    )
    position_noise: float = Field(
        default=0.0, ge=0, le=0.1, description="Standard deviation of measured places and opening (m)."
    )
    angle_noise: float = Field(default=0.0, ge=0, le=1, description="Standard deviation of measured angles (rad).")
    velocity_noise: float = Field(
        default=0.0, ge=0, le=10, description="Standard deviation of measured joint velocities (rad/s)."
    )
    camera_shift: float = Field(
        default=0.0,
        ge=0,
        le=0.2,
        description="How far the camera stands from its place (m), in a direction drawn for each episode.",
    )
    camera_turn: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="How far the camera is turned (rad), about an axis drawn for each episode.",
    )


class EnvConfig(Section):
    """What is simulated."""

    name: str = Field(
        default="grasp/cube", description="grasp/cube, suite/cheetah-run, manipulation/lift_brick_features, ..."
    )
    action_repeat: int = Field(
        default=1,
        ge=1,
        le=50,
        description="Environment steps that one action is applied for; suite and manipulation only.",
    )
    episode_steps: int | None = Field(
        default=None, ge=1, description="Time limit (control steps); none: the task's own."
    )
    observation: Literal["state", "camera"] = Field(
        default="state",
        description="What grasp tasks show: measurements, or a camera image with the gripper's opening and height.",
    )
    camera_size: int = Field(default=64, ge=16, le=256, description="Height and width of the camera image (pixels).")
    reward: Literal["shaped", "sparse", "final"] = Field(
        default="shaped", description="Grasp tasks: dense; 1 per step held high; or 1 once, which ends the episode."
    )
    step_penalty: float = Field(
        default=0.0, ge=0, description="Taken from the sparse or final grasp reward at every control step."
    )
    terminate_action: bool = Field(
        default=False, description="Grasp tasks with the final reward: whether a sixth action above 0 ends the episode."
    )
    family: Literal["train", "held_out"] = Field(default="train", description="Half of the objects it draws from.")
    reward_noise: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Added to each training reward, not to evaluation: uniform in [0, this] (reward per control step).",
    )
    variation: VariationConfig = VariationConfig()


class HeadConfig(Section):
    """The value head of a critic; the agent says which range of returns it covers."""

    loss: str = Field(
        default="hl_gauss",
        description="mse, huber, two_hot, c51, hl_gauss, quantile, softmax_mse, log_loss or symexp_two_hot.",
    )
    bins: int = Field(default=101, ge=3, description="Bins (hl_gauss) or atoms (two_hot, c51) inside the value range.")
    padding_bins: int = Field(
        default=3, ge=0, description="Extra HL-Gauss bins at each end, so that the edge has no bias."
    )
    sigma_to_width: float = Field(default=0.75, gt=0, description="HL-Gauss smoothing (bin widths).")
    quantiles: int = Field(default=100, ge=1, description="Quantiles of the quantile head.")
    huber_kappa: float = Field(
        default=1.0, gt=0, description="Huber threshold of huber and quantile (scaled return units)."
    )


class CriticConfig(HeadConfig):
    """An ensemble of critics over scaled returns, and how it becomes one target."""

    ensemble: int = Field(default=2, ge=1, description="Critics trained side by side.")
    combine: Literal["mean", "min"] = Field(
        default="mean", description="How the ensemble's next values become one target."
    )
    v_max: float = Field(default=5.0, gt=0, description="Rewards are scaled so that returns fit in [-v_max, v_max].")


class NetworkConfig(Section):
    """The trunk shared in shape, not in weights, by actor and critics."""

    kind: Literal["mlp", "residual"] = Field(
        default="mlp", description="Plain MLP, or pre-norm residual blocks as in SimBa."
    )
    width: int = Field(default=256, ge=1, description="Units per layer.")
    depth: int = Field(default=2, ge=1, description="Layers of an mlp, blocks of a residual trunk.")
    layer_norm: bool = Field(
        default=True, description="LayerNorm after each layer of an mlp; residual trunks always have it."
    )


class ImageConfig(Section):
    """How networks see camera images; without an image among the observations nothing of it is used."""

    patch: int = Field(default=4, ge=1, le=32, description="Pixels per side of a patch; the first layer embeds each.")
    channels: int = Field(default=32, ge=1, description="Channels of the embedded patches and of every convolution.")
    convolutions: int = Field(default=2, ge=0, le=6, description="3x3 convolutions of stride 2 on the patches.")
    features: int = Field(
        default=64,
        ge=1,
        description="What a network reads out of the encoded image: numbers of SAC's, channels behind QT-Opt's action.",
    )
    random_shift: int = Field(
        default=4, ge=0, le=32, description="Most pixels by which a training image is shifted at random (DrQ); 0: none."
    )


class SACConfig(Section):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905), with any value head."""

    kind: Literal["sac"] = "sac"
    discount: float = Field(default=0.99, gt=0, lt=1, description="Discount per control step.")
    n_step: int = Field(default=1, ge=1, le=20, description="Control steps per transition.")
    critic: CriticConfig = CriticConfig()
    actor_network: NetworkConfig = NetworkConfig()
    critic_network: NetworkConfig = NetworkConfig()
    image: ImageConfig = ImageConfig()
    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW, actor and critics.")
    learning_rate_decay_updates: int = Field(
        default=0, ge=0, description="Updates over which it falls in a line to `final_learning_rate`; 0: it stays."
    )
    final_learning_rate: float = Field(default=3e-5, gt=0, description="Where the falling learning rate ends.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's decay of kernels, actor and critics.")
    max_gradient_norm: float = Field(default=10.0, gt=0, description="Gradients are clipped to this global norm.")
    target_rate: float = Field(
        default=0.005, gt=0, le=1, description="Share of the critics blended into their targets."
    )
    initial_temperature: float = Field(default=0.01, gt=0, description="Weight of the entropy at the start.")
    temperature_learning_rate: float = Field(default=3e-4, ge=0, description="Adam on the log temperature; 0 holds it.")
    exploration_octaves: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Octaves of the actors' noise: 1 is white; the slowest of n lasts 2^(n-1) control steps.",
    )
    warmup_octaves: int = Field(
        default=0, ge=0, le=16, description="The same before the first update; with 0 octaves actions are uniform then."
    )
    target_entropy_per_dimension: float = Field(default=-0.5, description="Target entropy (nats) per action dimension.")
    entropy_in_target: bool = Field(default=True, description="Whether the critics' target holds the entropy bonus.")
    policy_average_rate: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of each update's policy in the average that is judged and deployed; 0: no average.",
    )
    normalize_observations: bool = Field(default=True, description="Running mean and deviation of every observation.")
    angles_by_sine_and_cosine: bool = Field(
        default=False,
        description="Read angles of joints without limits by sine and cosine: a full turn more is the same place.",
    )
    scale_rewards: bool = Field(default=True, description="Divide rewards by the running return statistic.")
    values_follow_scale: bool = Field(
        default=False, description="Convert target values from the scale they were learned in into the scale of today."
    )


class SearchConfig(Section):
    """The cross-entropy method that looks for the best action."""

    samples: int = Field(default=64, ge=3, description="Actions tried in each iteration.")
    elites: int = Field(default=6, ge=2, description="Best of them, to which the next Gaussian is fitted.")
    iterations: int = Field(default=2, ge=1, description="Rounds of trying; the Gaussian is refitted between them.")

    @pydantic.model_validator(mode="after")
    def _fewer_elites_than_samples(self) -> "SearchConfig":
        if self.elites >= self.samples:
            raise ValueError(
                f"elites is {self.elites} and samples is {self.samples}: a search that keeps all it tries learns "
                "nothing; set elites below samples"
            )
        return self


class QTOptConfig(Section):
    """QT-Opt (Kalashnikov et al. 2018, arXiv 1806.10293): a Q-function searched for its best action, and no actor."""

    kind: Literal["qt_opt"] = "qt_opt"
    discount: float = Field(default=0.9, gt=0, lt=1, description="Discount per control step.")
    n_step: int = Field(default=1, ge=1, le=20, description="Control steps per transition.")
    critic: HeadConfig = HeadConfig()
    value_range: tuple[float, float] | None = Field(
        default=None, description="Least and greatest return (environment units); none: what reward bounds allow."
    )
    critic_network: NetworkConfig = NetworkConfig()
    image: ImageConfig = ImageConfig()
    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW.")
    learning_rate_decay_updates: int = Field(
        default=0, ge=0, description="Updates over which it falls in a line to `final_learning_rate`; 0: it stays."
    )
    final_learning_rate: float = Field(default=3e-5, gt=0, description="Where the falling learning rate ends.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's decay of kernels.")
    max_gradient_norm: float = Field(default=10.0, gt=0, description="Gradients are clipped to this global norm.")
    target_rate: float = Field(
        default=0.005, gt=0, le=1, description="Share of the critic blended into the averaged target."
    )
    target_lag: int = Field(
        default=500, ge=1, description="The second target is the first as it was this to twice this many updates ago."
    )
    conservatism: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the loss that holds the values of random actions down; for learning from data alone.",
    )
    acting_search: SearchConfig = SearchConfig()
    target_search: SearchConfig = SearchConfig(samples=16, elites=4)
    epsilon: float = Field(default=0.1, ge=0, le=1, description="Share of exploring actions that are uniform.")
    action_noise: float = Field(
        default=0.1, ge=0, le=2, description="Standard deviation added to the other exploring actions (of range 1)."
    )
    normalize_observations: bool = Field(default=True, description="Running mean and deviation of every observation.")

    @pydantic.field_validator("value_range")
    @classmethod
    def _from_least_to_greatest(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError("the least return comes first and must be below the greatest")
        return value_range


def _with_kind(data: Any) -> Any:
    """Sections without a `kind` are SAC's, as they were when there was no other."""
    return {"kind": "sac", **data} if isinstance(data, dict) else data


AgentConfig = Annotated[SACConfig | QTOptConfig, Field(discriminator="kind")]


class ReplayConfig(Section):
    """The ring buffer on the learner's devices."""

    capacity: int = Field(default=200_000, ge=1, description="Transitions kept; the oldest is overwritten.")
    recency: float = Field(
        default=1.0,
        ge=1,
        le=10,
        description="1 draws uniformly; with p the newest 1/k of the replay are k^(-1/p) of a batch.",
    )


class DataConfig(Section):
    """Recorded episodes to learn from, beside what the actors see or instead of it."""

    path: str | None = Field(
        default=None, description="Folder of an RLDS data set (array_record) made in this environment; none: no data."
    )
    share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of each batch drawn from the data. 1: offline, nothing acts and env_steps counts updates.",
    )
    buffer: int = Field(
        default=200_000, ge=1, description="Transitions of the data on the device; a larger set streams through."
    )
    stream_episodes: int = Field(
        default=8, ge=1, description="Episodes that a streamed set brings in after each dispatch of updates."
    )
    record: str | None = Field(
        default=None, description="Folder of a data set that the actors' episodes are added to (--record); none: not."
    )

    @property
    def is_offline(self) -> bool:
        """Whether the data is all that is learned from."""
        return self.path is not None and self.share == 1


class LearnerConfig(Section):
    """How fast the learner learns, and how far actors and learner may run apart."""

    batch_size: int = Field(default=256, ge=1, description="Transitions per update.")
    updates_per_env_step: float = Field(
        default=1.0, gt=0, description="Updates for each environment step after the warm-up."
    )
    updates_per_dispatch: int = Field(default=32, ge=1, description="Updates in one device dispatch (lax.scan).")
    warmup_env_steps: int = Field(
        default=1000, ge=1, description="Environment steps of random actions before any update."
    )
    max_lead_env_steps: int | None = Field(
        default=256, ge=1, description="Environment steps the actors may run ahead of the updates; none: no limit."
    )


class ActorConfig(Section):
    """Who collects experience."""

    processes: int = Field(default=1, ge=1, le=4096, description="Actor processes (local runtime).")
    envs: int = Field(default=16, ge=1, description="Simulations per actor, stepped together.")
    chunk_steps: int = Field(default=4, ge=1, description="Control steps of all simulations in one exchange.")
    max_restarts: int = Field(default=5, ge=0, description="Restarts of one actor before the run stops with its error.")


class CheckpointConfig(Section):
    """What is written, and how often (environment steps). A final whole checkpoint is always written."""

    policy_every: int = Field(
        default=5_000, ge=1, description="Environment steps between checkpoints; each is evaluated."
    )
    run_every: int = Field(
        default=50_000,
        ge=1,
        description="Environment steps between whole checkpoints, which hold the replay and can resume.",
    )
    keep_newest: int = Field(default=5, ge=1, description="Newest checkpoints kept.")
    keep_best: int = Field(default=1, ge=0, description="Best evaluated checkpoints kept besides.")


class EvaluationConfig(Section):
    """How a checkpoint is judged: the same list of episode seeds each time, greedy actions."""

    enabled: bool = Field(default=True, description="Whether an evaluator judges every committed checkpoint.")
    episodes: int = Field(default=20, ge=1, description="Episodes per checkpoint.")
    final_episodes: int = Field(default=200, ge=1, description="Episodes for the last checkpoint of a run.")
    first_seed: int = Field(default=0, ge=0, lt=2**29, description="Episode seeds are first_seed, first_seed + 1, ...")
    envs: int = Field(default=20, ge=1, description="Simulations stepped together.")
    family: Literal["train", "held_out"] = Field(
        default="held_out", description="Half of the objects grasp/objects draws from."
    )
    episode_steps: int | None = Field(
        default=None, ge=1, description="Time limit of an evaluation episode (control steps); none: that of env."
    )
    video: bool = Field(
        default=False, description="Whether each evaluation writes videos/STEP.mp4 of its first episode."
    )


class Config(Section):
    """A training run."""

    env: EnvConfig = EnvConfig()
    agent: Annotated[AgentConfig, pydantic.BeforeValidator(_with_kind)] = SACConfig()
    replay: ReplayConfig = ReplayConfig()
    data: DataConfig = DataConfig()
    learner: LearnerConfig = LearnerConfig()
    actor: ActorConfig = ActorConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    runtime: Literal["local", "inline"] = Field(default="local", description="Processes, or one repeatable thread.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Root of every random number of the run.")
    env_steps: int = Field(default=100_000, ge=1, description="Total budget of environment steps.")
    log_every: int = Field(default=1_000, ge=1, description="Environment steps between rows of metrics.jsonl.")

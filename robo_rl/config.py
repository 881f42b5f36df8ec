"""The typed schema that `configs/*.yaml` fill in and dotted flags override. Every field has a unit and a default."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field


class Section(pydantic.BaseModel):
    """Base of every section: no unknown field, no change after parsing."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EnvConfig(Section):
    """What is simulated."""

    name: str = Field("grasp/cube", description="Environment, e.g. grasp/cube, suite/cheetah-run, manipulation/lift_brick_features.")
    action_repeat: int = Field(1, ge=1, le=50, description="Times an action is applied (environment steps per control step); suite and manipulation only.")
    episode_steps: int | None = Field(None, ge=1, description="Time limit of an episode (control steps); none: the task's own.")
    reward: Literal["shaped", "sparse"] = Field("shaped", description="Reward of the grasp task.")
    step_penalty: float = Field(0.0, ge=0, description="Taken from the grasp task's sparse reward at every control step.")
    family: Literal["train", "held_out"] = Field("train", description="Which half of the procedural objects grasp/objects draws from.")


class CriticConfig(Section):
    """The value heads and how the critics of the ensemble are combined."""

    loss: str = Field("hl_gauss", description="mse, huber, two_hot, c51, hl_gauss or quantile.")
    ensemble: int = Field(2, ge=1, description="Critics trained side by side.")
    combine: Literal["mean", "min"] = Field("mean", description="How the ensemble's next values become one target.")
    bins: int = Field(101, ge=3, description="Bins (hl_gauss) or atoms (two_hot, c51) inside [-v_max, v_max].")
    v_max: float = Field(5.0, gt=0, description="Returns are scaled to fit in [-v_max, v_max].")
    padding_bins: int = Field(3, ge=0, description="Extra bins at each end of the HL-Gauss support, so that the edge has no bias.")
    sigma_to_width: float = Field(0.75, gt=0, description="HL-Gauss smoothing, in bin widths.")
    quantiles: int = Field(100, ge=1, description="Quantiles of the quantile head.")
    huber_kappa: float = Field(1.0, gt=0, description="Huber threshold of the huber head and the quantile head, in scaled return units.")

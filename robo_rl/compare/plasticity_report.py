"""Runs the plasticity test into a folder: every error as CSV, their means as JSON, and the picture."""

import csv
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robo_rl.checkpoints.manifest import environment_manifest
from robo_rl.compare.drawing import import_matplotlib, look
from robo_rl.compare.plasticity import PlasticityConfig, check, make_problems, mean_squared_errors
from robo_rl.errors import DivergedError, UserError
from robo_rl.files import write_json_atomic
from robo_rl.metrics.statistics import bootstrap_mean_interval

ONLY_THE_OFFSET = 0.5
"""Mean square of a sine: the error of a network that has learned b and nothing of f."""


def run_plasticity(config: PlasticityConfig, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Train every loss, write plasticity.csv, summary.json and plasticity.png into `folder`; returns the summary.

    Raises:
        ConfigError: fields that do not fit together; raised before anything is trained.
        UserError: the folder holds a result already, or matplotlib is missing.
        DivergedError: an error that is not finite.
    """
    check(config)
    _, figure_type = import_matplotlib()
    if (folder / "summary.json").exists():
        raise UserError(f"{folder} holds a finished plasticity test. Choose another folder with --run.")
    folder.mkdir(parents=True, exist_ok=True)
    problems = make_problems(config)
    errors, seconds = {}, {}
    for loss in config.losses:
        began = time.monotonic()
        errors[loss] = mean_squared_errors(config, loss, problems)
        seconds[loss] = round(time.monotonic() - began, 1)
        if not np.isfinite(errors[loss]).all():
            raise DivergedError(f"{loss}: the error is not finite. Try a lower --learning-rate.")
        say(f"{line(config, loss, errors[loss])}   {seconds[loss]:.0f} s")
    write_csv(folder / "plasticity.csv", config, errors)
    figure = figure_type(figsize=(9, 3.4), layout="constrained")
    draw(figure, config, errors)
    figure.savefig(folder / "plasticity.png", dpi=150)
    summary = summarized(config, errors) | {"seconds": seconds, "made_with": environment_manifest(devices=True)}
    # Last: a folder with a summary is one with everything.
    write_json_atomic(folder / "summary.json", summary)
    return summary


def final_errors(errors: np.ndarray) -> np.ndarray:
    """The errors at the end of each target, `[members, offsets]`, of `errors [members, offsets, measurements]`."""
    return errors[:, :, -1]


def line(config: PlasticityConfig, loss: str, errors: np.ndarray) -> str:
    """One line on one loss: its mean error at the end of each target."""
    means = final_errors(errors).mean(axis=0)
    return f"{loss:12}" + "  ".join(f"b={b:g}: {x:.4f}" for b, x in zip(config.offsets, means, strict=True))


def write_csv(path: Path, config: PlasticityConfig, errors: Mapping[str, np.ndarray]) -> None:
    """Every measurement: loss, seed, offset, updates on this target, mean squared error."""
    every = config.steps // config.measurements
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["loss", "seed", "target", "offset", "updates", "mean_squared_error"])
        for loss, found in errors.items():
            for member, target, at in itertools.product(*map(range, found.shape)):
                value = float(found[member, target, at])
                writer.writerow(
                    [loss, config.seed + member, target, config.offsets[target], (at + 1) * every, repr(value)]
                )


def summarized(config: PlasticityConfig, errors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Config, and per loss and offset the mean error at the target's end with a 95 % bootstrap interval over seeds."""

    def entry(offset: float, values: np.ndarray) -> dict[str, float]:
        low, high = bootstrap_mean_interval(values)
        return {"offset": offset, "mean": float(np.mean(values, dtype=np.float64)), "low": low, "high": high}

    return {
        "question": "Does the critic's loss keep the ability to learn new values when its targets move?",
        "measured": "mean squared error over all inputs at the end of each target (value units squared)",
        "inputs": "Gaussian vectors drawn from the seed, not the images of the published protocol",
        "only_the_offset_learned": ONLY_THE_OFFSET,
        "config": config.model_dump(mode="json"),
        "losses": {
            loss: [entry(b, x) for b, x in zip(config.offsets, final_errors(found).T, strict=True)]
            for loss, found in errors.items()
        },
    }


def draw(figure: Any, config: PlasticityConfig, errors: Mapping[str, np.ndarray]) -> None:
    """Left: the error while the targets move. Right: the error at the end of each target. Bands: all seeds."""
    curves, ends = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    every, count = config.steps // config.measurements, len(config.offsets)
    updates = every * np.arange(1, count * config.measurements + 1)
    for number, (loss, found) in enumerate(errors.items()):
        color = look(number).color
        _band(curves, updates, found.reshape(len(found), -1), color, loss)
        _band(ends, config.offsets, final_errors(found), color, loss)
    for target, offset in enumerate(config.offsets):
        curves.axvline(target * config.steps, color="#cccccc", linewidth=0.8)
        curves.annotate(
            f"b = {offset:g}", (target * config.steps, 1), xycoords=("data", "axes fraction"), fontsize=8, va="bottom"
        )
    for axes, label in ((curves, "updates"), (ends, "b of the target")):
        axes.axhline(ONLY_THE_OFFSET, color="black", linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel(label)
    ends.annotate(
        "only b learned", (1, ONLY_THE_OFFSET), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="bottom"
    )
    curves.set_ylabel("mean squared error")
    ends.set_title("at the end of each target", fontsize=9)
    figure.legend(*curves.get_legend_handles_labels(), loc="outside lower center", ncols=len(errors), frameon=False)


def _band(axes: Any, x: Sequence[float] | np.ndarray, members: np.ndarray, color: str, label: str) -> None:
    """The mean of `members [n, len(x)]` as a line, their range as a band."""
    axes.fill_between(x, members.min(axis=0), members.max(axis=0), color=color, alpha=0.15, linewidth=0)
    axes.plot(x, members.mean(axis=0), color=color, label=label, linewidth=1.5, marker="o", markersize=2.5)

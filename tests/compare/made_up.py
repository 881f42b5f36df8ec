"""Comparison folders with MADE-UP numbers: drawn from a random generator, trained by nobody."""

import copy
import csv
import functools
import itertools
import json
import math
from pathlib import Path

import numpy as np

from robo_rl.config import Config

_DEFAULT = Config().model_dump(mode="json")

LEVEL = {"mse": 0.66, "hl_gauss": 0.8, "two_hot": 0.7, "c51": 0.72, "quantile": 0.67}
"""Where the made-up scores of a loss end, on average."""

TASKS = [
    "suite/cartpole-swingup", "suite/reacher-easy", "suite/reacher-hard", "suite/finger-spin",
    "suite/finger-turn_hard", "suite/cheetah-run", "suite/walker-walk",
]  # fmt: skip


def write(
    folder: Path,
    losses=("mse", "hl_gauss", "two_hot"),
    tasks=tuple(TASKS),
    seeds=(100, 101, 102, 103, 104),
    axes=None,
    env_steps=100_000,
    status=lambda cell: "finished",
    success=False,
    question="MADE UP, no real result: does HL-Gauss beat MSE at 100,000 steps?",
    spread=0.05,
):
    """Write comparison.json, scores.csv and cells/; `status(cell record)` says how far each cell got."""
    axes, generator = axes or {}, np.random.default_rng(7)
    plan = {
        "question": question, "base": "dmc", "losses": list(losses), "tasks": list(tasks), "seeds": list(seeds),
        "tuning_seeds": [0, 1, 2], "axes": axes, "env_steps": env_steps, "evaluate_every": env_steps // 10,
        "evaluation_episodes": 10, "final_evaluation_episodes": 20,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "config": plan, "versions": {"jax": "0.10.2"}, "git": "0123abc",
        "equal_part_sha256": {"mse-suite_cartpole-swingup": "ab" * 32},
        "machine": {"cores": 2, "devices": ["cpu:0"], "platform": "made up"},
        "command": f"robo-rl compare made_up --env-steps {env_steps}",
    }  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(about))
    rows = []
    for values in itertools.product(*axes.values()):
        for task_index, task in enumerate(tasks):
            for loss in losses:
                at = dict(zip(axes, values, strict=True))
                rows += _cell(folder, loss, task, task_index, at, plan, generator, status, success, spread)
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["loss", "task", "seed", "env_steps", "return", "success", *axes])
        writer.writerows(rows)
    return folder


def _config(loss, task, at):
    fields = {"env.name": task, "agent.critic.loss": loss, **at}
    config = copy.deepcopy(_DEFAULT)
    for name, value in fields.items():
        *sections, last = name.split(".")
        functools.reduce(dict.__getitem__, sections, config)[last] = value
    return config


def _cell(folder, loss, task, task_index, at, plan, generator, status, success, spread):
    """Writes cell.json and gives the cell's rows of scores.csv; a cell that is not finished has half its rows."""
    numbers = [value for value in at.values() if isinstance(value, int | float)]
    better = 0.03 * math.log2(max(1e-9, numbers[0] / 256)) if numbers and numbers[0] > 0 else 0.0
    name = "-".join([loss, task.replace("/", "_"), *(f"{key}={value}" for key, value in at.items())])
    record = {
        "name": name, "loss": loss, "task": task, "axes": at, "seeds": plan["seeds"], "attempts": 1,
        "error": None, "seconds": 600.0, "env_steps": plan["env_steps"], "updates": plan["env_steps"],
        "updates_per_second": 170.0, "clipped_fraction": {str(seed): 0.001 for seed in plan["seeds"]},
        "initial_weights": {str(seed): f"{seed:064x}" for seed in plan["seeds"]},
        "config": _config(loss, task, at),
    }  # fmt: skip
    record["status"] = status(record)
    if record["status"] == "not begun":
        return []
    if record["status"] == "failed":
        record |= {"error": "DivergedError: Metric 'critic_loss' is nan at <step 20,000>.", "attempts": 2}
    if loss == "mse":
        record["clipped_fraction"] = {str(seed): 0.0 for seed in plan["seeds"]}
    path = folder / "cells" / name
    path.mkdir(parents=True)
    (path / "cell.json").write_text(json.dumps(record))
    rows, ends = [], plan["env_steps"] if record["status"] == "finished" else plan["env_steps"] // 2
    for seed in plan["seeds"]:
        top = float(
            np.clip(LEVEL.get(loss, 0.6) + better + 0.06 * (task_index - 3) + generator.normal(0, spread), 0, 1)
        )
        for step in range(plan["evaluate_every"], ends + 1, plan["evaluate_every"]):
            share = 1 - math.exp(-4 * step / plan["env_steps"])
            score = float(np.clip(top * share + generator.normal(0, 0.02), 0, 1))
            rate = round(score, 2) if success else ""
            rows.append([loss, task, seed, step, round(1000 * score, 3), rate, *at.values()])
    return rows

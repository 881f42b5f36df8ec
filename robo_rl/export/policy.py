"""Writes a checkpoint's policy as one zip that runs with jax alone; loading.py reads it back."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

import robo_rl
from robo_rl import presets
from robo_rl.agents.agent import Policy
from robo_rl.checkpoints.hashes import item_digest
from robo_rl.checkpoints.layout import POLICY
from robo_rl.checkpoints.manifest import environment_manifest
from robo_rl.checkpoints.reader import load_meta, load_policy
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.experiment import Experiment, build
from robo_rl.export import run_policy
from robo_rl.export.archive import to_json, write_archive
from robo_rl.export.loading import CONFIG, PROGRAM, PROVENANCE, SPEC, expect_fit
from robo_rl.files import read_json
from robo_rl.networks.normalizer import ObservationStatistics
from robo_rl.roles.evaluator import greedy_equations, policy_template
from robo_rl.specs import EnvSpec

PLATFORMS = ("cpu", "cuda", "tpu")
NORMALIZER, RUNNER = "normalizer.json", "run_policy.py"
_FRAMES = "jax_traceback_in_locations_limit"


def export_checkpoint(folder: Path, step: int, path: Path) -> dict[str, Any]:
    """Write the policy of one step in the `checkpoints` folder as the zip `path`; returns its provenance.

    The same checkpoint, evaluation and version of this program give the same bytes.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ConfigError: its config is none that this version can run.
        ExportError: it was trained on other observations or actions than this version's.
        UserError: `path` cannot be written.
    """
    meta = load_meta(folder, step)
    experiment = build(presets.validate(meta["config"], f"the config in {folder / str(step)}"))
    expect_fit(EnvSpec.from_json(meta["spec"]), experiment.spec, f"the checkpoint {folder / str(step)}")
    policy = load_policy(folder, step, policy_template(experiment.agent))
    provenance = provenance_of(folder, step)
    members = {
        PROGRAM: export_program(experiment, policy),
        SPEC: to_json(experiment.spec.to_json()),
        CONFIG: to_json(experiment.config.model_dump(mode="json")),
        NORMALIZER: to_json(normalizers(policy)),
        PROVENANCE: to_json(provenance),
        RUNNER: Path(run_policy.__file__).read_bytes(),
    }
    write_archive(path, members)
    return provenance


def export_program(experiment: Experiment, policy: Policy) -> bytes:
    """The greedy behaviour as serialised StableHLO, for every one of PLATFORMS and any batch size.

    The weights are constants of the program; it takes one argument, the dict of observations `[b, *shape]`.
    """
    act = greedy_equations(experiment.agent)
    (batch,) = jax_export.symbolic_shape("b")
    observation = {
        name: jax.ShapeDtypeStruct((batch, *array.shape), np.dtype(array.dtype))
        for name, array in experiment.spec.observation.items()
    }
    exported = jax_export.export(jax.jit(lambda observation: act(policy, observation)), platforms=PLATFORMS)
    with _without_source_locations():
        return bytes(exported(observation).serialize())


@contextlib.contextmanager
def _without_source_locations() -> Iterator[None]:
    """Keep the paths of this machine's source files out of what is lowered; they would differ between machines."""
    frames = jax.config.values[_FRAMES]
    jax.config.update(_FRAMES, 0)
    try:
        yield
    finally:
        jax.config.update(_FRAMES, frames)


def normalizers(policy: Policy) -> list[dict[str, Any]]:
    """Every observation normaliser in the policy, for people to read; the program has its numbers built in.

    They are of what the networks read: angles without limits, by sine and cosine, are more entries than the spec has.
    """
    leaves = jax.tree.leaves(policy, is_leaf=lambda node: isinstance(node, ObservationStatistics))
    return [
        jax.tree.map(lambda array: np.asarray(array).tolist(), leaf._asdict())
        for leaf in leaves
        if isinstance(leaf, ObservationStatistics)
    ]


def provenance_of(folder: Path, step: int) -> dict[str, Any]:
    """Where the checkpoint comes from: what the run folder around `folder` knows, and this program's version.

    A `checkpoints` folder that stands alone leaves `trained_with` and `evaluation` None.
    """
    promotion = promotion_of(folder)
    run = RunFolder(folder.parent if promotion is None else folder.parent.resolve().parent.parent)
    evaluation = run.evaluations / f"{step}.json"
    # A resumed run may have judged another policy under this step since the copy was made
    digests = {item_digest(place / str(step), POLICY) for place in (folder, run.checkpoints)}
    is_of_this_policy = evaluation.is_file() and len(digests - {None}) == 1
    here = environment_manifest()
    return {
        "run": run.path.name,
        "env_steps": step,
        "trained_with": _trained_with(run),
        "exported_with": {"robo_rl": robo_rl.__version__, "git": here["git"], "packages": here["packages"]},
        "evaluation": read_json(evaluation) if is_of_this_policy else None,
        "promotion": promotion,
    }


def promotion_of(folder: Path) -> dict[str, Any] | None:
    """The entry of promoted.json, with its evidence, for a `checkpoints` folder that `best` leads to; else None."""
    place = folder.parent.resolve()
    history = place.parent.parent / "promoted.json"
    if place.parent.name != "promoted" or not history.is_file():
        return None
    return next((one for one in read_json(history)["promotions"] if f"{one['number']:04d}" == place.name), None)


def _trained_with(run: RunFolder) -> dict[str, Any] | None:
    """Seed, versions and revision that the run folder's manifest names; not its machine."""
    if not run.manifest_file.is_file():
        return None
    manifest = read_json(run.manifest_file)
    return {name: manifest.get(name) for name in ("seed", "robo_rl", "python", "packages", "git")}

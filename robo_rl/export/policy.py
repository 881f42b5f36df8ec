"""From a checkpoint to a policy that runs with jax alone, and back to a function that can be judged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export as jax_export

import robo_rl
from robo_rl import presets
from robo_rl.agents.agent import Policy
from robo_rl.checkpoints.manifest import environment_manifest
from robo_rl.checkpoints.reader import load_meta, load_policy
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.config import Config
from robo_rl.errors import ExportError
from robo_rl.experiment import Experiment, build
from robo_rl.export import run_policy
from robo_rl.export.archive import read_archive, to_json, write_archive
from robo_rl.files import read_json
from robo_rl.networks.normalizer import ObservationStatistics
from robo_rl.roles.evaluator import greedy, policy_template
from robo_rl.specs import EnvSpec, Observation

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, SPEC, CONFIG, PROVENANCE = "policy.stablehlo", "spec.json", "config.json", "provenance.json"
NORMALIZER, RUNNER = "normalizer.json", "run_policy.py"


class ExportedPolicy(NamedTuple):
    """What a policy export holds, checked.

    act:        observation, dict of `[B, *shape]` -> greedy actions `[B, A]` in [-1, 1]; any B >= 1, each new B
                compiles once. Raises ExportError for an observation that does not fit the spec.
    spec:       what it observes and does, with units and bounds
    config:     of the run it comes from
    provenance: run, step, git commit, versions, and the evaluation of that checkpoint (None if there was none)
    """

    act: Callable[[Observation], jax.Array]
    spec: EnvSpec
    config: Config
    provenance: dict[str, Any]


def export_checkpoint(folder: Path, step: int, path: Path) -> dict[str, Any]:
    """Write the policy of one step in the `checkpoints` folder as the zip `path`; returns its provenance.

    The same checkpoint, evaluation and version of this program give the same bytes.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ConfigError: its config is none that this version can run.
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
    act = greedy(experiment.agent)
    (batch,) = jax_export.symbolic_shape("b")
    observation = {
        name: jax.ShapeDtypeStruct((batch, *array.shape), np.dtype(array.dtype))
        for name, array in experiment.spec.observation.items()
    }
    exported = jax_export.export(jax.jit(lambda observation: act(policy, observation)), platforms=PLATFORMS)
    return bytes(exported(observation).serialize())


def normalizers(policy: Policy) -> list[dict[str, Any]]:
    """Every observation normaliser in the policy, for people to read; the program has its numbers built in."""
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
    run = RunFolder(folder.parent)
    evaluation = run.evaluations / f"{step}.json"
    here = environment_manifest()
    return {
        "run": run.path.name,
        "env_steps": step,
        "trained_with": _trained_with(run),
        "exported_with": {"robo_rl": robo_rl.__version__, "git": here["git"], "packages": here["packages"]},
        "evaluation": read_json(evaluation) if evaluation.is_file() else None,
    }


def load_export(path: Path) -> ExportedPolicy:
    """The policy in the zip `path`, after checking every member.

    Raises:
        ExportError: see `archive.read_archive`; also a program that this jax cannot read or that does not fit its spec.
        ConfigError: its config is none that this version can run.
    """
    members = read_archive(path)
    lacking = [name for name in (PROGRAM, SPEC, CONFIG, PROVENANCE) if name not in members]
    if lacking:
        raise ExportError(f"{path} is no whole policy export: it lacks {lacking}. Export the checkpoint again.")
    try:
        spec = EnvSpec.from_json(json.loads(members[SPEC]))
        provenance = json.loads(members[PROVENANCE])
        config_fields = json.loads(members[CONFIG])
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: its {SPEC}, {CONFIG} or {PROVENANCE} cannot be read ({error!r}).") from error
    try:
        program = jax_export.deserialize(bytearray(members[PROGRAM]))
    except Exception as error:
        raise ExportError(
            f"{path}: jax {jax.__version__} cannot read {PROGRAM} ({type(error).__name__}: {error}). Use the jax that "
            f"exported it ({provenance.get('exported_with')}) or a newer one."
        ) from error
    _expect_program(path, program, spec)
    compiled = jax.jit(program.call)

    def act(observation: Observation) -> jax.Array:
        return compiled(fitting_observation(spec, observation))

    return ExportedPolicy(act, spec, presets.validate(config_fields, f"{CONFIG} in {path}"), provenance)


def fitting_observation(spec: EnvSpec, observation: Observation) -> dict[str, np.ndarray]:
    """The arrays of `observation` that `spec` names, each `[B, *shape]` with one B >= 1, in the dtype of the spec.

    Raises:
        ExportError: one is missing, not known, of another shape or kind of number, or not finite; it is named.
    """
    missing = sorted(spec.observation.keys() - observation.keys())
    unknown = sorted(observation.keys() - spec.observation.keys())
    if missing or unknown:
        raise ExportError(
            f"The policy of {spec.name} observes {sorted(spec.observation)}; missing: {missing}, unknown: {unknown}."
        )
    fitting, batch = {}, np.shape(next(iter(observation.values())))[:1]
    for name, array in spec.observation.items():
        given = np.asarray(observation[name])
        if given.shape != (*batch, *array.shape) or 0 in (batch or (0,)):
            raise ExportError(
                f"Observation {name!r} has shape {list(given.shape)}; the policy of {spec.name} takes "
                f"{['B', *array.shape]} ({array.unit or 'no unit'}), with the same B >= 1 for all."
            )
        if not np.can_cast(given.dtype, array.dtype, "same_kind"):
            raise ExportError(f"Observation {name!r} is {given.dtype}; the policy of {spec.name} takes {array.dtype}.")
        if not np.isfinite(given).all():
            raise ExportError(f"Observation {name!r} holds values that are not finite; look where it is measured.")
        fitting[name] = given.astype(array.dtype)
    return fitting


def expect_fit(made_for: EnvSpec, here: EnvSpec, whose: str) -> None:
    """Refuse a policy `made_for` other observations, actions or another control rate than those of `here`.

    Raises:
        ExportError: names what differs; bounds may, as they only describe.
    """
    there, now = _meanings(made_for), _meanings(here)
    differing = [
        f"{name}: made for {there.get(name, 'nothing')}, here {now.get(name, 'nothing')}"
        for name in sorted(there.keys() | now.keys())
        if there.get(name) != now.get(name)
    ]
    if differing:
        raise ExportError(
            f"The policy of {whose} does not fit {here.name}: {'; '.join(differing)}. Use the version of robo_rl that "
            "made it, or train again."
        )


def _meanings(spec: EnvSpec) -> dict[str, str]:
    """Name -> shape, dtype and unit of everything that a policy reads or writes."""
    arrays = {f"observation {name}": array for name, array in spec.observation.items()} | {"action": spec.action}
    meanings = {name: f"{array.dtype}{list(array.shape)} in {array.unit!r}" for name, array in arrays.items()}
    return {**meanings, "control rate": f"{spec.control_hz} Hz"}


def _expect_program(path: Path, program: jax_export.Exported, spec: EnvSpec) -> None:
    """Refuse a program whose arguments and results are not those that the spec names."""
    expected = {name: (array.shape, np.dtype(array.dtype)) for name, array in spec.observation.items()}
    (arguments, _), action = jax.tree.unflatten(program.in_tree, program.in_avals), program.out_avals[0]
    given = {name: (tuple(array.shape[1:]), array.dtype) for name, array in arguments[0].items()}
    if given != expected or tuple(action.shape[1:]) != spec.action.shape:
        raise ExportError(f"{path}: {PROGRAM} takes {given} and gives {action.shape}, which is not what {SPEC} says.")


def _trained_with(run: RunFolder) -> dict[str, Any] | None:
    """Seed, versions and revision that the run folder's manifest names; not its machine."""
    if not run.manifest_file.is_file():
        return None
    manifest = read_json(run.manifest_file)
    return {name: manifest.get(name) for name in ("seed", "robo_rl", "python", "packages", "git")}

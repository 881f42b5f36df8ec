"""Reads a policy export back as a function that can be judged, and refuses what does not fit it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export as jax_export

from robo_rl import presets
from robo_rl.compilation import compiled
from robo_rl.config import Config
from robo_rl.errors import ExportError
from robo_rl.export.archive import read_archive
from robo_rl.specs import EnvSpec, Observation

PROGRAM, SPEC, CONFIG, PROVENANCE = "policy.stablehlo", "spec.json", "config.json", "provenance.json"


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
    call = compiled(program.call)

    def act(observation: Observation) -> jax.Array:
        return call(fitting_observation(spec, observation))

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
    fitting, sizes = {}, {}
    for name, array in spec.observation.items():
        given = np.asarray(observation[name])
        if given.ndim != 1 + len(array.shape) or given.shape[1:] != array.shape or len(given) == 0:
            raise ExportError(
                f"Observation {name!r} has shape {list(given.shape)}; the policy of {spec.name} takes "
                f"[{', '.join(['B', *map(str, array.shape)])}] ({array.unit or 'no unit'}), B >= 1."
            )
        if not np.can_cast(given.dtype, array.dtype, "same_kind"):
            raise ExportError(f"Observation {name!r} is {given.dtype}; the policy of {spec.name} takes {array.dtype}.")
        if not np.isfinite(given).all():
            raise ExportError(f"Observation {name!r} holds values that are not finite; look where it is measured.")
        fitting[name], sizes[name] = given.astype(array.dtype), len(given)
    if len(set(sizes.values())) > 1:
        raise ExportError(f"All observations need the same batch size B; given were {sizes}.")
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

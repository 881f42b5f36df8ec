"""Runs an exported policy with jax, flatbuffers and numpy alone: `python run_policy.py policy.zip`, or call `load`."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import export, jit


def load(path: str) -> tuple[Callable[[dict[str, Any]], np.ndarray], dict[str, Any]]:
    """A function from named observations `[B, *shape]` to actions `[B, A]`, and the spec that names them with units."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, expected in json.loads(members["manifest.json"])["sha256"].items():
        if hashlib.sha256(members[name]).hexdigest() != expected:
            raise ValueError(f"{path}: member {name} is damaged")
    spec = json.loads(members["spec.json"])
    program = jit(export.deserialize(bytearray(members["policy.stablehlo"])).call)
    shapes = {name: tuple(entry["shape"]) for name, entry in spec["observation"].items()}

    def act(observation: dict[str, Any]) -> np.ndarray:
        given = {name: np.shape(array)[1:] for name, array in observation.items()}
        if given != shapes:
            raise ValueError(f"the policy takes arrays with a batch axis before {shapes}, not before {given}")
        dtypes = {name: spec["observation"][name]["dtype"] for name in shapes}
        return np.asarray(program({name: np.asarray(observation[name], dtypes[name]) for name in shapes}))

    return act, spec


if __name__ == "__main__":
    policy, description = load(sys.argv[1])
    zeros = {name: np.zeros((1, *entry["shape"])) for name, entry in description["observation"].items()}
    print(f"action for an observation of zeros: {policy(zeros)[0].tolist()}")

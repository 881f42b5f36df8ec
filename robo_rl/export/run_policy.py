"""Runs an exported policy with jax, its reader flatbuffers, and numpy: `python run_policy.py policy.zip`, or `load`."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable

import jax.export
import numpy as np


def load(path: str) -> tuple[Callable[[dict], np.ndarray], dict]:
    """A function from named observations `[B, *shape]` to actions `[B, A]`, and the spec that names them with units."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, expected in json.loads(members["manifest.json"])["sha256"].items():
        if hashlib.sha256(members[name]).hexdigest() != expected:
            raise ValueError(f"{path}: member {name} is damaged")
    spec = json.loads(members["spec.json"])
    dtypes = {name: entry["dtype"] for name, entry in spec["observation"].items()}
    call = jax.jit(jax.export.deserialize(bytearray(members["policy.stablehlo"])).call)  # refuses another shape or name
    return lambda given: np.asarray(call({name: np.asarray(a, dtypes.get(name)) for name, a in given.items()})), spec


if __name__ == "__main__":
    policy, description = load(sys.argv[1])
    zeros = {name: np.zeros((1, *entry["shape"])) for name, entry in description["observation"].items()}
    print(f"action for an observation of zeros: {policy(zeros)[0].tolist()}")

"""What a run was made with, and whether two configurations are the same experiment."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from collections.abc import Collection, Mapping
from typing import Any

import jax

import robo_rl

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "mujoco", "dm-control")
"""Those whose version can change a result."""

_ABSENT = object()


def environment_manifest(devices: bool = False) -> dict[str, Any]:
    """Versions, source revision and machine, as JSON can hold them.

    Args:
        devices: also list JAX's devices. This starts JAX's back end, which takes hold of an accelerator: only the
            process that trains may ask for it.
    """
    manifest: dict[str, Any] = {
        "robo_rl": robo_rl.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(pathlib.Path(robo_rl.__file__).parent),
        "platform": platform.platform(),
        "processor": processor(),
        "cpu_count": os.cpu_count(),
        "matmul_precision": jax.config.values["jax_default_matmul_precision"],
    }
    if devices:
        manifest["devices"] = [f"{device.platform} {device.device_kind}" for device in jax.devices()]
    return manifest


def processor() -> str | None:
    """What the processor is called; None where the system does not say.

    The last bits of a result are the processor's: math libraries choose their code, and with it the order of sums, by
    what it can do.
    """
    told = pathlib.Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def versions() -> dict[str, str | None]:
    """Name -> version of this package, of Python, and of every package whose version can change a result."""
    return {
        "robo_rl": robo_rl.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def revision() -> str | None:
    """The commit of this code, with `-dirty` behind it if tracked files were changed since; None if there is none."""
    git = _git(pathlib.Path(robo_rl.__file__).parent)
    return None if git is None else git["commit"] + ("-dirty" if git["dirty"] else "")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], ignore: Collection[str] = ()) -> list[str]:
    """Every field in which two resolved configurations differ, as `critic.bins: 51 -> 101`, sorted by name.

    Args:
        old: nested dict, as saved with the run.
        new: nested dict, as asked for now.
        ignore: dotted names that may differ; a section's name covers all its fields.
    """
    before, after = _flat(old), _flat(new)
    allowed = tuple(f"{name}." for name in ignore)
    return [
        f"{name}: {_shown(before.get(name, _ABSENT))} -> {_shown(after.get(name, _ABSENT))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name, _ABSENT) != after.get(name, _ABSENT) and not f"{name}.".startswith(allowed)
    ]


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            # What was read from YAML or JSON has lists where the schema has tuples
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def _shown(value: Any) -> str:
    return "(no such field)" if value is _ABSENT else repr(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: pathlib.Path) -> dict[str, Any] | None:
    """Commit and whether tracked files were changed since; None outside a repository or without git."""
    commit = _git_output(folder, "rev-parse", "HEAD")
    changes = _git_output(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    # An installed package may lie inside someone else's repository, in a virtual environment say
    if _git_output(folder, "ls-files", "__init__.py") != "__init__.py":
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git_output(folder: pathlib.Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

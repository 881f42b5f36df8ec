"""What this machine can do, in plain words, and what is missing for what. Nothing here changes anything."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robo_rl.render import GL_ADVICE, GL_BACKENDS, probe_gl_backend, usable_gl_backend

__all__ = ["Check", "print_report", "report", "usable_gl_backend"]

DISTRIBUTION = "robo-rl"
GIB = 2**30
JAX_PROBE_SECONDS = 120.0

# What each optional part is for; a part of pyproject.toml that is not named here is described by its packages.
EXTRA_PURPOSES: Mapping[str, str] = {
    "cuda": "training on NVIDIA GPUs",
    "tpu": "training on TPUs",
    "ray": "running on a cluster",
    "data": "recording and reading RLDS / TFDS data sets",
    "plots": "pictures of runs",
    "compare": "statistics, plots and report of a comparison",
    "dev": "the tests",
}

_JAX_PROBE = """
import json, jax
devices = [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]
print(json.dumps({"backend": jax.default_backend(), "devices": devices}))
"""


class Check(NamedTuple):
    """One line of the report. `missing` is something optional, `broken` something training cannot do without."""

    name: str
    status: Literal["ok", "missing", "broken"]
    found: str
    advice: str = ""


def report(folder: str | Path = ".") -> list[Check]:
    """Look at this machine; `folder` is where runs would be written. Takes several seconds: processes are started."""
    requirements = _requirements()
    return [
        _check_python(),
        _check_packages(requirements),
        _check_devices(),
        _check_rendering(),
        _check_cores(),
        _check_memory(),
        _check_disk(Path(folder)),
        *_check_extras(requirements),
    ]


def print_report(console: Console | None = None, folder: str | Path = ".") -> int:
    """Print `report(folder)`; returns the exit code of the command: 1 where something is broken, else 0."""
    console = console or Console()
    checks = report(folder)
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    colours = {"ok": "green", "missing": "yellow", "broken": "bold red"}
    for check in checks:
        words = Text(check.found)
        if check.advice:
            words.append(f"\n-> {check.advice}", style="dim")
        table.add_row(Text(check.status, style=colours[check.status]), check.name, words)
    console.print(table)
    broken = [check.name for check in checks if check.status == "broken"]
    console.print(Text(f"Broken: {', '.join(broken)}." if broken else "This machine can train."))
    return 1 if broken else 0


def _check_python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _requirements() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for: extra -> requirements, "" for what is always needed.

    From the installed package or, in a checkout that is not installed, from the file itself.
    """
    # The metadata of an editable install may be older than the file.
    project_file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project_file.is_file():
        project = tomllib.loads(project_file.read_text())["project"]
        groups = {"": project["dependencies"], **project.get("optional-dependencies", {})}
        return {extra: [Requirement(text) for text in texts] for extra, texts in groups.items()}
    grouped: dict[str, list[Requirement]] = {"": []}
    for text in importlib.metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        extras = [""]
        if requirement.marker is not None and "extra" in str(requirement.marker):
            known = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
            extras = [extra for extra in known if requirement.marker.evaluate({"extra": extra})]
        for extra in extras:
            grouped.setdefault(extra, []).append(requirement)
    return grouped


def unmet(requirements: list[Requirement]) -> list[str]:
    """In words, each requirement that is not installed or installed in another version; its extras one level deep."""
    problems = []
    for requirement in requirements:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} is {version}, needs {requirement.specifier}")
        # jax[cuda13] would be met by any jax; what the bracket brings is what makes the difference.
        problems += unmet(
            [
                inner
                for text in importlib.metadata.requires(requirement.name) or []
                if requirement.extras and _of_extras(inner := Requirement(text), requirement.extras)
            ]
        )
    return problems


def _of_extras(requirement: Requirement, extras: set[str]) -> bool:
    """Whether this line of a package's metadata counts only with one of its `extras`."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return False
    return any(marker.evaluate({"extra": extra}) for extra in extras)


def _check_packages(requirements: Mapping[str, list[Requirement]]) -> Check:
    needed = requirements[""]
    problems = unmet(needed)
    if problems:
        return Check("packages", "broken", "; ".join(problems), "Run `make install` or `pip install -e .` again.")
    leading = [name for name in ("jax", "flax", "mujoco", "dm-control") if any(r.name == name for r in needed)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in leading)
    return Check("packages", "ok", f"all {len(needed)} as pinned: {versions}, ...")


def _check_extras(requirements: Mapping[str, list[Requirement]]) -> list[Check]:
    checks = []
    for extra, needed in requirements.items():
        if extra:
            purpose = EXTRA_PURPOSES.get(extra, ", ".join(requirement.name for requirement in needed))
            problems = unmet(needed)
            if problems:
                advice = f"Only for {purpose}: `pip install -e .[{extra}]`."
                checks.append(Check(f"extra {extra}", "missing", "; ".join(problems), advice))
            else:
                checks.append(Check(f"extra {extra}", "ok", f"for {purpose}"))
    return checks


def _check_devices() -> Check:
    """Ask JAX in a process of its own, so that the caller's process never takes hold of an accelerator."""
    # Without this the probe would reserve most of the memory of a GPU that a training may be using.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _JAX_PROBE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=JAX_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        advice = "Another process may hold the accelerator; JAX_PLATFORMS=cpu leaves it alone."
        return Check("JAX devices", "broken", f"no answer within {JAX_PROBE_SECONDS:.0f} s", advice)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Check("JAX devices", "broken", said[-1], "JAX_PLATFORMS=cpu makes JAX use the CPU alone.")
    # The last line, because plugins may print before it.
    return describe_devices(json.loads(done.stdout.splitlines()[-1]), os.environ, Path("/dev/nvidia0").exists())


def describe_devices(answer: Mapping, environment: Mapping[str, str], has_nvidia: bool) -> Check:
    """The check for what JAX answered: {"backend": ..., "devices": [...]}; says so where a GPU lies idle."""
    found = f"{answer['backend']}: {', '.join(answer['devices'])}"
    if answer["backend"] != "cpu":
        return Check("JAX devices", "ok", found)
    if environment.get("JAX_PLATFORMS") == "cpu":
        return Check("JAX devices", "ok", f"{found} (JAX_PLATFORMS=cpu is set)")
    if has_nvidia:
        return Check(
            "JAX devices", "missing", f"{found}; an NVIDIA GPU is there", "`pip install -e .[cuda]` to use it."
        )
    return Check("JAX devices", "ok", f"{found}; enough for states, slow for images")


def _check_rendering() -> Check:
    probes = [probe_gl_backend(backend) for backend in GL_BACKENDS]
    words = "; ".join(f"{probe.backend} {'draws' if probe.works else 'does not: ' + probe.reason}" for probe in probes)
    backend = usable_gl_backend()
    if backend is None:
        advice = f"Only videos and tasks with camera images need it. {GL_ADVICE}"
        return Check("rendering", "missing", words, advice)
    return Check("rendering", "ok", f"MUJOCO_GL={backend} draws")


def _check_cores() -> Check:
    cores = usable_cores()
    found = f"{cores:g} usable of {os.cpu_count()}"
    if cores < 2:
        return Check("CPU cores", "missing", found, "Actors and learner will take turns; 2 or more are better.")
    return Check("CPU cores", "ok", found)


def usable_cores() -> float:
    """CPU cores this process may use: its affinity, and the quota of its container (which may be a fraction)."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    limit = _read_words("/sys/fs/cgroup/cpu.max")
    if len(limit) == 2 and limit[0] != "max":
        cores = min(cores, int(limit[0]) / int(limit[1]))
    return cores


def _check_memory() -> Check:
    total, free = usable_memory()
    found = f"{free / GIB:.1f} GiB free of {total / GIB:.1f}"
    if free < 2 * GIB:
        return Check("memory", "missing", found, "Training wants 2 GiB free; use fewer actors or a smaller replay.")
    return Check("memory", "ok", found)


def usable_memory() -> tuple[int, int]:
    """Memory of this machine or of its container, total and free (bytes); free is total where it is not told."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = free = os.sysconf("SC_PHYS_PAGES") * page
    words = _read_words("/proc/meminfo")
    if "MemAvailable:" in words:
        free = int(words[words.index("MemAvailable:") + 1]) * 1024
    # Inside a container the machine's figures promise what the kernel will not give.
    limit, used = _read_words("/sys/fs/cgroup/memory.max"), _read_words("/sys/fs/cgroup/memory.current")
    if limit and limit[0] != "max" and used:
        total = min(total, int(limit[0]))
        free = min(free, int(limit[0]) - int(used[0]))
    return total, free


def _read_words(path: str) -> list[str]:
    """The words of a file of the kernel; none where this kernel has no such file."""
    try:
        return Path(path).read_text().split()
    except OSError:
        return []


def _check_disk(folder: Path) -> Check:
    folder = folder.resolve()
    # The folder of the next run may not be there yet; its disk is that of the nearest folder above.
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", "broken", f"{folder} cannot be written", "Give a run folder of your own: --run DIR.")
    if free < GIB:
        return Check("disk", "missing", found, "Checkpoints with a replay take up to a GiB; use another --run DIR.")
    return Check("disk", "ok", found)

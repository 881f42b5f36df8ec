"""What is installed: the wheel's files, training from it by preset name, and versions that are pinned in bounds."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.metrics.sinks import read_rows
from tests.tiny import TINY_FLAGS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED_EXTRAS = ("plots", "compare", "dev")
"""Extras whose packages the constraints pin: the others bring drivers or a cluster, and `make` installs neither."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` would install. Building it fetches the build backend, as installing does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def trained(wheel, tmp_path_factory):
    """A tiny run, trained by preset name in an empty folder, with nothing but the unpacked wheel to import from."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    where = "import robo_rl; print(robo_rl.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(site), "MUJOCO_GL": "disabled"}
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert Path(found.stdout.strip()).is_relative_to(site), "the checkout was imported, not the wheel"
    command = [sys.executable, "-m", "robo_rl", "train", "grasp_cube", *TINY_FLAGS, "--runtime", "inline"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return RunFolder(folder / "runs" / "grasp_cube")


def test_the_wheel_holds_presets_models_licence_and_types_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    travelling = [*ROOT.glob("configs/*.yaml"), *(path for path in ROOT.glob("assets/**/*") if path.is_file())]
    assert len(travelling) >= 5
    assert {f"robo_rl/{path.relative_to(ROOT)}" for path in travelling} <= names
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("robo_rl/**/*.py")} <= names
    assert "robo_rl/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"robo_rl"}
    assert not [name for name in names if "test" in name.lower()]


def test_the_wheel_offers_the_command_and_the_extras(wheel):
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "robo-rl = robo_rl.cli:main" in texts["entry_points.txt"]
    extras = set(re.findall(r"^Provides-Extra: (\S+)$", texts["METADATA"], re.MULTILINE))
    assert extras == PROJECT["optional-dependencies"].keys() >= {"cuda", "tpu", "ray", "dev"}
    [supported] = re.findall(r"^Requires-Python: (.*)$", texts["METADATA"], re.MULTILINE)
    assert SpecifierSet(supported) == SpecifierSet(PROJECT["requires-python"])


def test_the_wheel_trains_by_preset_name_from_any_folder(trained):
    assert committed_steps(trained.checkpoints)
    assert read_rows(trained.metrics_file)[-1]["env_steps"] >= 300
    assert trained.config()["env"]["name"] == "grasp/cube"


def test_tensorboard_reads_back_what_a_run_wrote(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.path / "tensorboard"))
    events.Reload()
    rows = read_rows(trained.metrics_file)
    assert {"critic_loss", "return"} <= set(events.Tags()["scalars"])
    for name in ("critic_loss", "q_mean"):
        written = [(row["env_steps"], row[name]) for row in rows if row.get(name) is not None]
        read = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in read] == [step for step, _ in written]
        assert [value for _, value in read] == pytest.approx([value for _, value in written], rel=1e-6)
        assert written


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def direct_dependencies() -> list[Requirement]:
    extras = [name for extra in PINNED_EXTRAS for name in PROJECT["optional-dependencies"][extra]]
    requirements = map(Requirement, [*PROJECT["dependencies"], *extras])
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("requirement", direct_dependencies(), ids=lambda requirement: requirement.name)
def test_a_dependency_is_pinned_within_its_bounds(requirement, python):
    pins = [
        pin
        for pin in constraints()
        if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
        and (pin.marker is None or pin.marker.evaluate({"python_version": python}))
    ]
    [pin] = pins
    [exact] = pin.specifier
    assert exact.operator == "=="
    assert requirement.specifier.contains(exact.version)


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_a_dependency_has_an_upper_bound_or_a_reason_for_none(requirement):
    parsed = Requirement(requirement)
    operators = {specifier.operator for specifier in parsed.specifier}
    # packaging reads version numbers, a format that does not change.
    assert operators & {"<", "=="} or parsed.name == "packaging"
    assert operators & {">=", "=="}


def test_constraints_are_exact_sorted_and_name_no_host():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    for pin in constraints():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin
    names = [canonicalize_name(pin.name) for pin in constraints()]
    assert names == sorted(names)


def test_the_python_of_the_classifiers_is_the_one_that_is_required():
    supported = SpecifierSet(PROJECT["requires-python"])
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert named
    assert all(supported.contains(version) for version in named)

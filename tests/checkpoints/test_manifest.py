import json
import subprocess
from pathlib import Path

import pytest

import robo_rl
from robo_rl.checkpoints import manifest
from robo_rl.checkpoints.manifest import differences, environment_manifest, processor, revision


def test_manifest_is_json_and_complete():
    data = json.loads(json.dumps(environment_manifest(devices=True)))
    assert data["robo_rl"] == robo_rl.__version__
    assert all(data["packages"][name] for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "mujoco"))
    assert data["devices"]
    assert data["processor"] == processor()
    assert "devices" not in environment_manifest()


def test_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(manifest, "PACKAGES", ("no-such-package",))
    assert environment_manifest()["packages"] == {"no-such-package": None}


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux alone keeps it there")
def test_the_processor_is_named_as_linux_names_it():
    told = Path("/proc/cpuinfo").read_text()
    if "model name" not in told:
        pytest.skip("this kind of processor is not named there")
    assert f": {processor()}\n" in told


@pytest.fixture
def repository(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(robo_rl, "__file__", str(package / "__init__.py"))

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    return package, git


def test_git_commit_and_dirt(repository):
    package, git = repository
    assert environment_manifest()["git"] is None  # no commit, and the package is not tracked
    git("add", "package/__init__.py")
    git("commit", "-m", "one")
    clean = environment_manifest()["git"]
    assert revision() == clean["commit"]
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    (package / "__init__.py").write_text("changed")
    assert environment_manifest()["git"] == {**clean, "dirty": True}
    assert revision() == clean["commit"] + "-dirty"


def test_package_installed_inside_a_foreign_repository_has_no_commit(repository, tmp_path):
    _, git = repository
    (tmp_path / "other").write_text("")
    git("add", "other")
    git("commit", "-m", "one")
    assert environment_manifest()["git"] is None


OLD = {"critic": {"bins": 51, "loss": "mse", "sizes": (1, 2)}, "env_steps": 10, "env": {"name": "grasp/cube"}}


@pytest.mark.parametrize(
    ("changed", "ignore", "expected"),
    [
        ({}, (), []),
        ({"env_steps": 20}, (), ["env_steps: 10 -> 20"]),
        ({"env_steps": 20}, ("env_steps",), []),
        ({"env_steps": 20}, ("env",), ["env_steps: 10 -> 20"]),
        ({"critic": {"bins": 101, "loss": "mse", "sizes": [1, 2]}}, ("critic.loss",), ["critic.bins: 51 -> 101"]),
        ({"critic": {"bins": 101, "loss": "mse", "sizes": [1, 2]}}, ("critic",), []),
        (
            {"critic": {"bins": 51, "loss": "hl_gauss", "sizes": [1, 3]}},
            (),
            ["critic.loss: 'mse' -> 'hl_gauss'", "critic.sizes: [1, 2] -> [1, 3]"],
        ),
        ({"new": None}, (), ["new: (no such field) -> None"]),
    ],
)
def test_differences(changed, ignore, expected):
    assert differences(OLD, {**OLD, **changed}, ignore) == expected


def test_removed_field():
    assert differences(OLD, {key: OLD[key] for key in ("critic", "env")}) == ["env_steps: 10 -> (no such field)"]

"""The Makefile, in a folder of its own with a Python that only notes what it is asked for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
TARGETS = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()

SUPPORTED = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile and `python`, whose `-m venv` puts copies of itself where a real one puts programs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    copies = f'for it in python robo-rl ruff pyright; do cp {tmp_path}/python "$3/bin/$it"; done'
    (tmp_path / "python").write_text(
        f'#!/bin/sh\necho "${{0##*/}} $*" >> {tmp_path}/asked\n[ "$2" != venv ] || {{ mkdir -p "$3/bin"; {copies}; }}\n'
    )
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def run_make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make words` in `folder`, as a person would call it."""
    # Set by a `make` that runs these tests, whose flags are none of ours.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def make(folder: Path, *words: str) -> list[str]:
    """What the programs were asked for by `make words`."""
    asked = folder / "asked"
    asked.write_text("")
    done = run_make(folder, *words, f"PYTHON={folder / 'python'}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return asked.read_text().splitlines()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_made(checkout, target):
    make(checkout, "--dry-run", target)


def test_help_names_the_commands_a_newcomer_needs():
    said = run_make(ROOT, "help")
    assert {"make train", "make test", "make lint"} <= set(re.findall(r"make \w+", said.stdout))


def test_train_installs_pinned_versions_into_its_own_folder_once_and_trains(checkout):
    version, venv, install, train = make(checkout, "train")
    assert "version_info" in version
    assert venv == "python -m venv .venv"
    assert install.startswith("python -m pip install")
    assert install.endswith("-c constraints.txt -e .")
    assert train == "robo-rl train grasp_cube --run runs/grasp_cube"
    assert make(checkout, "train") == [train]


def test_train_takes_a_preset_a_folder_and_flags(checkout):
    last = make(checkout, "train", "PRESET=dmc", "RUN=runs/a", "FLAGS=--seed 1")[-1]
    assert last == "robo-rl train dmc --run runs/a --seed 1"


def test_test_installs_what_tests_need_and_runs_them_all(checkout):
    *_, install, test = make(checkout, "test")
    assert install.endswith("-c constraints.txt -e .[dev]")
    assert test == "python -m pytest -n auto --maxprocesses 4 --dist loadfile"
    # The tests' installation holds what training needs, so training installs nothing more.
    assert make(checkout, "train") == ["robo-rl train grasp_cube --run runs/grasp_cube"]


def test_a_changed_pin_is_installed(checkout):
    make(checkout, "train")
    later = (checkout / ".venv/installed").stat().st_mtime + 10
    os.utime(checkout / "constraints.txt", (later, later))
    assert any("pip install" in line for line in make(checkout, "train"))


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_the_pythons_that_are_required_are_taken_and_others_refused_by_name(checkout, version):
    code = f"import sys; sys.version_info = {(*version, 1)}; exec(sys.argv[1])"
    (checkout / "python").write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{code}" "$2"\nexit 3\n')
    done = run_make(checkout, "train", f"PYTHON={checkout / 'python'}")
    assert done.returncode != 0  # one that is taken cannot make an environment
    assert ("making a virtual environment" in done.stdout) == SUPPORTED.contains("{}.{}".format(*version))
    assert ("needs Python 3.11 or 3.12" in done.stdout) != SUPPORTED.contains("{}.{}".format(*version))
    assert not (checkout / ".venv").exists()

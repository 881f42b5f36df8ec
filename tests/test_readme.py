"""Every command in the README is run, at tiny size; every file, link and preset that the documents name exists."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from robo_rl import presets
from robo_rl.envs import needs_renderer
from robo_rl.render import usable_gl_backend
from tests.tiny import TINY_COMPARISON_FLAGS, tiny_flags

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"),
             *(ROOT / "launch").glob("*.md")]  # fmt: skip

TINY_EVALUATE = ["--episodes", "2"]
TINY_PLASTICITY = shlex.split("--steps 4 --measurements 2 --members 1 --inputs 20 --network.width 8 --losses mse")
TINY_RECORD = ["--episodes", "4", "--envs", "2", "--workers", "1", "--env.episode-steps", "20"]
TINY_SUITE = """
task: grasp/*
episodes: 4
block_episodes: 2
envs: 2
variations: {nominal: {}, slippery: {env: {variation: {friction_scale: 0.5}}}}
promotion: {min_episodes: 2}
"""


def commands(document: Path) -> list[list[str]]:
    """The words of each command in the sh blocks of `document`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def of_kind(*start: str) -> list[list[str]]:
    """The README's commands that begin with `start`."""
    return [words for words in commands(README) if tuple(words[: len(start)]) == start]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=280
    )


def test_every_command_is_of_a_kind_that_is_tested_here():
    known = len(of_kind("make")) + len(of_kind("pip", "install")) + len(of_kind("robo-rl"))
    assert [words for words in commands(README) if words[0] not in ("make", "pip", "robo-rl")] == []
    assert known == len(commands(README)) > 5


def test_the_two_commands_are_shown():
    assert of_kind("make")[:2] == [["make", "train"], ["make", "test"]]


@pytest.mark.parametrize("words", of_kind("make"), ids=" ".join)
def test_a_make_target_exists(words):
    # Without a rule, make is content with any file of that name, such as the folder `tests`.
    rules = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rules
    assert {word for word in words[1:] if "=" not in word} <= set(rules[1].split())
    done = run("make", "--dry-run", *words[1:])
    assert done.returncode == 0, done.stderr
    for word in words[1:]:
        if word.startswith("PRESET="):
            presets.load(presets.find(word.removeprefix("PRESET=")))


@pytest.mark.parametrize("words", of_kind("pip", "install"), ids=" ".join)
def test_a_pip_line_installs_this_project_with_extras_that_exist(words):
    arguments = words[2:]
    if "-c" in arguments:
        at = arguments.index("-c")
        assert (ROOT / arguments[at + 1]).is_file()
        del arguments[at : at + 2]
    targets = [argument for argument in arguments if argument not in ("-e", "--quiet")]
    assert len(targets) == 1
    target = targets[0].replace(".", project()["name"], 1)
    requirement = Requirement(target)
    assert requirement.name == project()["name"]
    assert requirement.extras <= project()["optional-dependencies"].keys()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_robo_rl_command_runs_in_its_order(tmp_path):
    first_run = value_of("--run", of_kind("robo-rl", "train")[0])
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "tiny.yaml").write_text(TINY_SUITE)
    for words in of_kind("robo-rl"):
        arguments, refusal = words[1:], None
        if arguments[0] == "train":
            # All as processes would take minutes; the first run is as a user has it.
            runtime = "local" if value_of("--run", words) == first_run else "inline"
            arguments += [*tiny_flags(words[2]), "--runtime", runtime]
            if needs_renderer(presets.parse(words[2], []).env) and usable_gl_backend() is None:
                refusal = "libegl1"
        elif arguments[0] == "compare":
            # One cell, and no field that may be an axis.
            arguments += [*TINY_COMPARISON_FLAGS, "--tasks", "suite/cartpole-balance", "--losses", "hl_gauss"]
        elif arguments[0] == "plasticity":
            arguments += TINY_PLASTICITY
        elif arguments[0] == "fleet":
            arguments += ["--suite", "tiny.yaml"]
        elif arguments[0] == "evaluate":
            arguments += TINY_EVALUATE
        elif arguments[:2] == ["data", "record"]:
            arguments += TINY_RECORD
        if {"--video", "--frames", "camera"} & set(arguments) and usable_gl_backend() is None:
            refusal = "libegl1"
        done = run(sys.executable, "-m", "robo_rl", *arguments, folder=tmp_path, PYTHONPATH=str(ROOT))
        said = f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        if refusal is not None:
            assert done.returncode == 2, said
            assert refusal in done.stderr
            continue
        assert done.returncode == 0, said
        for flag in ("--run", "--json", "--video", "--out", "--frames"):
            written = value_of(flag, words)
            assert written is None or (tmp_path / written).exists(), said


def value_of(flag: str, words: list[str]) -> str | None:
    return words[words.index(flag) + 1] if flag in words else None


@pytest.mark.parametrize("words", of_kind("robo-rl", "train"), ids=" ".join)
def test_the_flags_of_a_train_command_are_fields_of_its_preset(words):
    flags = words[3:]
    presets.flag_value(flags, "--run")
    presets.parse(words[2], flags)
    presets.parse(words[2], [*flags, *tiny_flags(words[2])])


def test_every_preset_is_in_the_readme_and_no_other():
    named = set(re.findall(r"`(\w+)`", README.read_text()))
    shipped = {file.stem for file in (ROOT / "configs").glob("*.yaml")}
    assert shipped <= named
    table = re.search(r"^\| preset \|.*\n((?:\|.*\n)+)", README.read_text(), re.MULTILINE)
    assert table
    assert set(re.findall(r"^\| `(\w+)`", table[1], re.MULTILINE)) == shipped


def test_every_extra_is_in_the_readme():
    named = set(re.findall(r"`(\w+)`", README.read_text()))
    assert project()["optional-dependencies"].keys() <= named


def without_blocks(document: Path) -> str:
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_image_exists(document):
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(document))
    relative = [target.partition("#")[0] for target in targets if not re.match(r"https?://|#", target)]
    assert [target for target in relative if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_named_in_the_text_exists(document):
    text = without_blocks(document)
    named = re.findall(r"`((?:robo_rl|tests|configs|docs|launch|assets)/[\w./*-]*)`", text)
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


def test_nothing_is_left_to_fill_in():
    for document in DOCUMENTS:
        assert not re.findall(r"@@\w*@@|TODO|FIXME|\bTBD\b", document.read_text()), document.name


def recipe_lines() -> list[tuple[str, str]]:
    """(file, line that the recipe takes out of it) of every diff in the README."""
    found = []
    for block in re.findall(r"^```diff\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL):
        file = ""
        for line in block.splitlines():
            if line.startswith("--- a/"):
                file = line.removeprefix("--- a/").split()[0]
            elif line.startswith("-"):
                found.append((file, line[1:]))
    return found


def test_a_recipe_changes_lines_and_files_that_exist():
    changed = re.findall(r"^--- a/(\S+)", README.read_text(), re.MULTILINE)
    assert len(changed) >= 3
    assert [name for name in changed if not (ROOT / name).is_file()] == []
    assert [(f, line) for f, line in recipe_lines() if line not in (ROOT / f).read_text().splitlines()] == []


def test_a_recipe_adds_files_that_are_not_there_yet_beside_some_that_are():
    for name in re.findall(r"^\+\+\+ b/(\S+)", README.read_text(), re.MULTILINE):
        assert not (ROOT / name).exists()
        assert list((ROOT / name).parent.glob(f"*{Path(name).suffix}"))

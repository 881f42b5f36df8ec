"""The rules of the house that a machine can check: floors, imports, documentation, sizes, nothing of this machine."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "robo_rl"

# Ground floor first. Modules of one group may import each other; groups side by side on a floor may not.
FLOORS: list[list[set[str]]] = [
    [{"specs", "compilation", "config", "errors", "files", "moments", "presets", "resources", "seeds", "render"}],
    [{"critics"}, {"networks"}],
    [{"replay"}, {"envs"}],
    [{"checkpoints"}, {"data"}, {"metrics"}],
    [{"agents"}],
    [{"roles"}],
    [{"experiment"}],
    [{"export"}],
    [{"runtimes"}, {"evaluation"}],
    [{"compare"}, {"fleet"}, {"recording"}],
    [{"doctor", "status"}],
    [{"commands"}],
    [{"cli", "__main__"}],
]
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 80
# A path or a registry of the machine someone worked on. Written so that no pattern matches itself.
PRIVATE = re.compile(
    r"(?<![\w.])/work/(?:main|shared|venv[s]|run[s])|/tmp/(?:task|bash)_|"
    r"(?<![\w.])/roo[t]/(?!\.)|(?<![\w.])/home/(?!user\b)\w+|"
    r"(?:--(?:extra-)?index-url|--find-links|index_ur[l])[ =]|https?://[^\s\"'/]+/(?:[^\s\"']*/)?simple\b"
)


def modules(root: Path) -> dict[str, Path]:
    """Module name below the package, e.g. `envs.grasp`, -> file; the package's own `__init__` is ``."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and module (below the package) of every import of our own code, also inside functions."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = [PACKAGE, *filter(None, package.split("."))]
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [base])])
            # `from robo_rl import specs` names a module, `from robo_rl.specs import EnvSpec` does not.
            names = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}".partition(".")[2] in known else base
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                yield node.lineno, name.partition(".")[2]


def place(module: str) -> tuple[int, int] | None:
    """Floor and group of a module; the package's own `__init__` (the version) lies below everything."""
    top = module.partition(".")[0]
    if not top:
        return -1, 0
    return next(((f, g) for f, groups in enumerate(FLOORS) for g, group in enumerate(groups) if top in group), None)


def violations(root: Path) -> list[str]:
    """Every import that does not go down, and every module without a floor."""
    known, found = modules(root), []
    for module, path in known.items():
        here = place(module)
        if here is None:
            found.append(f"{PACKAGE}/{module}: has no floor; add it to FLOORS and to the README")
            continue
        for number, target in imports(module, path, known):
            there = place(target)
            if there is None or not (there[0] < here[0] or there == here):
                found.append(f"{path.relative_to(root)}:{number}: {module or PACKAGE} may not import {target}")
    return found


def test_a_file_imports_only_from_floors_below_its_own():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "code", "allowed"),
    [
        ("envs/grasp.py", "from robo_rl.specs import EnvSpec", True),
        ("envs/grasp.py", "from robo_rl.envs.interface import Environment", True),
        ("envs/grasp.py", "from . import interface", True),
        ("envs/grasp.py", "import numpy, robo_rl_other.cli", True),
        ("envs/grasp.py", "from robo_rl import __version__", True),
        ("envs/grasp.py", "from robo_rl.replay.ring import add", False),
        ("envs/grasp.py", "from robo_rl import agents", False),
        ("envs/grasp.py", "from ..agents import sac", False),
        ("envs/grasp.py", "import robo_rl.agents.sac as s", False),
        ("envs/grasp.py", "def f():\n    from robo_rl.cli import main", False),
        ("envs/__init__.py", "from .interface import Environment", True),
        ("envs/__init__.py", "from ..roles import learner", False),
        ("specs.py", "from robo_rl.errors import UserError", True),
        ("specs.py", "from robo_rl.envs import interface", False),
        ("critics/mse.py", "from robo_rl.networks import mlp", False),
        ("cli.py", "from robo_rl import doctor, roles", True),
        ("__init__.py", "from robo_rl import specs", False),
        ("surprise.py", "", False),
    ],
)
def test_the_checker_finds_what_goes_up_or_sideways(tmp_path, file, code, allowed):
    for name in (
        "__init__", "specs", "errors", "envs/__init__", "envs/interface", "replay/ring", "agents/__init__",
        "agents/sac", "roles/__init__", "roles/learner", "networks/mlp", "doctor", "cli",
    ):  # fmt: skip
        path = tmp_path / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / PACKAGE / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / PACKAGE / file).write_text(code)
    assert (violations(tmp_path) == []) is allowed


def test_every_module_imports_without_a_screen_and_without_starting_jax():
    names = [f"{PACKAGE}.{name}" if name else PACKAGE for name in modules(ROOT) if name != "__main__"]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    # A platform that does not exist: whoever asks JAX for a device while being imported fails here.
    environment = {**os.environ, "MUJOCO_GL": "disabled", "JAX_PLATFORMS": "no_such_platform"}
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a body, and what is public inside those classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def undocumented(source: str) -> list[str]:
    """Modules, public classes and functions without a docstring, and arguments or results without a type."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["1: the module has no docstring"]
    for node in public(tree.body):
        if not ast.get_docstring(node):
            found.append(f"{node.lineno}: {node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            continue
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        bare = [arg.arg for arg in every if arg and arg.annotation is None and arg.arg not in ("self", "cls")]
        if node.returns is None:
            bare.append("its result")
        if bare:
            found.append(f"{node.lineno}: {node.name} lacks the type of {', '.join(bare)}")
    return found


@pytest.mark.parametrize("module", sorted(modules(ROOT)))
def test_what_is_public_is_documented_and_typed(module):
    assert undocumented(modules(ROOT)[module].read_text()) == []


def test_the_checker_finds_what_lacks_documentation_or_types():
    source = "\n".join(
        [
            "'A module.'",
            "def f(a, b: int):",
            "    'A function.'",
            "class C:",
            "    'A class.'",
            "    def g(self) -> None: pass",
            "def _h(x): pass",
        ]
    )
    assert undocumented(source) == ["2: f lacks the type of a, its result", "6: g has no docstring"]
    assert undocumented("x = 1") == ["1: the module has no docstring"]


def test_files_and_functions_stay_readable():
    found = []
    for path in modules(ROOT).values():
        source = path.read_text()
        if (lines := len(source.splitlines())) > MOST_FILE_LINES:
            found.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines")
    assert found == []


def tracked_files() -> list[Path]:
    """What git tracks; without git (an unpacked archive) every file of the source folders."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        folders = (PACKAGE, "tests", "configs", "launch", "docs", "assets")
        return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def test_no_file_names_this_machine_or_a_registry():
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, text in enumerate(content.decode(errors="replace").splitlines(), start=1):
            if match := PRIVATE.search(text):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("cd /work/" + "main", True),
        ("/home/" + "alice/runs", True),
        ("pip install --index-" + "url https://host.example x", True),
        ("https://host.example/a/b/" + "simple/", True),
        ("/home/user/runs", False),
        ("runs" + "/work" + "/main.py", False),
        ("https://arxiv.org/abs/2403.03950 is simple", False),
    ],
)
def test_the_pattern_for_private_names(text, private):
    assert bool(PRIVATE.search(text)) is private

"""The table of families: names in, environments out."""

import subprocess
import sys
from pathlib import Path

import pytest

from robo_rl.config import EnvConfig
from robo_rl.envs import FAMILIES, Family, make, make_batched, names, needs_renderer
from robo_rl.envs.batched import BatchLoop
from robo_rl.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_every_name_is_listed_once_under_its_family():
    listed = names()
    assert len(listed) == len(set(listed))
    assert {name.partition("/")[0] for name in listed} == set(FAMILIES)
    assert {"grasp/cube", "grasp/objects", "suite/cheetah-run", "manipulation/lift_brick_features"} <= set(listed)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("suite/cheeta-run", "suite/cheetah-run"),
        ("suite/cheetah_run", "suite/cheetah-run"),
        ("cheetah-run", "suite/cheetah-run"),
        ("grasp/cubes", "grasp/cube"),
        ("manipulation/lift_brick", "manipulation/lift_brick_features"),
        ("", "grasp/cube"),
    ],
)
def test_an_unknown_name_lists_the_nearest_and_the_forms(name, meant):
    for build in (lambda: make(name), lambda: make_batched(EnvConfig(name=name), 2)):
        with pytest.raises(ConfigError) as caught:
            build()
        message = str(caught.value)
        assert repr(name) in message
        assert meant in message.split("Nearest:")[1]
        assert "suite/<domain>-<task>" in message
        assert "manipulation/<name>" in message


def test_a_batch_needs_an_environment():
    with pytest.raises(ConfigError, match="at least 1"):
        make_batched(EnvConfig(name="suite/cartpole-swingup"), 0)


def test_a_family_is_one_line_and_a_native_batch_wins(monkeypatch):
    def cartpole(config: EnvConfig):
        return make(config.model_copy(update={"name": "suite/cartpole-swingup"}))

    native = object()
    monkeypatch.setitem(FAMILIES, "mine", Family("mine/<one>", lambda: ["mine/one"], cartpole))
    assert isinstance(make_batched(EnvConfig(name="mine/one"), 2), BatchLoop)
    assert "mine/one" in names()
    monkeypatch.setitem(
        FAMILIES, "mine", Family("mine/<one>", lambda: ["mine/one"], cartpole, lambda config, num_envs: native)
    )
    assert make_batched(EnvConfig(name="mine/one"), 2) is native


def test_importing_environments_imports_no_simulator():
    code = "import sys, robo_rl.envs; print(sorted({'mujoco', 'dm_control', 'jax'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("config", "draws"),
    [
        ({"name": "grasp/cube"}, False),
        ({"name": "grasp/objects", "observation": "camera"}, True),
        ({"name": "suite/cheetah-run"}, False),
        ({"name": "suite/quadruped-escape"}, True),
        ({"name": "manipulation/reach_site_features"}, False),
        ({"name": "manipulation/reach_site_vision"}, True),
        ({"name": "nothing/of-the-kind"}, False),
    ],
)
def test_who_needs_a_renderer(config, draws):
    assert needs_renderer(EnvConfig(**config)) is draws


def test_a_camera_is_refused_where_the_name_says_what_is_observed():
    with pytest.raises(ConfigError, match=r"env.observation is 'camera'.*suite/cheetah-run"):
        make(EnvConfig(name="suite/cheetah-run", observation="camera"))


def test_a_terminate_action_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match=r"suite/cartpole-swingup.*env\.terminate_action.*grasp"):
        make(EnvConfig(name="suite/cartpole-swingup", terminate_action=True))


@pytest.mark.parametrize("name", ["suite/cartpole-swingup", "manipulation/reach_site_features"])
@pytest.mark.parametrize("field", [{"reward": "sparse"}, {"step_penalty": 0.5}, {"camera_size": 128}])
def test_what_pays_and_what_is_seen_is_refused_where_the_name_says_it(name, field):
    with pytest.raises(ConfigError, match=f"env.{next(iter(field))} is .*only grasp tasks"):
        make_batched(EnvConfig(name=name, **field), 1)

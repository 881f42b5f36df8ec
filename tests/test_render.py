import subprocess

import pytest

from robo_rl import render
from robo_rl.errors import UserError
from robo_rl.render import GlProbe


@pytest.fixture
def works(monkeypatch):
    """Makes exactly the named back ends work."""

    def choose(*names):
        monkeypatch.setattr(render, "probe_gl_backend", lambda name: GlProbe(name, name in names, f"no {name} here"))

    return choose


@pytest.mark.parametrize(
    ("working", "chosen", "expected"),
    [
        (("egl", "osmesa"), None, "egl"),
        (("egl", "osmesa"), "osmesa", "osmesa"),
        (("egl", "osmesa"), "disabled", "egl"),
        (("osmesa",), "egl", "osmesa"),
        (("glfw",), None, "glfw"),
        ((), "egl", None),
    ],
)
def test_the_users_choice_goes_first_then_the_best_that_works(monkeypatch, works, working, chosen, expected):
    works(*working)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if chosen:
        monkeypatch.setenv("MUJOCO_GL", chosen)
    assert render.usable_gl_backend() == expected


def test_a_machine_that_cannot_draw_is_told_why_and_what_to_install(works):
    works()
    with pytest.raises(UserError, match=r"no egl here.*no osmesa here.*no glfw here.*libegl1 libgl1-mesa-dri"):
        render.require_gl_backend()


def test_the_probe_really_looks_at_the_frame(monkeypatch):
    backend = render.usable_gl_backend()
    if backend is None:
        pytest.skip("no GL back end on this machine")
    monkeypatch.setattr(render, "_PROBE", render._PROBE.replace("<geom type='box' size='.1 .1 .1'/>", ""))
    assert render.probe_gl_backend.__wrapped__(backend).reason == "AssertionError: the frame is blank"


def test_a_back_end_without_its_library_fails_with_its_own_words(monkeypatch):
    # A probe that dies the way MuJoCo does without the library.
    monkeypatch.setattr(render, "_PROBE", "raise AttributeError('no glGetError')")
    probe = render.probe_gl_backend.__wrapped__("osmesa")
    assert probe == GlProbe("osmesa", False, "AttributeError: no glGetError")


def test_a_probe_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(render, "_PROBE", "import time; time.sleep(600)")
    probe = render.probe_gl_backend.__wrapped__("egl", timeout=0.2)
    assert not probe.works
    assert "no frame within" in probe.reason


def test_a_probe_that_aborts_gives_its_status(monkeypatch):
    monkeypatch.setattr(render, "_PROBE", "import os; os.abort()")
    assert render.probe_gl_backend.__wrapped__("glfw").reason == "exit status -6"


def test_an_unknown_back_end_is_refused_before_a_process_starts(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(ValueError, match="egl, osmesa, glfw"):
        render.probe_gl_backend("vulkan")


def test_only_what_draws_asks_for_a_back_end(monkeypatch):
    monkeypatch.setattr(render, "require_gl_backend", lambda: "osmesa")
    for chosen, expected in ((None, "disabled"), ("glfw", "glfw")):
        monkeypatch.delenv("MUJOCO_GL", raising=False)
        if chosen:
            monkeypatch.setenv("MUJOCO_GL", chosen)
        assert render.gl_backend(draws=False) == expected
        assert render.gl_backend(draws=True) == "osmesa"

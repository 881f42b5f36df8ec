"""Which OpenGL back end can draw here: each is tried in a process of its own, because MuJoCo picks one at import."""

import functools
import os
import subprocess
import sys
from typing import NamedTuple

from robo_rl.errors import UserError

GL_BACKENDS = ("egl", "osmesa", "glfw")
"""What `MUJOCO_GL` may say for rendering, the best on a machine without a screen first."""

GL_ADVICE = (
    "On Debian or Ubuntu `apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri` gives one that needs no "
    "screen and no GPU (`libosmesa6` is another)."
)

# Creating a context on Mesa visits every core in turn and was seen to take most of a minute on busy ones.
PROBE_SECONDS = 60.0

_PROBE = """
import mujoco
scene = "<mujoco><worldbody><light pos='0 0 2'/><geom type='box' size='.1 .1 .1'/></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(scene)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
model.vis.quality.shadowsize = 0
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    frame = renderer.render()
assert frame.shape == (64, 64, 3) and frame.min() < frame.max(), "the frame is blank"
"""


class GlProbe(NamedTuple):
    """Whether one back end drew a frame, and why not: the last line of what it said."""

    backend: str
    works: bool
    reason: str


@functools.cache
def probe_gl_backend(backend: str, timeout: float = PROBE_SECONDS) -> GlProbe:
    """Render one 64 x 64 frame with `backend` in a process of its own; asked once per process and back end.

    Args:
        backend: one of GL_BACKENDS.
        timeout: after this long (s) the back end counts as broken.
    """
    if backend not in GL_BACKENDS:
        raise ValueError(f"No such GL back end: {backend!r}. Allowed: {', '.join(GL_BACKENDS)}.")
    environment = {**os.environ, "MUJOCO_GL": backend}
    # PyOpenGL reads its own variable, which may be left from another choice.
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return GlProbe(backend, False, f"no frame within {timeout:.0f} s")
    if done.returncode == 0:
        return GlProbe(backend, True, "")
    # The error itself: not its traceback, which is indented, and not what the interpreter says while it ends.
    said = [
        text for text in done.stderr.splitlines() if text.strip() and not text.startswith((" ", "Exception ignored"))
    ]
    return GlProbe(backend, False, said[-1].strip() if said else f"exit status {done.returncode}")


def usable_gl_backend() -> str | None:
    """The first back end that draws here, for `MUJOCO_GL`, or None; the user's own choice goes first.

    It answers and sets nothing. The caller puts the answer into the environment before anything imports mujoco.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    # `disabled` is how this program starts its state-only processes; it is no wish of the user about rendering.
    order = [chosen, *GL_BACKENDS] if chosen in GL_BACKENDS else GL_BACKENDS
    return next((backend for backend in order if probe_gl_backend(backend).works), None)


def gl_backend(draws: bool) -> str:
    """What `MUJOCO_GL` must say before mujoco is imported, in this process and in those it starts.

    `draws` says whether OpenGL will be needed; without that, the user's choice stands, and otherwise OpenGL is off.

    Raises:
        UserError: it is needed, and none draws here.
    """
    return require_gl_backend() if draws else os.environ.get("MUJOCO_GL", "disabled")


def require_gl_backend() -> str:
    """Like `usable_gl_backend`, for work that cannot be done without.

    Raises:
        UserError: none draws here; says why for each, and what to install.
    """
    backend = usable_gl_backend()
    if backend is None:
        reasons = "; ".join(f"{name}: {probe_gl_backend(name).reason}" for name in GL_BACKENDS)
        raise UserError(f"Nothing can render on this machine ({reasons}). {GL_ADVICE}")
    return backend

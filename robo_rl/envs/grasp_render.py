"""Pictures of one simulation of a batch. OpenGL is touched at the first frame, never before."""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

import atexit
import copy
import os
import sys
from collections.abc import Sequence

import mujoco
import mujoco.batch
import numpy as np

from robo_rl.envs.grasp_scene import CAMERAS
from robo_rl.errors import UserError

_MEND = (
    "Set MUJOCO_GL=egl (or osmesa) in the environment before Python starts; on Debian or Ubuntu that needs the "
    "packages libegl1 and libgl1-mesa-dri (or libosmesa6). `robo-rl doctor` says what this machine has."
)


class GraspRenderer:
    """Draws single simulations of a batch through one renderer, which is remade when the frame size changes.

    With `coarse`, round shapes have fewer facets. In frames of some 64 pixels nobody sees that, and the software
    rasteriser, which spends its time on vertices there, is three times as fast.
    """

    def __init__(self, model: mujoco.MjModel, coarse: bool = False) -> None:
        self._coarse = coarse
        # The renderer looks at this model; the simulation to draw is written into it before each frame.
        self._model = copy.copy(model)
        self._data = mujoco.MjData(self._model)
        self._renderer: mujoco.Renderer | None = None

    def frame(self, batch: mujoco.batch.Batch, index: int, height: int, width: int, camera: str) -> np.ndarray:
        """RGB frame, uint8 `[height, width, 3]`, of simulation `index` as the named camera sees it.

        Raises:
            ValueError: an index, camera or size that does not exist.
            UserError: this machine or process cannot render.
        """
        if not 0 <= index < batch.nsim:
            raise ValueError(f"there is no simulation {index}; the batch has 0..{batch.nsim - 1}")
        if camera not in CAMERAS:
            raise ValueError(f"there is no camera {camera!r}; the grasp scene has {' and '.join(CAMERAS)}")
        batch.get_model(index, self._model)
        batch.get_data(index, self._data)
        mujoco.mj_forward(self._model, self._data)
        renderer = self._open(height, width)
        renderer.update_scene(self._data, camera)
        return renderer.render()

    def frames(self, batch: mujoco.batch.Batch, ids: Sequence[int], size: int, camera: str) -> np.ndarray:
        """Square RGB frames, uint8 `[K, size, size, 3]`, of the simulations `ids`; raises what `frame` raises."""
        frames = np.empty((len(ids), size, size, 3), np.uint8)
        for place, index in enumerate(ids):
            frames[place] = self.frame(batch, index, size, size, camera)
        return frames

    def _open(self, height: int, width: int) -> mujoco.Renderer:
        """The renderer for frames of this size."""
        if self._renderer is not None and (self._renderer.height, self._renderer.width) != (height, width):
            self.close()
        if self._renderer is None:
            if self._coarse:
                quality = self._model.vis.quality
                quality.numslices, quality.numstacks, quality.numquads = 12, 6, 2
            self._renderer = open_renderer(self._model, height, width)
            # An OpenGL context that is left to the interpreter's end complains there.
            atexit.register(self.close)
        return self._renderer

    def close(self) -> None:
        """Free the OpenGL context; the next frame makes another."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
            atexit.unregister(self.close)


def open_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """A MuJoCo renderer for frames of this size.

    Raises:
        ValueError: a frame larger than the model's offscreen buffer.
        UserError: this machine or process cannot render.
    """
    backend = os.environ.get("MUJOCO_GL", "").lower()
    headless = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    if backend in ("disabled", "off", "false", "0") or (backend in ("", "glfw") and headless):
        # Without this check the first failure is obscure and a second attempt can abort the process.
        raise UserError(f"Cannot draw pictures: MUJOCO_GL is {backend or 'not set'!r} and there is no display. {_MEND}")
    try:
        return mujoco.Renderer(model, height=height, width=width)
    except (ImportError, AttributeError, RuntimeError, mujoco.FatalError) as error:
        raise UserError(f"Cannot draw pictures: MuJoCo found no OpenGL back end ({error}). {_MEND}") from error

"""What every test runs under: no rendering and no accelerator unless the caller asked for them, and quiet logs."""

import os

# Both are read at import, so they stand before any import of mujoco or jax; child processes inherit them.
os.environ.setdefault("MUJOCO_GL", "disabled")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import absl.logging
import hypothesis

absl.logging.set_verbosity(absl.logging.ERROR)

# On a machine that others use too, an example that took long says nothing about the code.
hypothesis.settings.register_profile("robo_rl", deadline=None)
hypothesis.settings.load_profile("robo_rl")

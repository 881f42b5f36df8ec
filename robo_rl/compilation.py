"""`jax.jit`, with what XLA's CPU compiler has to be told about this project's programs."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax

SEPARATE_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
"""Hands each matrix product to the kernel library by itself.

By default that library (YNNPACK, jaxlib 0.10) is also given sums, and products together with what follows them, for
which its code is slow: an update of QT-Opt takes 1.25 times as long, its search over actions up to 1.8 times
(`tests/benchmarks/compiler.py`, `cem.py`). SAC's updates cost the same either way.
"""


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit(function, **options)` for programs that learn or act, at full speed on CPUs too.

    Call it where processes are set up, not on import: it asks which devices there are.
    """
    if jax.default_backend() == "cpu" and _compiler_knows_option():
        return jax.jit(function, compiler_options=SEPARATE_PRODUCTS, **options)
    return jax.jit(function, **options)


@functools.cache
def _compiler_knows_option() -> bool:
    """Whether this jaxlib has it; one that has not is said, because it may be the slower for it."""
    try:
        jax.jit(lambda: 0, compiler_options=SEPARATE_PRODUCTS).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        warnings.warn(
            f"jax {jax.__version__} does not take the compiler option {next(iter(SEPARATE_PRODUCTS))} ({error}): "
            "QT-Opt may be slower on this CPU than with jax 0.10.2.",
            stacklevel=3,
        )
        return False
    return True

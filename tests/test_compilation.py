import warnings

import jax
import jax.numpy as jnp
import pytest

from robo_rl import compilation
from robo_rl.compilation import compiled


def products_and_sums(x: jax.Array) -> jax.Array:
    return jnp.sum(jax.nn.relu(x @ x) * x, axis=0) @ x


def test_results_are_those_of_jit_and_options_are_passed_on() -> None:
    x = jax.random.normal(jax.random.key(0), (64, 64))
    expected = jax.jit(products_and_sums)(x)
    assert jnp.allclose(compiled(products_and_sums)(x), expected, rtol=1e-5, atol=1e-4)
    donated = jnp.zeros(3)
    compiled(lambda x: x + 1, donate_argnums=0)(donated)
    assert donated.is_deleted()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the option is for CPUs")
def test_sums_are_left_to_the_compiler_on_a_cpu() -> None:
    x = jnp.ones((64, 64))
    text = compiled(products_and_sums).lower(x).compile().as_text()
    fused = [line for line in text.splitlines() if "__ynn_fusion" in line or "kind=kCustom" in line]
    assert fused, "no product was given to the library at all"
    assert not any("reduce_sum" in line for line in fused)


def test_a_compiler_without_the_option_is_said_once_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation._compiler_knows_option.cache_clear()
    monkeypatch.setattr(compilation, "SEPARATE_PRODUCTS", {"xla_of_another_year": "NO"})
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    try:
        with pytest.warns(UserWarning, match="xla_of_another_year"):
            program = compiled(lambda x: x + 1)
        assert program(1) == 2
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert compiled(lambda x: x + 2)(1) == 3
    finally:
        compilation._compiler_knows_option.cache_clear()


def test_accelerators_compile_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "jit", lambda function, **options: seen.update(options) or function)
    compiled(lambda x: x, donate_argnums=0)
    assert seen == {"donate_argnums": 0}

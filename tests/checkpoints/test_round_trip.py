"""What is saved comes back: bits, types, containers; and what does not fit is refused by name."""

import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robo_rl.checkpoints.hashes import write_hashes
from robo_rl.checkpoints.layout import ITEMS, committed_steps, restorable_steps
from robo_rl.checkpoints.reader import load_meta, load_policy, load_run
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import CheckpointError


class State(NamedTuple):
    params: Any
    optimiser: Any
    key: Any
    nothing: None
    updates: int


def make_run(seed: int = 0) -> dict[str, Any]:
    """A state with every kind of leaf that a run holds."""
    normal = jax.random.normal(jax.random.key(seed), (5, 3))
    params = {"kernel": normal, "half": normal.astype(jnp.bfloat16), "layers": (normal[0], [normal[1]])}
    return {
        "state": State(params, optax.adam(1e-3).init(params), jax.random.key(seed), None, seed + 7),
        "keys": jax.random.split(jax.random.key(seed, impl="rbg"), 3),
        "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "env_steps": np.int64(2**40 + seed),
        "full": np.array([True, False]),
        "ratio": 0.1,
        "held_back": True,
    }


def assert_same_bits(actual: Any, expected: Any) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(getattr(other, "dtype", None), jax.dtypes.prng_key):
            assert one.dtype == other.dtype
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        one, other = np.asarray(one), np.asarray(other)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Step 10 with the policy only, step 20 with the run."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with CheckpointWriter(folder, keep_newest=5, keep_best=0) as writer:
        writer.save(10, {"w": jnp.ones(2)}, None, {"config": {"a": 1}})
        writer.save(20, {"w": jnp.full(2, 2.0), "key": jax.random.key(3), "n": 4}, make_run(1), {})
    return folder


def test_steps_are_listed(folder):
    assert committed_steps(folder) == [10, 20]
    assert restorable_steps(folder) == [20]


def test_steps_of_a_missing_folder(tmp_path):
    assert committed_steps(tmp_path / "none") == restorable_steps(tmp_path / "none") == []


def test_run_comes_back_bit_for_bit(folder):
    restored = load_run(folder, 20, make_run(0))
    assert_same_bits(restored, make_run(1))
    assert isinstance(restored["state"], State)
    assert type(restored["state"].updates) is int
    assert type(restored["held_back"]) is bool
    assert isinstance(restored["images"], np.ndarray)
    assert isinstance(restored["state"].params["kernel"], jax.Array)


def test_policy_without_template_is_numpy(folder):
    policy = load_policy(folder, 20)
    np.testing.assert_array_equal(policy["w"], [2, 2])
    assert type(policy["w"]) is np.ndarray
    assert policy["n"] == 4
    np.testing.assert_array_equal(policy["key"], jax.random.key_data(jax.random.key(3)))


def test_abstract_template_lands_on_this_machine(folder):
    policy = load_policy(folder, 10, {"w": jax.ShapeDtypeStruct((2,), jnp.float32)})
    assert policy["w"].devices() == {jax.devices()[0]}


def test_meta(folder):
    assert load_meta(folder, 10) == {"config": {"a": 1}, "step": 10, "format": 1}


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointWriter("checkpoints", keep_newest=1, keep_best=0) as writer:
        writer.save(1, {"w": jnp.ones(2)}, None, {})
    np.testing.assert_array_equal(load_policy("checkpoints", 1)["w"], [1, 1])


@pytest.mark.parametrize("item", ["policy", "run"])
def test_step_or_item_that_is_not_there(folder, item):
    load = {"policy": load_policy, "run": load_run}[item]
    with pytest.raises(CheckpointError, match=r"no committed step 15; it holds \[10, 20\]"):
        load(folder, 15, {})
    with pytest.raises(CheckpointError, match=r"holds no 'run'; the steps that do are \[20\]"):
        load_run(folder, 10, {})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda run: {**run, "images": run["images"][:1]},
            r"images: stored uint8\[2, 3, 4\], expected uint8\[1, 3, 4\]",
        ),
        (lambda run: {**run, "full": run["full"].astype(int)}, r"full: stored bool\[2\], expected int64\[2\]"),
        (lambda run: {**run, "more": jnp.ones(1)}, r"more: stored not, expected float32\[1\]"),
        (lambda run: {k: v for k, v in run.items() if k != "full"}, r"full: stored bool\[2\], expected not"),
        (lambda run: {**run, "keys": jax.random.split(jax.random.key(0), 3)}, r"keys: stored uint32\[3, 4\]"),
        (lambda run: {**run, "state": run["state"]._replace(key=jnp.zeros(2, jnp.uint32))}, "state.key"),
        (lambda run: {**run, "keys": jax.random.split(jax.random.key(0, impl="unsafe_rbg"), 3)}, "keys"),
    ],
)
def test_template_that_does_not_fit_is_refused_by_name(folder, change, named):
    with pytest.raises(CheckpointError, match=named):
        load_run(folder, 20, change(make_run()))


def test_newer_format_is_refused(folder, monkeypatch):
    monkeypatch.setattr("robo_rl.checkpoints.reader.FORMAT_VERSION", 0)
    with pytest.raises(CheckpointError, match="checkpoint format 1, this program reads up to 0"):
        load_meta(folder, 20)


def test_checkpoint_of_another_device_is_restored(folder, tmp_path):
    """Rewrite the stored device name, and the hashes with it, to what an accelerator would have left."""
    shutil.copytree(folder, tmp_path / "copy")
    for sharding in (tmp_path / "copy" / "20").rglob("_sharding"):
        text = sharding.read_text()
        assert "cpu:0" in text
        sharding.write_text(text.replace("cpu:0", "cuda:0"))
    write_hashes(tmp_path / "copy" / "20", ITEMS)
    assert_same_bits(load_run(tmp_path / "copy", 20, make_run(0)), make_run(1))
    np.testing.assert_array_equal(load_policy(tmp_path / "copy", 20)["w"], [2, 2])


def test_buffers_may_be_donated_and_overwritten_right_after_save(tmp_path):
    # Orbax copies NumPy arrays; it may go on reading a JAX buffer, and JAX then donates a copy instead.
    count = 4_000_000
    replace = jax.jit(lambda x: x + 1, donate_argnums=0)
    for step in range(1, 4):
        donated, overwritten = jnp.arange(count), np.arange(count)
        small = [jnp.full(100, index) for index in range(50)]
        with CheckpointWriter(tmp_path / str(step), keep_newest=1, keep_best=0) as writer:
            writer.save(step, {"w": jnp.ones(1)}, {"a": donated, "b": overwritten, "c": small}, {})
            replace(donated).block_until_ready()
            overwritten[:] = -1
            small = [replace(array) for array in small]
        run = load_run(
            tmp_path / str(step), step, {"a": np.arange(count, dtype=np.int32), "b": overwritten, "c": small}
        )
        np.testing.assert_array_equal(run["a"], np.arange(count))
        np.testing.assert_array_equal(run["b"], np.arange(count))
        assert all((array == index).all() for index, array in enumerate(run["c"]))

"""What a search costs beside the matrix products in it: `python tests/benchmarks/cem.py [REPETITIONS]`.

256 states, 64 samples, 2 iterations, on Q-networks with two layers of 256 units. The same products are run plainly:
samples through the first layer, through the second, through the head, twice. Both are measured in turn, so that other
work on the machine meets both alike; the ratio is printed as the median over repetitions and its 10 and 90 %
quantiles, in wall-clock time and in CPU time.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from robo_rl.agents.cem import maximise
from robo_rl.compilation import compiled
from robo_rl.config import EnvConfig, HeadConfig, NetworkConfig, SearchConfig
from robo_rl.critics import make_head
from robo_rl.envs.grasp_task import make_spec
from robo_rl.networks.q_network import make_q_network

STATES, WIDTH, SEARCH = 256, 256, SearchConfig()
CASES = {
    "one output": ("mse", False),
    "one output, LayerNorm": ("mse", True),
    "HL-Gauss, 51 bins": ("hl_gauss", False),
    "HL-Gauss, 51 bins, LayerNorm": ("hl_gauss", True),
}


def search_program(loss: str, layer_norm: bool):
    """The jitted search without arguments, and how many head outputs it has."""
    spec = make_spec(EnvConfig())
    head = make_head(HeadConfig(loss=loss, bins=51), (0.0, 10.0))
    network = make_q_network(NetworkConfig(width=WIDTH, depth=2, layer_norm=layer_norm), spec, head.num_outputs)
    params = network.init(jax.random.key(0), jnp.zeros(head.num_outputs))
    params = jax.tree.map(lambda x: x + 0.05 * jax.random.normal(jax.random.key(1), x.shape), params)
    features = jax.random.normal(jax.random.key(2), (STATES, WIDTH))
    value = jax.vmap(jax.vmap(head.value))

    def search(params, features, key):
        def evaluate(actions):
            return value(network.value(params, features, actions))

        return maximise(evaluate, key, STATES, spec.action.shape[0], SEARCH)

    program = compiled(search)
    return lambda: program(params, features, jax.random.key(3)), spec.action.shape[0], head.num_outputs


def products_program(actions: int, outputs: int):
    """The jitted matrix products of that search without arguments, and their floating-point operations."""
    rows, shapes = STATES * SEARCH.samples, [(actions, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs)]
    keys = jax.random.split(jax.random.key(4), 6)
    inputs = [jax.random.normal(key, (rows, shape[0])) for key, shape in zip(keys[:3], shapes, strict=True)]
    kernels = [jax.random.normal(key, shape) for key, shape in zip(keys[3:], shapes, strict=True)]
    program = jax.jit(lambda inputs, kernels: [x @ kernel for x, kernel in zip(inputs, kernels, strict=True)])
    operations = 2 * rows * sum(a * b for a, b in shapes) * SEARCH.iterations
    return lambda: [program(inputs, kernels) for _ in range(SEARCH.iterations)], operations


def seconds(run) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Prints two lines per case."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    jax.config.update("jax_default_matmul_precision", "highest")
    print(f"{STATES} states x {SEARCH.samples} samples x {SEARCH.iterations} iterations, {repetitions} repetitions")
    for name, (loss, layer_norm) in CASES.items():
        search, actions, outputs = search_program(loss, layer_norm)
        products, operations = products_program(actions, outputs)
        for run in (search, products):
            seconds(run)
        times = np.array([[seconds(products), seconds(search)] for _ in range(repetitions)])
        for column, clock in enumerate(("wall clock", "CPU time")):
            plain, searched = times[:, 0, column], times[:, 1, column]
            low, middle, high = np.percentile(plain / searched, [10, 50, 90])
            print(
                f"{name:29} {clock:10}: products {operations / np.median(plain) / 1e9:6.1f}, search "
                f"{operations / np.median(searched) / 1e9:6.1f} GFLOP/s: {middle:4.0%} [{low:.0%}, {high:.0%}]",
                flush=True,
            )


if __name__ == "__main__":
    main()

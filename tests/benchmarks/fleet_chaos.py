"""Two minutes of chaos with the real thing: `python tests/benchmarks/fleet_chaos.py [SECONDS]` from the checkout.

A tiny grasp run is trained while 4 workers judge its 10 checkpoints; workers are killed every 3 s or so, the trainer
and the coordinator once. Then one undisturbed worker judges the same checkpoints, and both sets of files must be equal
to the last byte. Prints what was done; fails where a file is missing, differs, or is left over.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from robo_rl.checkpoints.layout import committed_steps
from tests.fleet import chaos, stub
from tests.runtimes.local_run import TINY

EVERY, CHECKPOINTS = 600, 10
CONFIG = {
    **TINY,
    "env": {"name": "grasp/cube"},
    "checkpoint": {"policy_every": EVERY, "run_every": EVERY, "keep_newest": CHECKPOINTS},
    "evaluation": {"enabled": False},
    "env_steps": EVERY * CHECKPOINTS,
}
SUITE = {
    "task": "grasp/*",
    "episodes": 400,
    "block_episodes": 100,
    "envs": 10,
    "variations": {"shaped": {}, "sparse": {"env": {"reward": "sparse"}}},
}


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
        (folder / "chaos.yaml").write_text(yaml.safe_dump(SUITE))
        robo_rl = [sys.executable, "-m", "robo_rl"]
        train = [*robo_rl, "train", str(folder / "tiny.yaml"), "--run", str(folder / "run")]
        judge = [*robo_rl, "fleet", "--suite", str(folder / "chaos.yaml")]
        disturbed = [*judge, str(folder / "run"), "--workers", "4", "--stop-when-done"]
        start = time.monotonic()
        run, killed, said = chaos.chaos(folder, train, disturbed, seconds, pause=3.0)
        print(f"{time.monotonic() - start:.0f} s, {killed} workers killed, coordinator and trainer once each")
        print(f"checkpoints: {committed_steps(run.checkpoints)}")
        print(f"notes of lost checkpoints: {said.count('removed') + said.count('no longer')}")
        left = chaos.leftovers(run)
        quiet = chaos.quiet_copy(run, folder / "quiet")
        subprocess.run([*judge, str(quiet.path), "--workers", "1"], check=True, stdout=subprocess.DEVNULL)
        found, expected = stub.tree(run.evaluations), stub.tree(quiet.evaluations)
        blocks = sum(Path(file).stem.isdecimal() for file in found)
        print(
            f"{blocks} blocks and {len(found) - blocks} other files; equal to the undisturbed ones: {found == expected}"
        )
        print(f"left over: {left or 'nothing'}")
        assert found == expected, sorted(file for file in found | expected if found.get(file) != expected.get(file))
        assert not left, "temporary files are left"


if __name__ == "__main__":
    main()

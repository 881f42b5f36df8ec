"""Half a minute in which workers, the coordinator and the trainer are killed; the long version is a benchmark."""

import sys

import pytest

from robo_rl.checkpoints.layout import committed_steps
from robo_rl.fleet.blocks import merge
from robo_rl.fleet.coordinator import run_fleet
from tests.fleet import chaos, stub
from tests.fleet.test_coordinator import Inline


@pytest.mark.slow
def test_every_block_once_and_the_same_to_the_last_bit_whoever_is_killed(tmp_path):
    commands = [[sys.executable, "-m", "tests.fleet.chaos", part, str(tmp_path / "run")] for part in ("train", "fleet")]
    run, killed, said = chaos.chaos(tmp_path, *commands, seconds=16, pause=0.8)
    assert killed >= 4
    assert "killed by SIGKILL" in said
    assert committed_steps(run.checkpoints) == list(range(100, 1001, 100))
    assert chaos.leftovers(run) == []
    quiet = chaos.quiet_copy(run, tmp_path / "quiet")
    run_fleet([quiet], lambda run: chaos.SUITE, Inline(), 1, (stub.evaluate, merge), report=lambda note: None)
    disturbed = stub.tree(run.evaluations)
    blocks = chaos.CHECKPOINTS * 2 * chaos.SUITE.blocks
    assert len(disturbed) == blocks + chaos.CHECKPOINTS * 2 + 1
    assert disturbed == stub.tree(quiet.evaluations)

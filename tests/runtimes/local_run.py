"""Starts `robo-rl train` as a user would, on a run so small that it takes seconds, and looks at it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from robo_rl.checkpoints.run_folder import RunFolder
from robo_rl.metrics.sinks import read_rows

FAULTY = Path(__file__).parent / "faulty"

TINY = {
    "env": {"name": "faulty/fine"},
    "agent": {
        "actor_network": {"width": 8, "depth": 1},
        "critic_network": {"width": 8, "depth": 1},
        "critic": {"bins": 11},
    },
    "replay": {"capacity": 2000},
    "learner": {"batch_size": 8, "warmup_env_steps": 100, "updates_per_dispatch": 4, "updates_per_env_step": 0.2},
    "actor": {"envs": 2, "chunk_steps": 5, "max_restarts": 2},
    "checkpoint": {"policy_every": 1000, "run_every": 2000, "keep_newest": 3},
    "evaluation": {"episodes": 2, "final_episodes": 3, "envs": 2},
    "log_every": 200,
    "env_steps": 100_000_000,
}


def config_file(folder: Path, **changes) -> Path:
    """A YAML file of the tiny run, with whole sections updated."""
    config = {**TINY}
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


# Becomes the command that follows, under a limit on the size of files.
LIMITED = """
import os, resource, sys
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
"""


class LocalRun:
    """A training process and its children; killed, with all of them, when the block ends."""

    def __init__(self, folder: Path, *flags: str, most_file_bytes: int | None = None, **changes) -> None:
        # A limit on the size of a file fails writes as a full disk does, in this process tree alone.
        self.run = RunFolder(folder / "run")
        self.command = [
            *(sys.executable, "-m", "robo_rl", "train", str(config_file(folder, **changes))),
            *("--run", str(self.run.path), *flags),
        ]
        if most_file_bytes is not None:
            self.command = [sys.executable, "-c", LIMITED, str(most_file_bytes), *self.command]
        self.output = folder / "output.txt"

    def __enter__(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FAULTY), os.getcwd()])}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                self.command,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            for pid in self.status().get("processes", {}).values():
                kill(pid)
            self.process.kill()
            self.process.wait()

    def status(self) -> dict:
        return self.run.status() or {}

    def pid(self, name: str) -> int | None:
        return self.status().get("processes", {}).get(name)

    def rows(self) -> list[dict]:
        return read_rows(self.run.metrics_file) if self.run.metrics_file.exists() else []

    def env_steps(self) -> int:
        rows = self.rows()
        return rows[-1]["env_steps"] if rows else 0

    def wait_for(self, what, reason: str, seconds: float = 90):
        """Poll until `what()` is true; its value. Fails early if the process ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = what()
            if value:
                return value
            assert self.process.poll() is None, f"ended while waiting for {reason}:\n{self.said()}"
            time.sleep(0.1)
        raise AssertionError(f"no {reason} within {seconds} s:\n{self.said()}")

    def wait_until_trained(self, more: int = 400) -> None:
        """Until `more` environment steps were taken from now on."""
        start = self.env_steps()
        self.wait_for(lambda: self.env_steps() >= start + more, f"{more} more environment steps")

    def end(self, seconds: float = 60) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(seconds)

    def said(self) -> str:
        return self.output.read_text()

    def family(self) -> list[int]:
        return [self.process.pid, *self.status().get("processes", {}).values()]

    def leftovers(self) -> list[Path]:
        """Temporary files in the run folder."""
        return [path for path in self.run.path.rglob("*") if "tmp" in path.name or path.name == ".deleted"]


def kill(pid: int) -> None:
    """SIGKILL, if the process is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until_gone(pids: list[int], seconds: float) -> list[int]:
    """Those of `pids` that are still alive after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.1)
    return [pid for pid in pids if is_alive(pid)]


def record(path: Path) -> dict:
    return json.loads(path.read_text())

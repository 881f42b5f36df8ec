"""The scripts that start a run on each kind of machine, run against stand-ins for what a test machine lacks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"

# Says what it was started with, then waits for SIGTERM, needs a while to end, and ends with 0.
STAND_IN = """#!/usr/bin/env bash
trap 'sleep 0.3; echo committed; exit {code}' TERM
echo "started $*"; touch ready
while :; do sleep 0.05; done
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("script", sorted(LAUNCH.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_executable_and_has_no_syntax_error(script):
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_readme_names_every_way_to_start():
    text = (LAUNCH / "README.md").read_text()
    for file in LAUNCH.iterdir():
        assert file.name == "README.md" or file.name in text


@pytest.mark.parametrize(("code", "requeued"), [(0, True), (1, False)])
def test_slurm_a_signal_commits_and_only_a_clean_end_goes_back_into_the_queue(tmp_path, code, requeued):
    executable(tmp_path / ".venv/bin/robo-rl", STAND_IN.format(code=code))
    executable(tmp_path / "bin/scontrol", '#!/bin/sh\necho "scontrol $*"\n')
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "7",
    }
    job = subprocess.Popen(
        ["bash", LAUNCH / "slurm.sh", "grasp_cube", "--seed", "1"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    job.send_signal(signal.SIGTERM)  # an impatient cluster: the second one must not cut the commit short
    said, _ = job.communicate(timeout=20)
    assert said.splitlines() == [
        "started train grasp_cube --seed 1",
        "committed",
        *(["scontrol requeue 7"] if requeued else []),
    ]
    assert job.returncode == code


def test_slurm_a_run_that_ends_by_itself_is_not_queued_again(tmp_path):
    executable(tmp_path / ".venv/bin/robo-rl", "#!/bin/sh\nexit 3\n")
    environment = {**os.environ, "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", LAUNCH / "slurm.sh", "grasp_cube"], env=environment, timeout=20)
    assert done.returncode == 3


def test_slurm_the_warning_comes_earlier_than_the_longest_commit():
    from robo_rl.runtimes.local import STOP_DEADLINE_SECONDS

    match = re.search(r"^#SBATCH --signal=B:TERM@(\d+)$", (LAUNCH / "slurm.sh").read_text(), re.MULTILINE)
    assert match
    assert int(match[1]) > STOP_DEADLINE_SECONDS


def test_local_makes_an_environment_installs_and_trains(tmp_path):
    # A checkout whose Python only notes what it is asked for.
    executable(tmp_path / "launch/local.sh", (LAUNCH / "local.sh").read_text())
    note = f'#!/bin/sh\nprintf "%s\\n" "$0 $*" >> {tmp_path}/asked\n'
    executable(tmp_path / "python", note + f'[ "$2" != venv ] || {{ mkdir -p "$3/bin"; cp {tmp_path}/python "$3/bin"; '
               f'cp {tmp_path}/python "$3/bin/robo-rl"; }}\n')  # fmt: skip
    environment = {**os.environ, "PYTHON": str(tmp_path / "python"), "EXTRAS": "cuda"}
    command = [tmp_path / "launch/local.sh", "grasp_objects", "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    version, venv, pip, train = (tmp_path / "asked").read_text().splitlines()
    assert "version_info" in version
    assert venv.endswith("-m venv .venv")
    assert pip.endswith("-c constraints.txt -e .[cuda]")
    assert train.endswith("/.venv/bin/robo-rl train grasp_objects --seed 1")


def test_local_refuses_an_old_python(tmp_path):
    executable(tmp_path / "old", f'#!/bin/sh\nexec {sys.executable} -c "raise SystemExit(1)"\n')
    done = subprocess.run(
        [LAUNCH / "local.sh"], env={**os.environ, "PYTHON": str(tmp_path / "old")}, capture_output=True, timeout=20
    )
    assert done.returncode == 2
    assert b"3.11" in done.stderr


def test_the_dockerfile_copies_what_exists_and_starts_the_command_itself():
    lines = (LAUNCH / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    copied = {name for word, rest in instructions if word == "COPY" for name in rest.split()[:-1]}
    for name in copied:
        assert (ROOT / name).exists()
    # What the wheel is built from: see pyproject.toml.
    assert {"pyproject.toml", "README.md", "LICENSE", "robo_rl", "configs", "assets", "constraints.txt"} <= copied
    # A list, not a shell line: only so does a signal reach the program.
    assert json.loads(dict(instructions)["ENTRYPOINT"]) == ["robo-rl"]
    assert instructions[0][0] == "FROM"

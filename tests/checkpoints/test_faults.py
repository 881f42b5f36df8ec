"""Damage, full disks, kills and readers in the way of clean-up: never silent, and the step before stands."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from robo_rl.checkpoints.layout import committed_steps, remove_unfinished
from robo_rl.checkpoints.reader import load_meta, load_policy, load_run
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import CheckpointError

POLICY = {"w": jnp.arange(300.0), "b": jnp.ones(3)}
RUN = {"replay": jnp.arange(5000), "count": 3}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Steps 1 and 2, both whole."""
    folder = tmp_path_factory.mktemp("good")
    with CheckpointWriter(folder, keep_newest=2, keep_best=0) as writer:
        for step in (1, 2):
            writer.save(step, POLICY, RUN, {})
    return folder


def load_everything(folder, step):
    load_meta(folder, step)
    load_policy(folder, step, POLICY)
    load_run(folder, step, RUN)


def flip_a_byte(path, place):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "first byte": lambda path: flip_a_byte(path, 0),
    "middle byte": lambda path: flip_a_byte(path, 0.5),
    "last byte": lambda path: flip_a_byte(path, 1),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "missing": pathlib.Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_to_any_file_is_named(good, tmp_path, damage):
    files = [path.relative_to(good) for item in ("meta", "policy", "run") for path in (good / "2" / item).rglob("*")]
    files = [path for path in files if (good / path).is_file()]
    assert len(files) > 15
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    for file in files:
        damage(tmp_path / file)
        with pytest.raises(CheckpointError) as caught:
            load_everything(tmp_path, 2)
        assert str(tmp_path / file) in str(caught.value)
        assert "newest good step before it is 1" in str(caught.value)
        shutil.copy(good / file, tmp_path / file)
    load_everything(tmp_path, 2)


def test_damaged_hashes(good, tmp_path):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    for place in np.linspace(0, 1, 40):
        shutil.copy(good / "2" / "hashes.json", tmp_path / "2" / "hashes.json")
        flip_a_byte(tmp_path / "2" / "hashes.json", place)
        with pytest.raises(CheckpointError, match=r"hashes\.json|is damaged|is missing"):
            load_everything(tmp_path, 2)
    (tmp_path / "2" / "hashes.json").unlink()
    assert committed_steps(tmp_path) == [1]


def test_missing_item_names_the_file(good, tmp_path):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "2" / "run")
    load_policy(tmp_path, 2)
    with pytest.raises(CheckpointError, match=r"2/run/.* is missing.*newest good step before it is 1"):
        load_run(tmp_path, 2, RUN)


def test_good_step_offered_is_really_good(good, tmp_path):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    for step in ("1", "2"):
        flip_a_byte(tmp_path / step / "policy" / "_METADATA", 0.5)
    with pytest.raises(CheckpointError, match="There is no earlier good step"):
        load_policy(tmp_path, 2)


def test_damage_outside_the_items_stops_neither_reader_nor_writer(good, tmp_path):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    (tmp_path / "2" / "_CHECKPOINT_METADATA").write_bytes(b"\0\1")
    (tmp_path / "2" / "commit_success.txt").unlink()
    load_everything(tmp_path, 2)
    with CheckpointWriter(tmp_path, keep_newest=2, keep_best=0) as writer:
        writer.save(3, POLICY, None, {})
    assert committed_steps(tmp_path) == [2, 3]


@pytest.mark.parametrize("step", [1, 2])
def test_same_or_older_step_is_refused(good, step):
    with (
        CheckpointWriter(good, keep_newest=2, keep_best=0) as writer,
        pytest.raises(CheckpointError, match=f"Step {step} cannot be saved.*already holds step 2"),
    ):
        writer.save(step, POLICY, None, {})


def test_folder_under_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be used"):
        CheckpointWriter(tmp_path / "file" / "checkpoints", keep_newest=1, keep_best=0)


@pytest.mark.parametrize(
    ("policy", "meta", "reason"),
    [
        ({"empty": jnp.zeros((0, 2))}, {}, r"policy\.empty has shape \(0, 2\)"),
        ({"names": [1, "text"]}, {}, r"policy\.names\.1 is a str"),
        ({"names": np.array([None])}, {}, r"policy\.names has .* dtype object"),
        (POLICY, {"array": np.ones(2)}, "not JSON"),
        (POLICY, {"nan": float("nan")}, "not JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_the_next_save_works(tmp_path, policy, meta, reason):
    with CheckpointWriter(tmp_path, keep_newest=3, keep_best=0) as writer:
        writer.save(1, POLICY, None, {})
        with pytest.raises(CheckpointError, match=reason):
            writer.save(2, policy, None, meta)
        assert committed_steps(tmp_path) == [1]
        writer.save(2, POLICY, None, {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2"]
    load_policy(tmp_path, 2, POLICY)


def test_failure_in_the_background_is_raised_at_the_next_call(tmp_path, monkeypatch):
    with CheckpointWriter(tmp_path, keep_newest=1, keep_best=0) as writer:
        writer.save(1, POLICY, RUN, {})
        writer.wait()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("robo_rl.checkpoints.writer.write_hashes", full)
        writer.save(2, POLICY, RUN, {})
        with pytest.raises(CheckpointError, match=r"Saving step 2 .*No space left on device.*committed step is 1"):
            writer.save(3, POLICY, RUN, {})
        assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
        monkeypatch.undo()
        writer.save(3, POLICY, RUN, {})
    assert committed_steps(tmp_path) == [3]
    load_everything(tmp_path, 3)


def test_folder_that_vanishes_under_the_writer(tmp_path):
    folder = tmp_path / "checkpoints"
    writer = CheckpointWriter(folder, keep_newest=1, keep_best=0)
    shutil.rmtree(folder)
    folder.write_text("")
    with pytest.raises(CheckpointError, match="cannot be listed"):
        writer.save(1, POLICY, None, {})
    writer.close()


def test_close_raises_what_the_last_save_failed_with(tmp_path, monkeypatch):
    monkeypatch.setattr("robo_rl.checkpoints.writer.write_hashes", lambda *_: 1 / 0)
    writer = CheckpointWriter(tmp_path, keep_newest=1, keep_best=0)
    writer.save(1, POLICY, None, {})
    with pytest.raises(CheckpointError, match=r"Saving step 1 .*division by zero.*no step is committed"):
        writer.close()


def run_script(script, folder):
    """Start a Python process that writes checkpoints into `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


FULL_DISK = """
import resource, signal, sys
import numpy as np
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8)
with CheckpointWriter(sys.argv[1], 2, 0) as writer:
    writer.save(1, {"w": np.ones(3)}, {"r": noise}, {})
    writer.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    writer.save(2, {"w": np.ones(3)}, {"r": noise}, {})
    try:
        writer.wait()
    except CheckpointError as error:
        print("refused:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.save(3, {"w": np.ones(3)}, {"r": noise}, {})
"""


def test_file_that_cannot_grow(tmp_path):
    """A limit on file size fails writes as a full disk does."""
    process = run_script(FULL_DISK, tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "refused: Saving step 2" in output
    assert "newest committed step is 1" in output
    assert committed_steps(tmp_path) == [1, 3]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "3"]


NOTHING_TO_SAY = """
import sys
import numpy as np
from robo_rl.checkpoints.reader import load_meta, load_policy, load_run
from robo_rl.checkpoints.writer import CheckpointWriter
from robo_rl.errors import CheckpointError
tree = {"w": np.ones(3)}
with CheckpointWriter(sys.argv[1], 1, 0) as writer:
    for step in range(3):
        writer.save(step, tree, tree, {})
    try:
        writer.save(3, {"name": "text"}, tree, {})
    except CheckpointError as error:
        print("refused:", error)
load_meta(sys.argv[1], 2)
load_policy(sys.argv[1], 2)
load_run(sys.argv[1], 2, tree)
"""


def test_nothing_is_logged_and_no_thread_outlives_a_refused_save(tmp_path):
    """With logging as any program starts with; the process would hang if a thread of the refused save went on."""
    output, errors = run_script(NOTHING_TO_SAY, tmp_path).communicate(timeout=60)
    assert "refused: policy.name is a str" in output
    assert errors == ""


KILLED = """
import sys
import numpy as np
from robo_rl.checkpoints.writer import CheckpointWriter
noise = np.random.default_rng(0).integers(0, 256, 30_000_000, np.uint8)
with CheckpointWriter(sys.argv[1], 2, 0) as writer:
    writer.save(1, {"w": np.ones(3)}, {"r": noise[:10]}, {})
    writer.wait()
    print("saved", flush=True)
    for step in range(2, 1000):
        writer.save(step, {"w": np.ones(3)}, {"r": noise}, {})
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15])
def test_kill_in_the_middle_of_saving(tmp_path, delay):
    """Whatever the kill hits, the newest listed step is whole, and a new writer goes on from it."""
    process = run_script(KILLED, tmp_path)
    assert process.stdout.readline() == "saved\n"
    threading.Event().wait(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    steps = committed_steps(tmp_path)
    assert steps
    np.testing.assert_array_equal(load_policy(tmp_path, steps[-1])["w"], np.ones(3))
    load_run(tmp_path, steps[-1], {"r": np.zeros(10 if steps[-1] == 1 else 30_000_000, np.uint8)})
    remove_unfinished(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} <= {*map(str, steps), ".deleted"}
    with CheckpointWriter(tmp_path, keep_newest=1, keep_best=0) as writer:
        writer.save(steps[-1] + 1, POLICY, RUN, {})
    assert committed_steps(tmp_path) == [steps[-1] + 1]


def test_leftover_of_a_killed_save_is_no_step_and_is_removed(good, tmp_path):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    shutil.move(tmp_path / "2", tmp_path / "2.orbax-checkpoint-tmp")
    assert committed_steps(tmp_path) == [1]
    assert remove_unfinished(tmp_path) == [tmp_path / "2.orbax-checkpoint-tmp"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_reading_during_clean_up_gives_a_whole_step_or_a_clear_error(tmp_path):
    """A reader that follows a writer which keeps one step only: every value read is that of its step."""
    stop = threading.Event()
    outcomes, refusals, errors = {"read": 0}, [], []

    def read():
        while not stop.is_set():
            for step in committed_steps(tmp_path):
                try:
                    values = load_policy(tmp_path, step)["w"]
                    np.testing.assert_array_equal(values, np.full(1000, step))
                    outcomes["read"] += 1
                except CheckpointError as error:
                    refusals.append(str(error))

    def guarded():
        try:
            read()
        except Exception as error:
            errors.append(error)

    reader = threading.Thread(target=guarded)
    reader.start()
    with CheckpointWriter(tmp_path, keep_newest=1, keep_best=0) as writer:
        for step in range(1, 41):
            writer.save(step, {"w": np.full(1000, step)}, None, {})
    stop.set()
    reader.join()
    assert not errors
    assert outcomes["read"] > 0
    assert [refusal for refusal in refusals if "removed by retention" not in refusal] == []

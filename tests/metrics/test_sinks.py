import json
import signal

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from robo_rl.errors import DivergedError, UserError
from robo_rl.metrics.sinks import MetricsWriter, read_rows


def scalars(folder, tag):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_rows_come_back_from_the_file_and_from_tensorboard(tmp_path):
    rows = [
        {"env_steps": 10, "critic_loss": 0.5, "waiting": "learner for actors"},
        {"env_steps": 20, "critic_loss": 0.25},
    ]
    with MetricsWriter(tmp_path / "run") as writer:
        for row in rows:
            writer.write(row)
            # Each row can be read at once, not only after the end.
            assert read_rows(tmp_path / "run" / "metrics.jsonl")[-1] == row
    assert read_rows(tmp_path / "run" / "metrics.jsonl") == rows
    assert scalars(tmp_path / "run", "critic_loss") == [(10, 0.5), (20, 0.25)]


def test_a_second_writer_appends(tmp_path):
    for env_steps in (10, 20):
        with MetricsWriter(tmp_path) as writer:
            writer.write({"env_steps": env_steps, "q_mean": 1.0})
    assert [row["env_steps"] for row in read_rows(tmp_path / "metrics.jsonl")] == [10, 20]
    assert len(scalars(tmp_path, "q_mean")) == 2


def test_resuming_from_an_older_checkpoint_leaves_one_value_per_step(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        for env_steps in (10, 20, 30):
            writer.write({"env_steps": env_steps, "q_mean": 1.0})
    with MetricsWriter(tmp_path) as writer:
        assert writer.truncate_after(20) == 1
        assert writer.truncate_after(20) == 0
        for env_steps in (30, 40):
            writer.write({"env_steps": env_steps, "q_mean": 2.0})
    assert [(row["env_steps"], row["q_mean"]) for row in read_rows(tmp_path / "metrics.jsonl")] == [
        (10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)
    ]  # fmt: skip
    assert scalars(tmp_path, "q_mean") == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]
    assert not list(tmp_path.glob("*.tmp"))


def test_env_steps_that_fall_without_a_truncation_are_refused(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write({"env_steps": 20})
    with MetricsWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="truncate_after"):
            writer.write({"env_steps": 19})
        writer.write({"env_steps": 20})


def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next_writer(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"env_steps": 1}\n{"env_steps": 2, "q_me')
    assert read_rows(path) == [{"env_steps": 1}]
    with MetricsWriter(tmp_path) as writer:
        writer.write({"env_steps": 3})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"env_steps": 1}, {"env_steps": 3}]


@pytest.mark.parametrize("line", ["{broken", "[1]", '{"q_mean": 1}'])
def test_damage_before_the_last_line_is_an_error_that_names_the_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text('{"env_steps": 1}\n' + line + '\n{"env_steps": 2}\n')
    with pytest.raises(UserError, match="line 2"):
        read_rows(tmp_path / "metrics.jsonl")


def test_a_number_that_is_not_finite_leaves_both_sinks_as_they_were(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write({"env_steps": 1, "q_mean": 1.0})
        with pytest.raises(DivergedError):
            writer.write({"env_steps": 2, "q_mean": float("nan")})
    assert read_rows(tmp_path / "metrics.jsonl") == [{"env_steps": 1, "q_mean": 1.0}]
    assert scalars(tmp_path, "q_mean") == [(1, 1.0)]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--run"):
        MetricsWriter(tmp_path / "file" / "run")


def test_a_full_disk_is_a_clear_error(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer._file.close()
        writer._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        with pytest.raises(UserError, match="No space left"):
            writer.write({"env_steps": 1})


def test_a_disk_that_fills_up_within_a_row_leaves_no_half_row(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with MetricsWriter(tmp_path) as writer:
        writer.write({"env_steps": 1})
        try:
            # A limit on file sizes cuts a write short just as a full disk does.
            resource.setrlimit(resource.RLIMIT_FSIZE, (writer._file.tell() + 10, before[1]))
            with pytest.raises(UserError, match="Free space"):
                writer.write({"env_steps": 2, "q_mean": 1.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        writer.write({"env_steps": 3})
    assert [row["env_steps"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 3]

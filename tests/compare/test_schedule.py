"""A crash costs one attempt of one cell. The processes here do next to nothing, so that the tests are fast."""

import json
import os
import signal
import time

import pytest

from robo_rl.compare import schedule
from robo_rl.compare.cell import CellWork
from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.schedule import run_cells
from robo_rl.config import Config
from robo_rl.errors import DivergedError


def pretend(report, work):
    """A cell whose name says what becomes of it; it counts its starts."""
    with (work.folder / "starts").open("a") as file:
        file.write("x")
    starts, name = (work.folder / "starts").stat().st_size, work.record["name"]
    (work.folder / "pid").write_text(str(os.getpid()))
    report.send(("row", {"env_steps": 1}))
    if name == "diverges":
        raise DivergedError("training diverged")
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "crashes once" and starts == 1:
        raise ZeroDivisionError
    if name.startswith("shares"):
        share = {"cores": sorted(os.sched_getaffinity(0)), "devices": os.environ.get("CUDA_VISIBLE_DEVICES")}
        (work.folder / "share").write_text(json.dumps(share))
        while not all((other / "share").exists() for other in work.folder.parent.glob("shares*")):
            time.sleep(0.01)
    if name == "dies finished":
        CellFolder(work.folder).write_record({**work.record, "status": "finished"})
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "breaks when told to stop":
        assert report.recv()[0] == "stop"
        raise ZeroDivisionError
    if name == "waits":
        assert report.recv()[0] == "stop"
        report.send(("stopped", None))
        return
    report.send(("finished", None))


@pytest.fixture(autouse=True)
def _pretend(monkeypatch):
    monkeypatch.setattr(schedule, "cell_main", pretend)


@pytest.fixture
def works(tmp_path):
    def works(*names):
        for name in names:
            (tmp_path / name).mkdir()
        return [CellWork(tmp_path / name, {"name": name}, Config(), [1], 1, 1) for name in names]

    return works


def test_a_crash_is_retried_once_and_the_others_go_on(works, tmp_path):
    said = []
    planned = works("diverges", "killed", "crashes once", "fine")
    failed = run_cells(planned, 2, {}, lambda *what: said.append(what), lambda: False)
    assert sorted(failed) == ["diverges", "killed"]
    starts = {work.record["name"]: (work.folder / "starts").stat().st_size for work in planned}
    assert starts == {"diverges": 2, "killed": 2, "crashes once": 2, "fine": 1}
    record = CellFolder(tmp_path / "diverges").record()
    assert (record["status"], record["attempts"], record["error"]) == ("failed", 2, "training diverged")
    assert "exit code -9" in CellFolder(tmp_path / "killed").record()["error"]
    assert {name for name, kind, _ in said if kind == "finished"} == {"crashes once", "fine"}
    assert [what for name, kind, what in said if (name, kind) == ("diverges", "retried")] == ["training diverged"]


def test_a_stop_ends_the_running_and_begins_no_other(works):
    planned, began = works("waits", "fine"), []

    def report(name, kind, what):
        if kind == "row":
            began.append(time.monotonic())

    assert run_cells(planned, 1, {}, report, lambda: bool(began)) == []
    assert (planned[0].folder / "starts").exists()
    assert not (planned[1].folder / "starts").exists()


def test_no_process_is_left_when_the_watcher_is_interrupted(works):
    def report(name, kind, what):
        if kind == "row":
            raise KeyboardInterrupt

    planned = works("waits")
    with pytest.raises(KeyboardInterrupt):
        run_cells(planned, 1, {}, report, lambda: False)
    with pytest.raises(ProcessLookupError):
        os.kill(int((planned[0].folder / "pid").read_text()), 0)


def test_a_cell_that_breaks_while_it_is_to_stop_is_not_called_failed(works):
    said, began = [], []

    def report(name, kind, what):
        said.append((kind, what))
        if kind == "row":
            began.append(name)

    planned = works("breaks when told to stop")
    assert run_cells(planned, 1, {}, report, lambda: bool(began)) == []
    assert said[-1][0] == "stopped"
    assert "ZeroDivisionError" in said[-1][1]
    assert CellFolder(planned[0].folder).record() is None


def test_a_cell_that_dies_after_it_wrote_down_everything_is_finished(works):
    planned = works("dies finished")
    assert run_cells(planned, 1, {}, lambda *_: None, lambda: False) == []
    assert (planned[0].folder / "starts").stat().st_size == 1
    assert CellFolder(planned[0].folder).record()["status"] == "finished"


def shares(planned):
    """What cells side by side may use."""
    assert run_cells(planned, len(planned), {}, lambda *_: None, lambda: False) == []
    return [json.loads((work.folder / "share").read_text()) for work in planned]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux says which cores a process may use")
def test_cells_side_by_side_share_no_core(works):
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core cannot be shared out")
    first, second = (set(share["cores"]) for share in shares(works("shares 1", "shares 2")))
    assert first | second == before
    assert not first & second
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("visible", "taken"), [("0, 2", ["0", "2", "0"]), ("3", ["3", "3", "3"]), ("", ["", "", ""]), (None, [None] * 3)]
)
def test_cells_side_by_side_take_the_visible_gpus_in_turn(works, monkeypatch, visible, taken):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    planned = works("shares 1", "shares 2", "shares 3")
    assert [share["devices"] for share in shares(planned)] == taken
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible

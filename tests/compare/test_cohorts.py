import pytest

from robo_rl.compare.cell_folder import CellFolder
from robo_rl.compare.cohorts import cohorts
from robo_rl.compare.plan import Cell
from robo_rl.errors import UserError

CELL = Cell("mse", {}, "a/b")


def record(folder, name, own_seeds, **changes):
    about = {"loss": "mse", "task": "a/b", "seeds": own_seeds, "status": "finished"}
    CellFolder(folder / name).write_record(about | changes)


def seen(folder, seeds):
    return [(cohort.name, list(cohort.seeds), cohort.status) for cohort in cohorts(folder, CELL, seeds)]


def test_a_cell_that_has_not_begun_is_one_cohort_of_all_seeds(tmp_path):
    assert seen(tmp_path, [1, 2]) == [("mse-a_b", [1, 2], "not begun")]


def test_seeds_that_come_later_are_a_cohort_of_their_own(tmp_path):
    record(tmp_path, "mse-a_b", [1, 2])
    assert seen(tmp_path, [1, 2]) == [("mse-a_b", [1, 2], "finished")]
    assert seen(tmp_path, [3, 1, 2]) == [("mse-a_b", [1, 2], "finished"), ("mse-a_b@2", [3], "not begun")]
    record(tmp_path, "mse-a_b@2", [3], status="running")
    assert [name for name, _, _ in seen(tmp_path, [1, 2, 3, 4])] == ["mse-a_b", "mse-a_b@2", "mse-a_b@3"]


def test_a_seed_in_two_cohorts_is_refused(tmp_path):
    record(tmp_path, "mse-a_b", [1, 2])
    record(tmp_path, "mse-a_b@2", [2])
    with pytest.raises(UserError, match=r"Seeds \[2\] are in more than one of .*mse-a_b, .*mse-a_b@2"):
        cohorts(tmp_path, CELL, [1, 2])


@pytest.mark.parametrize("changes", [{"loss": "c51"}, {"task": "a/c"}, {"seeds": None}])
def test_the_record_of_another_cell_is_refused(tmp_path, changes):
    record(tmp_path, "mse-a_b", [1], **changes)
    with pytest.raises(UserError, match=f"no record of the cell .*{next(iter(changes))}"):
        cohorts(tmp_path, CELL, [1])

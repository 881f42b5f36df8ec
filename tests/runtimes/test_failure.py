import pytest

from robo_rl.errors import UserError
from robo_rl.runtimes.failure import said_to_fail


def test_what_goes_well_says_nothing():
    said = []
    with said_to_fail(said.append):
        pass
    assert said == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_ends_a_run_is_said_and_goes_on_its_way(error):
    said = []
    with pytest.raises(error), said_to_fail(said.append):
        raise error
    assert said == ["failed"]


def test_what_cannot_be_said_does_not_hide_the_error():
    def write_status(state):
        raise UserError("the disk is full")

    with pytest.raises(ZeroDivisionError), said_to_fail(write_status):
        raise ZeroDivisionError

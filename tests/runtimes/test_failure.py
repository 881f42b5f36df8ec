import pytest

from robo_rl.errors import ConfigError, DivergedError, RunFailedError, UserError
from robo_rl.runtimes.failure import begun


def test_what_goes_well_says_nothing():
    said = []
    with begun(said.append):
        pass
    assert said == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_ends_a_run_is_said_and_goes_on_its_way(error):
    said = []
    with pytest.raises(error), begun(said.append):
        raise error
    assert said == ["failed"]


def test_what_cannot_be_said_does_not_hide_the_error():
    def write_status(state):
        raise UserError("the disk is full")

    with pytest.raises(ZeroDivisionError), begun(write_status):
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [DivergedError, UserError, ConfigError])
def test_bad_input_it_is_called_only_before_a_run_has_begun(kind):
    with pytest.raises(RunFailedError, match="q_mean is nan") as raised, begun(lambda state: None):
        raise kind("q_mean is nan")
    assert isinstance(raised.value.__cause__, kind)


def test_an_error_of_a_failed_run_stays_as_it_is():
    error = RunFailedError("the learner died")
    with pytest.raises(RunFailedError) as raised, begun(lambda state: None):
        raise error
    assert raised.value is error

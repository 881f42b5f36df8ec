import pytest

from robo_rl.compare.unread import angles_are_alike, shows_angles, with_angles_as_read


def config(name, reads):
    return {"env": {"name": name}, "agent": {"angles_by_sine_and_cosine": reads, "discount": 0.9}}


CARTPOLE, REACHER = "suite/cartpole-swingup", "suite/reacher-easy"


def test_only_some_tasks_show_angles():
    assert shows_angles(REACHER)
    assert not shows_angles(CARTPOLE)


@pytest.mark.parametrize(
    ("name", "there", "now", "alike"),
    [
        (CARTPOLE, False, True, True),
        (REACHER, False, True, False),
        (REACHER, True, True, True),
        ("there is/none", True, True, True),  # no environment is made to find out what nobody needs to know
    ],
)
def test_angles_are_read_alike_by_equal_fields_or_where_there_are_none(name, there, now, alike):
    assert angles_are_alike(config(name, there), config(name, now)) == alike


def test_an_agent_without_the_field_is_like_its_own_kind():
    other = {"env": {"name": "there is/none"}, "agent": {"kind": "qt_opt"}}
    assert angles_are_alike(other, other)
    assert with_angles_as_read([other, other]) == [other, other]


@pytest.mark.parametrize("reads", [False, True])
def test_those_who_do_not_read_it_get_the_field_of_those_who_do(reads):
    configs = [config(CARTPOLE, not reads), config(REACHER, reads), config(CARTPOLE, reads)]
    assert with_angles_as_read(configs) == [config(name, reads) for name in (CARTPOLE, REACHER, CARTPOLE)]
    assert configs[0] == config(CARTPOLE, not reads), "what was given stays as it is"


def test_those_who_read_it_keep_what_they_differ_in():
    configs = [config(REACHER, False), config(REACHER, True)]
    assert with_angles_as_read(configs) == configs
    alone = with_angles_as_read([config(CARTPOLE, False), config(CARTPOLE, True)])
    assert alone == [config(CARTPOLE, False)] * 2

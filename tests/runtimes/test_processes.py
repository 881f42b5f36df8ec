"""Child processes: what they inherit, how their failures travel, and that they end with all they started."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time

from robo_rl.errors import ConfigError
from robo_rl.runtimes.processes import ACTOR_ENVIRONMENT, Child
from tests.runtimes.local_run import is_alive, wait_until_gone

SECONDS = 60.0
"""Longest that a test waits for a child; starting one takes about a second on a busy machine."""


# Targets are imported by name in the child, so each stands at the top of this module.


def report_devices(report):
    import jax
    import mujoco

    report.send(("devices", [device.platform for device in jax.devices()]))
    report.send(("gl", [os.environ["MUJOCO_GL"], hasattr(mujoco, "GLContext")]))


def report_environment(report, names):
    report.send(("environment", {name: os.environ.get(name) for name in names}))


def report_group(report):
    report.send(("group", (os.getpid(), os.getpgid(0))))


def report_signals(report):
    report.send(("signals", (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, []))))
    time.sleep(600)


def fail_with_a_bug(report):
    report.send(("note", "before"))
    raise ZeroDivisionError("a bug")


def fail_with_bad_input(report):
    raise ConfigError("learner.batch_size is 0.")


def exit_early(report):
    sys.exit("changed my mind")


def answer(report):
    kind, what = report.recv()
    report.send((f"heard {kind}", what))


def die_halfway_through_a_message(report):
    report.send(("note", "before"))
    os.write(report.fileno(), struct.pack("!i", 3_000_000) + b"the beginning")
    os.kill(os.getpid(), signal.SIGKILL)


def start_a_grandchild(report):
    sleeper = subprocess.Popen(["sleep", "600"])
    report.send(("pid", sleeper.pid))
    time.sleep(600)


def sleep(report):
    time.sleep(600)


def start_a_child_of_its_own(report):
    started = Child("orphan", sleep, (), {})
    report.send(("pid", started.process.pid))
    time.sleep(600)


@contextlib.contextmanager
def child(target, *args, environment=None):
    started = Child("child", target, args, environment or {})
    try:
        yield started
    finally:
        started.kill()


def hear(started: Child, count: int = 1) -> list:
    """The next `count` messages."""
    messages, deadline = [], time.monotonic() + SECONDS
    while len(messages) < count:
        assert time.monotonic() < deadline, f"only {messages} came"
        started.connection.poll(0.1)
        messages += started.messages()
        assert messages or started.process.is_alive() or started.connection.poll(0), "ended without a word"
    return messages


def test_an_actor_has_the_cpu_alone_and_no_renderer_whatever_its_parent_says(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with child(report_devices, environment=ACTOR_ENVIRONMENT) as started:
        assert dict(hear(started, 2)) == {"devices": ["cpu"], "gl": ["disabled", False]}


def test_the_environment_reaches_the_child_and_leaves_the_parent_as_it_was(monkeypatch):
    monkeypatch.setenv("ROBO_RL_KEPT", "parent")
    monkeypatch.delenv("ROBO_RL_NEW", raising=False)
    before = dict(os.environ)
    changes = {"ROBO_RL_KEPT": "child", "ROBO_RL_NEW": "child"}
    with child(report_environment, list(changes), environment=changes) as started:
        assert dict(os.environ) == before
        assert hear(started) == [("environment", changes)]


def test_a_child_leads_a_process_group_of_its_own():
    with child(report_group) as started:
        [(_, (pid, group))] = hear(started)
    assert pid == group == started.process.pid
    assert group != os.getpgid(0)


# In a process of its own: with its first child it also starts the resource tracker, which touches the same signals.
INTERRUPTED = """
import os, signal
from robo_rl.runtimes.processes import Child
from tests.runtimes.test_processes import report_signals
held_back = signal.pthread_sigmask(signal.SIG_BLOCK, [])
child = Child("child", report_signals, (), {})
os.kill(child.process.pid, signal.SIGINT)
assert child.connection.recv() == ("signals", (signal.SIG_IGN, held_back)), "the child is deaf"
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == held_back, "the parent is deaf"
child.process.terminate()
child.process.join(60)
assert child.process.exitcode == -signal.SIGTERM
child.kill()
"""


def test_an_interrupt_before_its_first_code_spares_a_child_and_leaves_it_deaf_to_nothing_else():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bug_travels_with_its_traceback_and_after_all_that_was_said_before():
    with child(fail_with_a_bug) as started:
        started.process.join(SECONDS)
        (first, (kind, (is_users, text))) = hear(started, 2)
    assert first == ("note", "before")
    assert (kind, is_users) == ("failed", False)
    assert "Traceback" in text
    assert "in fail_with_a_bug" in text
    assert "ZeroDivisionError: a bug" in text
    assert started.process.exitcode == 1


def test_bad_input_travels_as_its_message_alone():
    with child(fail_with_bad_input) as started:
        assert hear(started) == [("failed", (True, "learner.batch_size is 0."))]


def test_leaving_early_is_a_failure_too():
    with child(exit_early) as started:
        [(kind, (is_users, text))] = hear(started)
        started.process.join(SECONDS)
    assert (kind, is_users) == ("failed", False)
    assert "changed my mind" in text
    assert started.process.exitcode == 1


def test_what_is_told_arrives_and_telling_the_dead_does_nothing():
    with child(answer) as started:
        started.tell("final", 7)
        assert hear(started) == [("heard final", 7)]
        started.process.join(SECONDS)
        assert started.process.exitcode == 0
        started.tell("final", 8)
        assert list(started.messages()) == []


def test_a_child_that_dies_halfway_through_a_message_has_said_what_came_before():
    with child(die_halfway_through_a_message) as started:
        started.process.join(SECONDS)
        assert list(started.messages()) == [("note", "before")]
        assert list(started.messages()) == []


def test_kill_ends_what_the_child_started_as_well():
    with child(start_a_grandchild) as started:
        [(_, grandchild)] = hear(started)
        assert is_alive(grandchild)
        started.kill()
        assert not started.process.is_alive()
        assert wait_until_gone([grandchild], 10) == []
        started.kill()  # harmless where it has ended


def test_kill_before_the_first_line_ran_spares_the_parents_own_group():
    with child(sleep) as started:
        started.kill()  # at this moment it is still in the group of this very test
        assert started.process.exitcode == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed():
    with child(start_a_child_of_its_own) as parent:
        [(_, orphan)] = hear(parent)
        assert is_alive(orphan)
        parent.process.kill()  # SIGKILL, so that it can tidy nothing up
        assert wait_until_gone([orphan], 15) == []

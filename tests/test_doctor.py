import io
import os
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from robo_rl import doctor
from robo_rl.doctor import Check


def test_the_report_of_this_machine_finds_what_the_tests_need():
    checks = {check.name: check for check in doctor.report()}
    for name in ("Python", "packages", "JAX devices", "CPU cores", "disk"):
        assert checks[name].status != "broken", checks[name]
    assert checks["JAX devices"].found.startswith("cpu: ")
    assert "mujoco 3.17.0" in checks["packages"].found
    assert {"rendering", "memory", "extra cuda", "extra ray", "extra dev"} <= checks.keys()
    # Whatever is not as it should be comes with what to do about it.
    assert all(check.advice for check in checks.values() if check.status != "ok")


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("missing", 0), ("broken", 1)])
def test_the_exit_code_says_whether_something_is_broken(monkeypatch, status, code):
    monkeypatch.setattr(doctor, "report", lambda folder: [Check("disk", status, "full [of] it", "Delete [some].")])
    console = Console(file=io.StringIO(), width=80)
    assert doctor.print_report(console) == code
    text = console.file.getvalue()
    assert "full [of] it" in text
    assert "-> Delete [some]." in text
    assert text.splitlines()[-1] == ("Broken: disk." if code else "This machine can train.")


def test_a_package_that_is_absent_or_of_another_version_is_named():
    wanted = ["numpy>=1", "numpy>=1,<1.5", "no-such-package-at-all>=2"]
    problems = doctor.unmet([Requirement(text) for text in wanted])
    assert len(problems) == 2
    assert problems[0].startswith("numpy is 2")
    assert problems[1] == "no-such-package-at-all is not installed"


def test_what_a_bracket_asks_for_is_checked_too():
    assert doctor.unmet([Requirement("jax")]) == []
    assert doctor.unmet([Requirement("jax[tpu]")]) == ["libtpu is not installed"]


@pytest.mark.parametrize(
    ("backend", "platforms", "nvidia", "status", "words"),
    [
        ("gpu", None, True, "ok", "gpu: x:0"),
        ("cpu", None, False, "ok", "slow for images"),
        ("cpu", None, True, "missing", "NVIDIA GPU is there"),
        ("cpu", "cpu", True, "ok", "JAX_PLATFORMS=cpu is set"),
    ],
)
def test_an_idle_gpu_is_mentioned(backend, platforms, nvidia, status, words):
    environment = {} if platforms is None else {"JAX_PLATFORMS": platforms}
    check = doctor.describe_devices({"backend": backend, "devices": ["x:0"]}, environment, nvidia)
    assert check.status == status
    assert words in check.found


def test_a_jax_that_cannot_start_is_broken_and_says_why(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    check = {check.name: check for check in [doctor._check_devices()]}["JAX devices"]
    assert check.status == "broken"
    assert "no_such_platform" in check.found


def test_cores_respect_the_affinity():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert doctor.usable_cores() <= 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_memory_is_free_up_to_total():
    total, free = doctor.usable_memory()
    assert 0 < free <= total


def test_a_folder_that_does_not_exist_yet_is_judged_by_its_parent(tmp_path):
    assert str(tmp_path) in doctor._check_disk(tmp_path / "runs" / "new").found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_broken(tmp_path):
    tmp_path.chmod(0o500)
    assert doctor._check_disk(tmp_path).status == "broken"


def test_looking_at_the_machine_leaves_no_jax_backend_in_this_process():
    # The module must not even import jax; the device check runs elsewhere.
    source = Path(doctor.__file__).read_text()
    assert "\nimport jax" not in source
    assert "\nimport mujoco" not in source

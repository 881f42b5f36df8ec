"""The script that draws the README's pictures, on made-up run folders."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "figures.py"


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up_run(folder, env, returns, success=None):
    """A run folder with one evaluation for each of `returns`, 1000 environment steps apart."""
    (folder / "evaluations").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 3}))
    for index, value in enumerate(returns, start=1):
        rate = None if success is None else {"rate": success[index - 1], "low": 0.0, "high": 1.0}
        record = {"env": env, "return": {"mean": value, "low": value - 1, "high": value + 2}, "success": rate}
        (folder / "evaluations" / f"{index * 1000}.json").write_text(json.dumps(record))
    return folder


def lines(figure) -> dict[str, list]:
    """Title of a panel -> (label, x, y) of each of its curves."""
    return {
        axes.get_title(loc="left"): [
            (line.get_label(), line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()
        ]
        for axes in figure.axes
    }


@pytest.fixture
def drawn(figures, monkeypatch):
    """The curves of what is drawn, read from the figure before it is closed."""
    seen, save = {}, figures.save

    def look_and_save(figure, out):
        seen.update(lines(figure))
        save(figure, out)

    monkeypatch.setattr(figures, "save", look_and_save)
    return seen


def width(png: Path) -> int:
    content = png.read_bytes()
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20])


def test_grasp_draws_success_and_return_of_every_run(figures, tmp_path, drawn):
    runs = [made_up_run(tmp_path / name, "grasp/cube", [5.0, 30.0], [0.1, 0.9]) for name in "ab"]
    out = tmp_path / "pictures" / "grasp.png"
    assert figures.main(["grasp", *map(str, runs), str(out)]) == 0
    assert width(out) == 1400
    assert drawn["Success (95 % interval)"] == [("seed 3", [1000, 2000], [0.1, 0.9])] * 2
    assert drawn["Return (95 % interval)"] == [("seed 3", [1000, 2000], [5.0, 30.0])] * 2


def test_losses_draws_a_panel_for_each_task_and_a_curve_for_each_run(figures, tmp_path, drawn):
    arguments = [
        f"{loss}={made_up_run(tmp_path / f'{task}-{loss}', f'suite/{task}', [100.0, end])}"
        for task in ("cartpole-swingup", "reacher-easy")
        for loss, end in (("mse", 500.0), ("hl_gauss", 800.0))
    ]
    assert figures.main(["losses", str(tmp_path / "losses.png"), *arguments]) == 0
    assert width(tmp_path / "losses.png") == 1400
    curves = [("mse", [1000, 2000], [100.0, 500.0]), ("hl_gauss", [1000, 2000], [100.0, 800.0])]
    assert drawn == {"cartpole-swingup": curves, "reacher-easy": curves}


def test_a_curve_holds_the_intervals_of_the_records_in_the_order_of_the_steps(figures, tmp_path):
    run = made_up_run(tmp_path / "run", "grasp/cube", [5.0] * 10)
    curve = figures.curve(figures.evaluations(run), "return")
    assert curve.env_steps.tolist() == [1000 * step for step in range(1, 11)]
    assert (curve.low.tolist(), curve.high.tolist()) == ([4.0] * 10, [7.0] * 10)
    assert figures.curve(figures.evaluations(run), "success") is None


def test_what_cannot_be_drawn_is_said(figures, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert figures.main(["grasp", str(tmp_path / "empty"), str(tmp_path / "out.png")]) == 2
    assert "holds no evaluations" in capsys.readouterr().err
    run = made_up_run(tmp_path / "run", "suite/cartpole-swingup", [5.0])
    assert figures.main(["grasp", str(run), str(tmp_path / "out.png")]) == 2
    assert "without success" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
    with pytest.raises(SystemExit, match="2"):
        figures.main(["losses", str(tmp_path / "out.png"), str(run)])
    assert "NAME=RUN" in capsys.readouterr().err


def test_no_panel_cuts_off_a_curve_that_is_longer_than_the_first(figures, tmp_path, monkeypatch):
    limits = []
    monkeypatch.setattr(figures, "save", lambda figure, out: limits.extend(a.get_xlim() for a in figure.axes))
    short = made_up_run(tmp_path / "short", "suite/cartpole-swingup", [100.0, 200.0])
    long = made_up_run(tmp_path / "long", "suite/reacher-easy", [100.0] * 9)
    assert figures.main(["losses", str(tmp_path / "losses.png"), f"mse={short}", f"mse={long}"]) == 0
    assert all(low == 0 and high >= 9000 for low, high in limits[:2])

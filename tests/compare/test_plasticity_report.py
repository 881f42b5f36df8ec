"""The files of a plasticity test."""

import csv
import json

import numpy as np
import pytest

from robo_rl import cli
from robo_rl.compare import plasticity_report
from robo_rl.compare.plasticity import PlasticityConfig
from robo_rl.compare.plasticity_report import run_plasticity
from robo_rl.errors import ConfigError, DivergedError, UserError

CONFIG = PlasticityConfig(losses=("mse", "hl_gauss"), offsets=(0.0, 8.0), members=3, seed=5, steps=20, measurements=2)
ERRORS = {
    "mse": np.array([[[3, 1], [5, 4]], [[3, 2], [5, 5]], [[3, 3], [5, 6]]], np.float32),
    "hl_gauss": np.full((3, 2, 2), 0.25, np.float32),
}


@pytest.fixture
def known_errors(monkeypatch):
    """Training replaced by errors that are known."""
    monkeypatch.setattr(plasticity_report, "make_problems", lambda config: None)
    monkeypatch.setattr(plasticity_report, "mean_squared_errors", lambda config, loss, problems: ERRORS[loss])


def test_every_error_is_in_the_csv_and_the_summary_follows_from_it(tmp_path, known_errors):
    said = []
    summary = run_plasticity(CONFIG, tmp_path / "run", said.append)
    assert [text.split()[0] for text in said] == ["mse", "hl_gauss"]
    rows = list(csv.DictReader((tmp_path / "run/plasticity.csv").read_text().splitlines()))
    assert len(rows) == 2 * 3 * 2 * 2
    assert rows[1] == {
        "loss": "mse", "seed": "5", "target": "0", "offset": "0.0", "updates": "20", "mean_squared_error": "1.0"
    }  # fmt: skip
    assert json.loads((tmp_path / "run/summary.json").read_text()) == summary
    assert PlasticityConfig.model_validate(summary["config"]) == CONFIG
    for loss, entries in summary["losses"].items():
        for entry in entries:
            ends = [
                float(row["mean_squared_error"])
                for row in rows
                if (row["loss"], float(row["offset"]), row["updates"]) == (loss, entry["offset"], "20")
            ]
            assert len(ends) == 3
            assert entry["mean"] == pytest.approx(np.mean(ends))
            assert min(ends) <= entry["low"] <= entry["mean"] <= entry["high"] <= max(ends)


def test_the_picture_is_a_png_of_some_size(tmp_path, known_errors):
    run_plasticity(CONFIG, tmp_path, lambda text: None)
    content = (tmp_path / "plasticity.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 10_000


def test_a_finished_folder_is_left_as_it_is(tmp_path, known_errors):
    run_plasticity(CONFIG, tmp_path, lambda text: None)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="--run"):
        run_plasticity(CONFIG, tmp_path, lambda text: None)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bad_input_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="'hl_gauss'"):
        run_plasticity(CONFIG.model_copy(update={"losses": ("hlgauss",)}), tmp_path / "run", lambda text: None)
    assert not (tmp_path / "run").exists()


def test_an_error_that_is_no_number_is_said_and_not_drawn(tmp_path, known_errors, monkeypatch):
    monkeypatch.setitem(ERRORS, "mse", np.full((3, 2, 2), np.nan, np.float32))
    with pytest.raises(DivergedError, match="mse"):
        run_plasticity(CONFIG, tmp_path, lambda text: None)
    assert not (tmp_path / "summary.json").exists()


def test_the_command_writes_where_it_is_told(tmp_path, capsys):
    tiny = "--steps 4 --measurements 2 --members 1 --inputs 20 --network.width 8 --network.depth 1 --losses mse"
    assert cli.main(["plasticity", "--run", str(tmp_path / "run"), *tiny.split()]) == 0
    said = capsys.readouterr().out
    assert "mse" in said
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "plasticity.csv",
        "plasticity.png",
        "summary.json",
    }


def test_the_command_refuses_bad_input(tmp_path, capsys):
    run = ["--run", str(tmp_path / "run")]
    assert cli.main(["plasticity", *run, "--losses", "mse", "hlgauss"]) == 2
    assert "'hl_gauss'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        cli.main(["plasticity", *run, "--stepz", "3"])
    assert refused.value.code == 2
    assert not (tmp_path / "run").exists()

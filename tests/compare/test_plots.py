import builtins
import xml.etree.ElementTree as ElementTree

import pytest

from robo_rl.compare.drawing import render
from robo_rl.compare.plots import plots
from robo_rl.compare.results import read_results
from robo_rl.compare.summary import summarise
from robo_rl.errors import UserError
from tests.compare import made_up

SMALL = {"losses": ("mse", "hl_gauss"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}


def summary_of(folder, **options):
    return summarise(read_results(made_up.write(folder, **{**SMALL, **options})), 20)


def texts(svg):
    return " ".join(
        element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    )


def test_every_kind_of_plot_is_there_the_answer_first(tmp_path):
    found = plots(summary_of(tmp_path))
    names = [plot.name for plot in found]
    assert names == [
        "scores-iqm", "scores-mean", "scores-median", "scores-optimality-gap", "improvement", "curve", "profile",
        "differences-return", "task-cartpole-swingup", "task-reacher-easy",
    ]  # fmt: skip
    assert [plot.section for plot in found].count("first") == 1
    assert found[0].section == "first"


def test_a_plot_is_drawn_as_svg_with_real_text_and_as_png_and_again_the_same(tmp_path):
    by_name = {plot.name: plot for plot in plots(summary_of(tmp_path))}
    svg, png = render(by_name["scores-iqm"])
    assert "HL-Gauss" in texts(svg)
    assert png.startswith(b"\x89PNG")
    assert render(by_name["scores-iqm"]) == (svg, png)
    assert "published" in texts(render(by_name["task-cartpole-swingup"])[0])


def test_where_a_loss_gains_is_drawn_for_each_unit_and_each_rival(tmp_path):
    found = {plot.name: plot for plot in plots(summary_of(tmp_path, losses=("mse", "hl_gauss", "c51")))}
    drawn = texts(render(found["differences-return"])[0])
    assert "return less that of MSE" in drawn
    for said in ("cartpole-swingup", "reacher-easy", "HL-Gauss", "C51"):
        assert said in drawn
    rates = plots(summary_of(tmp_path / "rates", tasks=("grasp/cube",), success=True))
    assert "success rate less that of MSE" in texts(render(next(p for p in rates if p.section == "tasks"))[0])


def test_without_a_rival_nothing_is_drawn_of_differences(tmp_path):
    assert "tasks" not in {plot.section for plot in plots(summary_of(tmp_path, losses=("mse",)))}


def test_published_methods_with_several_steps_are_named_in_the_legend(tmp_path):
    found = plots(summary_of(tmp_path, env_steps=1_000_000))
    svg, _ = render(next(plot for plot in found if plot.name == "task-cartpole-swingup"))
    assert "BRO UTD2" in texts(svg)


def test_with_an_axis_the_first_plot_is_score_against_its_values(tmp_path):
    axes = {"agent.critic_network.width": [64, 256, 1024], "agent.flag": [True, False]}
    found = plots(summary_of(tmp_path, axes=axes))
    assert found[0].name == "scores-axis"
    svg, _ = render(found[0])
    for said in ("64", "256", "1024", "HL-Gauss at flag on", "MSE at flag off", "width"):
        assert said in texts(svg)
    names = [plot.name for plot in found]
    assert "curve-width-64--flag-on" in names
    assert len(set(names)) == len(names)
    assert not any("/" in name or " " in name for name in names)


def test_values_that_are_words_have_places_of_their_own(tmp_path):
    found = plots(summary_of(tmp_path, axes={"agent.critic_network.kind": ["residual", "mlp"]}))
    svg, _ = render(found[0])
    assert texts(svg).index("residual") < texts(svg).index("mlp")


def test_a_missing_matplotlib_is_said_with_the_remedy(tmp_path, monkeypatch):
    plot, real = plots(summary_of(tmp_path))[0], builtins.__import__

    def fail(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(UserError, match=r"pip install 'robo-rl\[compare\]'"):
        render(plot)

"""The report as a browser shows it; `apt-get install chromium` gives one."""

import html
import json
import re
import shutil
import subprocess

import pytest

from robo_rl.compare.report import write_report
from tests.compare import made_up

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on PATH; `apt-get install chromium` (test_report.py reads the page without one)",
)

# Written into a copy of the page, whose own policy forbids scripts; without that policy nothing hides a request either.
PROBE = """
<script>
addEventListener("load", () => parent.postMessage(JSON.stringify({
  pictures: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
  drawn: [...document.images].map(image => image.getBoundingClientRect().width),
  rows: [...document.querySelectorAll("table")].map(table => table.rows.length),
  fetched: performance.getEntriesByType("resource").map(entry => entry.name),
  wide: document.documentElement.scrollWidth, window: innerWidth,
  plot: document.images[0].getBoundingClientRect().top, height: innerHeight,
}), "*"));
</script></body>
"""

# A window of its own is at least 500 pixels wide; a frame can be as narrow as a phone.
FRAME = """<!DOCTYPE html><body><script>
addEventListener("message", event => {
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = event.data;
  document.body.append(found);
});
</script><iframe src="PAGE" width="WIDTH" height="900" style="border: 0"></iframe></body>
"""


def opened(folder, markup, width):
    """What a window of `width` x 900 pixels shows of a page."""
    markup, policies = re.subn(r"<meta http-equiv=[^>]*>", "", markup)
    assert policies == 1
    page, frame = folder / "probed.html", folder / "frame.html"
    page.write_text(markup.replace("</body>", PROBE))
    frame.write_text(FRAME.replace("PAGE", page.name).replace("WIDTH", str(width)))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1600,1000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"Chromium showed nothing:\n{done.stdout[-500:]}\n{done.stderr[-2000:]}"
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    options = {"losses": ("mse", "hl_gauss", "two_hot"), "tasks": made_up.TASKS[:2], "seeds": (100, 101, 102)}
    folder = made_up.write(tmp_path_factory.mktemp("made_up"), **options)
    write_report(folder, repetitions=50)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
def test_plots_and_tables_are_shown_nothing_is_fetched_and_the_page_fits(report, width):
    found = opened(report, (report / "report.html").read_text(), width)
    assert len(found["pictures"]) == 10
    assert min(found["pictures"]) > 100
    assert min(found["drawn"]) > 200
    assert len(found["rows"]) >= 8
    assert min(found["rows"]) >= 2
    assert found["fetched"] == []
    assert found["window"] == width
    assert found["wide"] <= width, "the page can be scrolled sideways"
    assert found["plot"] < found["height"] / 2, "the first screen does not show the plot"


@pytest.mark.slow
def test_the_probe_sees_what_a_page_fetches(report):
    markup = (report / "report.html").read_text()
    spoilt = markup.replace("<body>", '<body><img src="http://127.0.0.1:9/picture.png">')
    assert opened(report, spoilt, 401)["fetched"] == ["http://127.0.0.1:9/picture.png"]

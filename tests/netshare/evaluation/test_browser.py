"""The report in a real browser: headless Chromium, where it is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from netshare.evaluation import Resampling, evaluate, split_by_flow, write_html
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import flow_trace, packet_trace

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium, which is not installed")

# Clicks heads and writes what came of it into the page's title and a hidden element, for --dump-dom to show.
PROBE = """
<script>
window.addEventListener('load', function () {
  var table = Array.prototype.find.call(document.querySelectorAll('table'), function (each) {
    return each.tHead && each.tHead.textContent.indexOf('floor d(A, B)') >= 0;
  });
  var head = table.tHead.rows[0].cells[2], column = function () {
    var rows = table.tBodies[0].rows;
    return Array.prototype.map.call(rows, function (row) { return parseFloat(row.cells[2].textContent); });
  };
  head.click();
  var down = column();
  head.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));
  var up = column();
  window.dispatchEvent(new Event('beforeprint'));
  var flat = Array.prototype.filter.call(document.querySelectorAll('svg'), function (each) {
    var box = each.getBoundingClientRect();
    return box.width < 100 || box.height < 20;
  });
  var cut = Array.prototype.filter.call(document.querySelectorAll('svg text'), function (each) {
    var text = each.getBoundingClientRect(), box = each.ownerSVGElement.getBoundingClientRect();
    return text.width > 0 && (text.left < box.left - 8 || text.right > box.right + 8);
  });
  var note = document.createElement('pre');
  note.id = 'probe';
  note.textContent = JSON.stringify({
    down: down, up: up, sort: head.getAttribute('aria-sort'), flat: flat.length,
    cut: cut.map(function (each) { return each.textContent; }),
    svgs: document.querySelectorAll('svg').length,
    closed: document.querySelectorAll('details:not([open])').length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth
  });
  document.body.appendChild(note);
});
</script>
"""


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(
        [*command, profile, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )


def report_page(trace: Trace, folder: Path) -> Path:
    train, holdout = split_by_flow(trace, 0.5, 0)
    write_html(evaluate(train, train, holdout, resampling=Resampling(redraws=2)), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_page(packet_trace(400), tmp_path_factory.mktemp("report"))


def probe(page: Path, width: int) -> None:
    """Open, sort by a column both ways, unfold; nothing may fail, be flat, or be wider than the window."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    done = browse(probed, "--dump-dom", f"--window-size={width},1000")
    assert not re.findall(r"CONSOLE.*", done.stderr)
    note = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert note
    found = json.loads(note[1])
    assert found["down"] == sorted(found["down"], reverse=True)
    assert found["up"] == sorted(found["down"])
    assert found["sort"] == "ascending"
    assert (found["flat"], found["closed"]) == (0, 0)
    assert found["svgs"] > 15
    assert found["cut"] == []  # no label beyond its drawing and the space around it
    assert not found["wide"]


@pytest.mark.parametrize("width", [1200, 500])
def test_the_report_opens_sorts_and_unfolds(page: Path, width: int) -> None:
    probe(page, width)


def test_a_report_on_labelled_flow_records_does_too(tmp_path: Path) -> None:
    probe(report_page(flow_trace(600), tmp_path), 1200)


def test_a_script_error_would_be_noticed(page: Path) -> None:
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text().replace("</body>", "<script>missing();</script></body>"))
    assert re.search(r"CONSOLE.*missing is not defined", browse(broken, "--dump-dom").stderr)


def test_screenshot_and_print(page: Path) -> None:
    picture, printed = page.with_name("report.png"), page.with_name("report.pdf")
    browse(page, f"--screenshot={picture}", "--window-size=1200,4000")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size > 50_000  # a blank page is far smaller
    browse(page, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    assert printed.read_bytes()[:4] == b"%PDF"

"""MLflow's own pages, in a real browser, show a sweep: its runs, and their curves on each other."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import Server
from places import ROOT
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --window-size=1500,1150"
)
SPARSITIES = (0.5, 0.8, 0.9)
WEIGHT = "sparsity/hidden_1/kernel"
# Set this to a file's path to renew the README's picture.
PICTURE = os.environ.get("PRUNEPLUG_PICTURE")

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="no browser: apt-get install chromium chromium-driver",
    ),
    # Selenium leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """MLflow's server on the store of a sweep."""
    folder = tmp_path_factory.mktemp("browser")
    words = ["-m", "experiment=quick", f"sparsity={','.join(map(str, SPARSITIES))}"]
    more = ["trainer.epochs=4", "tracking.log_model=false", "hydra.sweep.dir=sweep"]
    done = subprocess.run(
        [sys.executable, "-m", "pruneplug.train", *words, *more],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Server(folder).running() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        yield driver
        driver.quit()


def eventually(look: Callable[[], Any], seconds: float = 90) -> Any:
    """Return what `look` sees as soon as it sees something."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if seen := look():
                return seen
        except WebDriverException as problem:  # the page is still changing
            last: object = problem
        else:
            last = "nothing"
        assert time.monotonic() < deadline, last
        time.sleep(0.3)


def find(browser: webdriver.Chrome, selector: str) -> WebElement:
    found: WebElement = eventually(lambda: browser.find_element(By.CSS_SELECTOR, selector))
    return found


def curves(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Read name, steps and values of each line in the one chart that is shown."""
    script = (
        "const plots = document.querySelectorAll('.js-plotly-plot');"
        "return plots.length !== 1 ? [] : plots[0].data.map("
        "d => ({name: d.name, x: Array.from(d.x || []), y: Array.from(d.y || [])}))"
    )
    lines: list[dict[str, Any]] = browser.execute_script(script)
    # A run has two lines, as measured and smoothed; without smoothing they are the same.
    return list({line["name"]: line for line in lines if line["x"]}.values())


def open_sweep(server: Server, browser: webdriver.Chrome, view: str = "") -> None:
    """Open the runs of the experiment, and the jobs below their sweep."""
    browser.get("about:blank")
    browser.get(f"{server.uri}/#/experiments/1/runs{view}")
    button = find(browser, "button[data-component-id*='runnamecellrenderer']")
    # The page remembers from visit to visit what was opened.
    if not shows_jobs(browser):
        button.click()
    eventually(lambda: shows_jobs(browser))


def shows_jobs(browser: webdriver.Chrome) -> bool:
    links = browser.find_elements(By.CSS_SELECTOR, ".ag-row a")
    names = " ".join(str(link.get_attribute("textContent")) for link in links)
    return all(f"sparsity={sparsity}," in names for sparsity in SPARSITIES)


def test_the_runs_of_the_sweep_are_there(server: Server, browser: webdriver.Chrome) -> None:
    open_sweep(server, browser)


def test_the_curves_of_a_weight_lie_in_one_chart(server: Server, browser: webdriver.Chrome) -> None:
    open_sweep(server, browser, "?compareRunsMode=CHART")
    find(browser, "input[placeholder='Search metric charts']").send_keys(WEIGHT)
    lines = eventually(lambda: len(curves(browser)) == len(SPARSITIES) and curves(browser))
    assert len({tuple(line["x"]) for line in lines}) == 1, "the steps must be the same"
    ends = sorted(line["y"][-1] for line in lines)
    assert ends == pytest.approx(SPARSITIES, abs=0.001)
    assert all(line["y"] == sorted(line["y"]) for line in lines)
    if PICTURE:
        take_picture(browser, Path(PICTURE))


def take_picture(browser: webdriver.Chrome, path: Path) -> None:
    """Photograph the charts of all weights without the panel for questions beside them."""
    search = find(browser, "input[placeholder='Search metric charts']")
    browser.execute_script("arguments[0].select()", search)
    search.send_keys("sparsity/")
    find(browser, "button[data-component-id='mlflow.assistant.chat_panel.close']").click()
    hide = "document.head.insertAdjacentHTML('beforeend', '<style>.modebar{display:none}</style>')"
    browser.execute_script(hide)
    time.sleep(5)
    browser.save_screenshot(str(path))

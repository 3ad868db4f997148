"""The page in a real browser: drawn, equal to the tables, without errors, on any screen."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.report import build_report, load_study

pytestmark = pytest.mark.browser
DRAWN = "return document.documentElement.dataset.drawn === 'true'"


@pytest.fixture(scope="module")
def demo_page(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    out.write_text(build_report(load_study(demo)), encoding="utf-8")
    return out


def show(
    browser: Any, page: Path, width: int = 1280, scheme: str = "light", unfold: bool = True
) -> None:
    """Load the page, with all its sections opened or as it comes."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    browser.get_log("browser")
    browser.get(page.as_uri())
    WebDriverWait(browser, 180).until(lambda b: b.execute_script(DRAWN))
    if unfold:
        browser.set_script_timeout(180)
        browser.execute_async_script("R.unfold(true).then(arguments[0])")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_figure_is_drawn_without_errors(
    chromium: Any, demo_page: Path, width: int, scheme: str
) -> None:
    show(chromium, demo_page, width, scheme)
    assert chromium.get_log("browser") == []
    plots = chromium.execute_script(
        "return R.figures().map(p => [p.dataset.figure, p.dataset.drawn,"
        " p.querySelectorAll('.scatterlayer .trace').length,"
        " p.querySelectorAll('.scatterlayer path').length])"
    )
    assert [p[0] for p in plots] == [
        "goal", "overview", "link", "coin", "coin-distance", "llc", "profile", "timeline-0",
        "timeline-1", "staircase",
    ]  # fmt: skip
    assert all(drawn == "true" and traces and paths for _, drawn, traces, paths in plots), plots
    wide = "const d = document.documentElement; return d.scrollWidth - d.clientWidth"
    assert chromium.execute_script(wide) == 0
    ground = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(252, 252, 250)" if scheme == "light" else "rgb(20, 23, 27)")


def test_the_page_opens_with_sentences_and_three_figures(chromium: Any, demo_page: Path) -> None:
    show(chromium, demo_page, unfold=False)
    seen = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
    assert len(chromium.execute_script(seen, ".sentences li")) == 4
    said = [one.text for one in chromium.execute_script(seen, ".deck, .short > p, .sentences li")]
    ends = [re.findall(r"[.?!](?=\s|$)", re.sub(r"^\w+\. ", "", text)) for text in said]
    assert len(said) == 5 and [len(of) for of in ends] == [1] * 5  # the question first
    plots = [plot.get_attribute("data-figure") for plot in chromium.execute_script(seen, ".plot")]
    assert plots == ["goal", "overview", "link"]
    assert not chromium.execute_script(seen, "table, pre, .film, .limits")


def test_a_section_is_one_click_away_and_its_figures_are_drawn_then(
    chromium: Any, demo_page: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    show(chromium, demo_page, unfold=False)
    drawn = "return document.querySelector('[data-figure=staircase]').dataset.drawn === 'true'"
    assert not chromium.execute_script(drawn)
    heading = chromium.find_element(By.ID, "h-stair")
    heading.find_element(By.XPATH, "..").send_keys(Keys.ENTER)
    WebDriverWait(chromium, 60).until(lambda b: b.execute_script(drawn))
    width = chromium.execute_script(
        "return document.querySelector('[data-figure=staircase] .main-svg').clientWidth"
    )
    assert width > 400
    chromium.find_element(By.CSS_SELECTOR, "a[href='#warnings']").send_keys(Keys.ENTER)
    opened = "return document.getElementById('warnings').closest('details').open"
    WebDriverWait(chromium, 60).until(lambda b: b.execute_script(opened))


def test_an_address_opens_its_section_and_paper_has_them_all(
    chromium: Any, demo_page: Path
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get("about:blank")
    chromium.get(f"{demo_page.as_uri()}#figure-llc")
    opened = "return document.getElementById('figure-llc').closest('details').open"
    WebDriverWait(chromium, 180).until(lambda b: b.execute_script(opened))
    closed = "return R.folds().filter(fold => !fold.open).length"
    assert chromium.execute_script(closed) > 5
    chromium.execute_script(
        "window.addEventListener('beforeprint', () => { window.printed ="
        " [R.folds().every(f => f.open), R.figures().every(p => p.dataset.drawn)]; })"
    )
    chromium.execute_cdp_cmd("Page.printToPDF", {})
    assert chromium.execute_script("return window.printed") == [True, True]
    assert chromium.execute_script(closed) > 5  # closed again


def test_the_way_of_every_transition_is_shaded_however_many_there_are(
    chromium: Any, large_page: Path
) -> None:
    show(chromium, large_page)
    marks, shaded = chromium.execute_script(
        "const id = 'timeline-1', gd = document.querySelector(`[data-figure='${id}']`);"
        "const figure = JSON.parse(document.getElementById(`data-${id}`).textContent);"
        "const marks = figure.marks.filter(m => figure.panels.some(p => p.key === m.panel));"
        "const at = (step) => R.position(figure.axis, step);"
        "return [marks.map(m => [at(m.low), at(m.high)]),"
        " gd.layout.shapes.filter(s => s.type === 'rect').map(s => [s.x0, s.x1])]"
    )
    assert len(marks) > 16
    assert np.array(sorted(shaded)) == pytest.approx(np.array(sorted(marks)))
    assert all(low < high for low, high in shaded)


def drawn_values(browser: Any, figure: str, color: str) -> list[list[tuple[float, float]]]:
    """What Plotly holds for the lines of a color: pairs of place and height."""
    found: list[list[tuple[float, float]]] = browser.execute_script(
        "const gd = document.querySelector(`[data-figure='${arguments[0]}']`);"
        "return gd.data.filter(t => t.meta === 'line' && t.line.color === R.css(arguments[1]))"
        ".map(t => t.x.map((x, i) => [x, t.y[i]]).filter(p => p[1] !== null))",
        figure,
        color,
    )
    return found


def test_what_is_drawn_equals_the_tables(chromium: Any, demo_page: Path, demo: Path) -> None:
    show(chromium, demo_page)
    llc = pd.read_parquet(demo / "runs" / "behind-s0" / "tables" / "llc.parquet")
    mine = llc[llc["states"] == "frozen"].sort_values("step")
    drawn = drawn_values(chromium, "llc", "--arm-1")[0]
    assert [y for _, y in drawn] == mine["llc"].tolist()
    steps = [float(s) for s in mine["step"]]
    assert [10**x for x, _ in drawn[1:]] == pytest.approx(steps[1:])
    assert drawn[0][0] < drawn[1][0] and steps[0] == 0

    probes = pd.read_parquet(demo / "runs" / "end-s0" / "tables" / "probes.parquet")
    behind = probes[(probes["probe"] == "behind") & (probes["metric"] == "coin_rate")]
    heights = [[y for _, y in line] for line in drawn_values(chromium, "timeline-0", "--arm-0")]
    assert behind.sort_values("step")["value"].tolist() in heights
    curve = pd.read_csv(demo / "runs" / "end-s0" / "progress.csv")
    assert curve["mean_return"].tolist() in heights


def test_bands_are_the_intervals_of_the_table(chromium: Any, demo_page: Path, demo: Path) -> None:
    show(chromium, demo_page)
    bands = chromium.execute_script(
        "return document.querySelector('[data-figure=\"timeline-0\"]').data"
        ".filter(t => t.meta === 'band').map(t => t.y.filter(v => v !== null))"
    )
    probes = pd.read_parquet(demo / "runs" / "end-s0" / "tables" / "probes.parquet")
    mine = probes[(probes["probe"] == "ground") & (probes["metric"] == "coin_rate")]
    mine = mine[mine["step"] > 0].sort_values("step")
    assert [*mine["ci_high"], *reversed(mine["ci_low"].tolist())] in bands or [
        *mine["ci_low"], *reversed(mine["ci_high"].tolist())
    ] in bands  # fmt: skip


def test_the_table_and_the_download_hold_the_figures_numbers(
    chromium: Any, demo_page: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    show(chromium, demo_page)
    chromium.find_element(By.CSS_SELECTOR, "[data-table=goal] summary").send_keys(Keys.ENTER)
    rows = chromium.execute_script("return R.rows(R.data('goal'))")
    table = "details[data-table=goal] tbody tr"  # filled once the browser says that it is open
    cells = WebDriverWait(chromium, 60).until(lambda b: b.find_elements(By.CSS_SELECTOR, table))
    assert len(cells) == len(rows) == 18
    csv = chromium.execute_script(
        "const f = R.data('goal'); return R.csv(R.columns, R.rows(f))"
    ).split("\r\n")
    assert csv[0] == "panel,series,role,run,x,step,value,low,high,n,status"
    assert len(csv) == 18 + 2
    figure = json.loads(chromium.execute_script("return JSON.stringify(R.data('goal'))"))
    assert float(csv[1].split(",")[6]) == figure["series"][0]["y"][0]
    assert chromium.execute_script("return R.csv(['a'], [['=1+1'], ['x\"y,z']])") == (
        'a\r\n\'=1+1\r\n"x""y,z"\r\n'
    )


def test_theme_and_clips_answer_to_the_keyboard(chromium: Any, demo_page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    show(chromium, demo_page)
    theme = chromium.find_element(By.ID, "theme")
    assert theme.get_attribute("aria-pressed") == "false"
    theme.send_keys(Keys.ENTER)
    assert theme.get_attribute("aria-pressed") == "true"
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert chromium.execute_script(ground) == "rgb(20, 23, 27)"
    play = chromium.find_element(By.CSS_SELECTOR, "button[data-play]")
    film = chromium.find_element(By.CSS_SELECTOR, ".film")
    assert not film.is_displayed()
    play.send_keys(Keys.SPACE)
    WebDriverWait(chromium, 60).until(lambda b: int(film.get_property("naturalWidth")) == 64)
    assert play.get_attribute("aria-expanded") == "true" and film.is_displayed()


def test_text_has_contrast_in_both_themes(chromium: Any, demo_page: Path) -> None:
    for scheme in ("light", "dark"):
        show(chromium, demo_page, scheme=scheme)
        names = ["ink", "ink-2", "ink-3", "link", "warn", *(f"arm-{i}" for i in range(5))]
        for name in names:
            color, paper = chromium.execute_script(
                "return [R.css(arguments[0]), R.css('--paper')]", f"--{name}"
            )
            assert contrast(color, paper) >= 4.5, (scheme, name)


def contrast(one: str, two: str) -> float:
    """Contrast ratio of WCAG 2.2, 1 to 21."""
    light = sorted((luminance(one), luminance(two)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_hostile_names_run_no_script(
    chromium: Any, tmp_path: Path, write_study: Callable[..., Path]
) -> None:
    study = write_study(tmp_path / "study", checkpoints=4, clips=False)
    evil = "<img src=x onerror=\"document.title='taken'\"></script><b>"
    record = json.loads((study / "study.json").read_text())
    record["arms"] = {evil: {"coin": "end"}}
    (study / "study.json").write_text(json.dumps(record))
    for run in study.glob("runs/*"):
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | {"arm": evil}))
    for table in study.rglob("tables/*.parquet"):
        pd.read_parquet(table).assign(arm=evil).to_parquet(table)
    page = tmp_path / "report.html"
    page.write_text(build_report(load_study(study)), encoding="utf-8")
    show(chromium, page)
    assert chromium.get_log("browser") == []
    assert "taken" not in chromium.title
    assert chromium.execute_script("return document.querySelectorAll('img').length") == 0


def test_a_large_study_is_drawn(chromium: Any, large_page: Path) -> None:
    show(chromium, large_page)
    assert chromium.get_log("browser") == []
    drawn = chromium.execute_script("return R.figures().every(p => p.dataset.drawn === 'true')")
    assert drawn


def test_every_arm_has_its_name_at_the_end_of_its_line(chromium: Any, demo_page: Path) -> None:
    show(chromium, demo_page, unfold=False)
    y = chromium.execute_script(
        "const series = [...'abcdef'].map((name, i) => ({name, role: 'mean', color: i, x: [1],"
        " y: [i < 5 ? 1 : 0]})), figure = {series, axis: {range: [0, 1]}};"
        "return R.endLabels(figure, series, [-0.1, 1.1], 'y', {height: 130}).map(l => l.y)"
    )
    assert len(y) == 6 and min(y) >= -0.1 and max(y) <= 1.1  # beyond it they are not drawn
    assert min(np.diff(sorted(y))) > 0.138  # 15 of 130 pixels apart

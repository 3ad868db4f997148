"""Draw every picture of docs/gallery.md again: run the page's own calls and keep what they draw.

    python docs/gallery.py STUDY [--only NAME ...]

STUDY is a finished study of the preset `demo`; a copy of it is worked on. Figures of reports are
photographed in a Chromium (`PAGE-FIGURE.png` is figure FIGURE of PAGE.html).
"""

import argparse
import base64
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blocks import blocks_of, run
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"
WIDTH, COLORS = 760, 64  # pixels and colors of a picture that is kept
WHOLE = (
    "const e = document.documentElement;"
    "return {x: 0, y: 0, width: e.scrollWidth, height: e.scrollHeight, scale: 1}"
)
BOX = (
    "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
    "return [r.left, r.top + scrollY, r.right, r.bottom + scrollY]"
)
DRAWN = "return document.documentElement.dataset.drawn === 'true'"


def pictures() -> list[str]:
    """Names of the pictures that the page shows from its own folder."""
    return re.findall(r"\]\(gallery/([\w.-]+)\)", PAGE.read_text())


def keep(picture: Image.Image, name: str) -> None:
    """Store a picture small."""
    picture = picture.convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    picture.quantize(COLORS).save(PICTURES / name, optimize=True)


def photograph(pages: Sequence[Path], wanted: Sequence[str]) -> None:
    """Keep the figures of reports that are wanted as `PAGE-FIGURE.png`."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "window-size=900,1200"):
        options.add_argument(f"--{flag}")
    browser: Any = webdriver.Chrome(options=options)
    try:
        browser.set_script_timeout(300)
        for page in pages:
            browser.get(page.as_uri())
            WebDriverWait(browser, 180).until(lambda b: b.execute_script(DRAWN))
            browser.execute_async_script("R.unfold(true).then(arguments[0])")
            shot = browser.execute_cdp_cmd(
                "Page.captureScreenshot",
                {"captureBeyondViewport": True, "optimizeForSpeed": True,
                 "clip": browser.execute_script(WHOLE)},
            )  # fmt: skip
            whole = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
            for name in wanted:
                begin, _, figure = name.removesuffix(".png").partition("-")
                if begin == page.stem:
                    keep(whole.crop(browser.execute_script(BOX, f"#figure-{figure} .plot")), name)
    finally:
        browser.quit()


def main() -> None:
    """Run the page's blocks in a folder with a copy of the study, and keep the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--only", nargs="*", help="pictures to keep [all]")
    options = parser.parse_args()
    wanted = options.only or pictures()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(options.study, Path(folder) / "demo")
        (Path(folder) / "gallery").mkdir()
        (Path(folder) / "studies").symlink_to(ROOT / "studies")
        os.chdir(folder)
        namespace: dict[str, Any] = {}
        for block in blocks_of(PAGE):
            if not block.reason:
                print(block.text, file=sys.stderr)
                run(block, namespace)
        for path in Path("gallery").glob("*.png"):
            if path.name in wanted:
                keep(Image.open(path), path.name)
        photograph([path.resolve() for path in Path().glob("*.html")], wanted)
    missing = [name for name in pictures() if not (PICTURES / name).exists()]
    if missing:
        sys.exit(f"not drawn: {', '.join(missing)}")


if __name__ == "__main__":
    main()

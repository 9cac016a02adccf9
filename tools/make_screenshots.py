"""Make the pictures of app and annotator that stand in README and docs: `make screenshots`.

Needs a system Chromium, as `make test-browser` does. With `--measure` it paints on a picture of
2048 x 2048 pixels instead and prints how long it takes from the pointer to the painted picture.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from browsing import ROOT, app_server, drag, on_screen, stage_of, voila_server, write_notebook
from playwright.sync_api import sync_playwright

import devotools as dt

OUT = ROOT / "docs" / "images"
SCREEN = {"width": 1280, "height": 720}
CHROMIUM = os.environ.get("DEVOTOOLS_CHROMIUM", "/usr/bin/chromium")
PATIENCE = 300_000  # ms


def photograph_app(browser, folder: Path) -> None:
    """The examples, the third open, one nucleus selected."""
    (folder / "my_micrographs").mkdir(exist_ok=True)
    with app_server(folder / "my_micrographs", folder / "app.log") as url:
        page = open_page(browser, url)
        page.get_by_role("button", name="Try the drawn examples").click()
        stage_of(page, "example_1.tif")
        page.get_by_role("row", name="example_3.tif").click()
        stage_of(page, "example_3.tif")
        page.get_by_role("grid", name="Nuclei of the picture shown").get_by_role("row").nth(
            3
        ).click()
        page.wait_for_timeout(1500)
        page.screenshot(path=OUT / "app.png")
        page.set_viewport_size({"width": 820, "height": 1180})
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / "app_tablet.png")
        page.close()


def photograph_annotator(browser, folder: Path) -> None:
    """A drawn section with the model's proposal, and the nucleus painted that it has missed."""
    plain = dt.Appearance().without("second_embryo", "label_bar", "folds", "wedge", "frame")
    series = dt.synthesize_series(nuclei=30, sections=6, size=256, seed=46, appearance=plain)
    for number, image in enumerate(series.images[2:5], start=1):
        dt.write_image(folder / "pictures" / f"section_{number}.png", image)
    code = "import devotools as dt\n"
    code += f"dt.annotate({str(folder / 'pictures')!r}, {str(folder / 'data')!r}, model='nuclei')"
    notebook = write_notebook(folder / "annotator.ipynb", code)
    with voila_server(notebook, folder / "voila.log") as url:
        page = open_page(browser, url)
        stage = stage_of(page, "section_1.png")
        missed = [(159, 94), (159, 102), (167, 102), (167, 94), (163, 98)]
        drag(page, stage, (256, 256), *missed)
        page.get_by_text("1 of 3 are labelled").wait_for()
        page.mouse.move(*on_screen(page, stage, (256, 256), 171, 110))
        page.wait_for_timeout(1500)
        page.screenshot(path=OUT / "annotator.png")
        page.close()


def measure_brush(browser, folder: Path, size: int = 2048) -> None:
    """Paint on a large picture, and print the time from the pointer's event to the drawn frame."""
    noise = np.random.default_rng(0).random((size, size))
    dt.write_image(folder / "pictures" / "large.png", noise)
    code = "import devotools as dt\n"
    code += f"dt.annotate({str(folder / 'pictures')!r}, {str(folder / 'data')!r})"
    with voila_server(write_notebook(folder / "a.ipynb", code), folder / "voila.log") as url:
        page = open_page(browser, url)
        stage = stage_of(page, "large.png")
        drag(page, stage, (size, size), *[(500 + 800 * (k % 2), 300 + 70 * k) for k in range(20)])
        times = np.array(stage.evaluate("stage => stage.paintTimes"))
        print(
            f"{size} x {size}, {len(times)} pointer events, from the event to the drawn picture: "
            f"median {np.median(times):.0f} ms, 95th percentile {np.percentile(times, 95):.0f} ms"
        )
        page.close()


def open_page(browser, url: str):
    """A page of the size that the pictures have."""
    page = browser.new_page(viewport=SCREEN)
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    return page


def main() -> None:
    """Take the pictures, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--keep", type=Path, help="a folder for what is not kept otherwise")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for act in [measure_brush] if arguments.measure else [photograph_app, photograph_annotator]:
            act(chromium, folder)
        chromium.close()


if __name__ == "__main__":
    main()

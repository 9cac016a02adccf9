"""What the browser tests share: a Chromium, and questions to ask of a page that it shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("DEVOTOOLS_CHROMIUM", "/usr/bin/chromium")
PHONE, DESKTOP = (390, 844), (1280, 800)


@contextmanager
def chromium() -> Iterator:
    """A browser; one that is missing fails the test and says what to do."""
    # Here and not above: `make test` reads this file too, and needs no browser.
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.fail(f"no browser at {CHROMIUM}: install Chromium or name it in DEVOTOOLS_CHROMIUM")
    with sync_playwright() as playwright:
        # No sandbox and no shared memory: CI runs as root in a container that has neither.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def shown(browser, path: Path, size: tuple[int, int], scheme: str = "light") -> Iterator:
    """The page of an HTML file, in a window of that size, with no network."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.route(lambda url: url.startswith("http"), lambda route: route.abort())
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    context.close()


HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .filter(h => h.checkVisibility()).map(h => [Number(h.tagName[1]), h.textContent])"""

NAMELESS = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden])')]
  .filter(part => part.checkVisibility())
  .filter(part => !(part.textContent.trim() || part.ariaLabel || part.title || part.placeholder
    || (part.labels && part.labels.length) || part.querySelector('img[alt]:not([alt=""])')))
  .map(part => part.outerHTML.slice(0, 120))"""

PICTURES = """() => [...document.images].map(i => (
  {wide: i.naturalWidth, shown: i.clientWidth, alt: i.alt}))"""

# Every visible text against the nearest ground behind it, as WCAG 2 counts.
FAINT = """(skip) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((v, i) => i < 3 ? v : v / 255);
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const light = rgb => {
    const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(rgb[0]) + 0.7152 * part(rgb[1]) + 0.0722 * part(rgb[2]);
  };
  const ground = part => {
    const layers = [];
    for (let box = part; box; box = box.parentElement)
      layers.push(rgba(getComputedStyle(box).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const part = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !part.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (skip && part.closest(skip)) continue;
    const style = getComputedStyle(part), size = parseFloat(style.fontSize), below = ground(part);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const pair = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < (large ? 3 : 4.5))
      found.add(`${ratio.toFixed(2)}: ${part.tagName}.${part.className} ${text.slice(0, 30)}`);
  }
  return [...found];
}"""


def jumps(headings: list) -> list[str]:
    """Headings that skip a level, and titles beyond the first."""
    found, before = [], 0
    for level, text in headings:
        if level > before + 1 or (level == 1 and before):
            found.append(f"{text!r} is level {level} after level {before}")
        before = level
    return found

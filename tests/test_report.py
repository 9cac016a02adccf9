"""The report: what it tells, whom it trusts (nobody), and that it stays small."""

import csv
import json
import re
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from devotools import measure
from devotools._validate import InputError
from devotools.pipeline import report
from devotools.pipeline.charts import (
    BINS,
    MOST_BARS,
    area_chart,
    quantile,
    series_chart,
    share_chart,
)
from devotools.pipeline.report import uncertainty, write_report

COLUMNS = ["image", "status", "nuclei", "seconds", "error", "uncertainty"]
NUCLEI = ["image", *measure.COLUMNS]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page, and holds that every element that opens closes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.headings = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def captions(self):
        """The names in the sheet, in their order."""
        return [attrs["alt"].split(" with ")[0] for attrs in self.all("img")]


def write_results(out, rows, nuclei=(), *, columns=COLUMNS, overlays=True, settings=None):
    """A folder of results: rows of images.csv as dictionaries, nuclei as (image, area_px)."""
    out.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(COLUMNS, "")
    with open(out / "images.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            blank | {"status": "ok", "nuclei": 2, "seconds": 0.5} | row for row in rows
        )
    table = pd.DataFrame([dict.fromkeys(NUCLEI, "") | dict(n) for n in nuclei])
    (table if len(table) else pd.DataFrame(columns=NUCLEI)).to_csv(out / "nuclei.csv", index=False)
    for row in rows if overlays else ():
        path = out / "overlays" / re.sub(r"\.\w+$", ".png", row["image"])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (90, 90, 90)).save(path)
    if settings is not None:
        (out / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return out


def read_report(out, **options):
    text = write_report(out, versions={"python": "3", "torch": "9.9"}, **options).read_text("utf-8")
    return Page(text), text


# --- what it tells -----------------------------------------------------------------------------


def test_numbers_of_the_summary(tmp_path):
    rows = [
        {"image": "a.png", "nuclei": 3},
        {"image": "b.png", "nuclei": 1},
        {"image": "c.png", "nuclei": 2},
        {"image": "d.png", "status": "failed", "nuclei": "", "error": "is empty"},
        {"image": "e.png", "status": "skipped", "nuclei": ""},
    ]
    areas = [10, 20, 30, 40, 500, 60]
    nuclei = [{"image": "a.png", "area_px": a, "area_um2": a / 4} for a in areas]
    page, _ = read_report(write_results(tmp_path, rows, nuclei))
    for fact in (
        "pictures 5",
        "segmented 3",
        "failed 1",
        "skipped 1",
        "nuclei 6",
        "nuclei in a picture, median 2",
        "area, median 30 px",
        "area, median 7.5 µm²",
        "seconds a picture, median 0.5",
    ):
        assert fact in page.text, fact
    assert "Nuclei in 3 pictures" in page.text


def test_a_nucleus_of_a_stack_counts_once_and_units_say_of_how_many(tmp_path):
    rows = [{"image": "stack.tif", "nuclei": 1}, {"image": "b.png", "nuclei": 1}]
    cuts = [{"image": "stack.tif", "area_px": a, "area_um2": a / 4} for a in (10, 20, 30)]
    page, _ = read_report(
        write_results(tmp_path, rows, [*cuts, {"image": "b.png", "area_px": 50, "area_um2": ""}])
    )
    assert "nuclei 2 " in page.text
    assert "area, median of the 3 nuclei whose pixel size is known 5 µm²" in page.text


def test_failures_with_their_reasons(tmp_path):
    rows = [
        {"image": f"{n}.png", "status": "failed", "nuclei": "", "error": f"reason {n}"}
        for n in range(250)
    ]
    page, _ = read_report(write_results(tmp_path, rows, overlays=False))
    assert "250 not segmented, with the reason; the first 200, all stand in images.csv" in page.text
    assert "reason 199" in page.text
    assert "reason 200" not in page.text
    assert "No picture was segmented." in page.text
    assert "No nucleus was found." in page.text


def test_no_failure_is_said(tmp_path):
    page, _ = read_report(write_results(tmp_path, [{"image": "a.png"}]))
    assert "Failures None." in page.text
    assert "There is no settings.json" in page.text


def test_most_doubtful_pictures_stand_first(tmp_path):
    rows = [{"image": f"p{n}x.png", "uncertainty": n / 100} for n in range(30)]
    rows.append({"image": "unknown.png"})
    page, _ = read_report(write_results(tmp_path, rows))
    assert page.captions == [f"p{n}x.png" for n in range(29, 5, -1)]
    assert "24 of 31 pictures." in page.text
    assert "Most doubtful pictures" in page.text
    assert "uncertainty 0.290" in page.text


def test_without_uncertainty_the_order_is_that_of_the_table(tmp_path):
    out = write_results(tmp_path, [{"image": "b.png"}, {"image": "a.png"}], columns=COLUMNS[:5])
    page, _ = read_report(out)
    assert page.captions == ["b.png", "a.png"]
    assert "hold no uncertainty" in page.text


def test_settings_and_versions(tmp_path):
    settings = {
        "model": "/home/ann/models/mine.safetensors",
        "inputs": ["/home/ann/sea urchin", "C:\\Users\\ann\\data"],
        "nucleus_size": None,
        "overlays": True,
        "tiles": {"side": 2048},
    }
    page, text = read_report(write_results(tmp_path, [{"image": "a.png"}], settings=settings))
    for line in (
        "model mine.safetensors",
        "inputs sea urchin, data",
        "nucleus_size not given",
        "overlays yes",
        "tiles, side 2048",
        "torch 9.9",
    ):
        assert line in page.text, line
    assert "ann" not in re.sub(r"base64,[^\"]*", "", text)


def test_versions_of_this_machine_name_no_folder(tmp_path):
    write_report(write_results(tmp_path / "results", [{"image": "a.png"}]))
    text = (tmp_path / "results" / "report.html").read_text("utf-8")
    assert "scikit-image" in text
    assert str(tmp_path) not in text


def test_reasons_name_files_without_their_folders(tmp_path):
    reason = "'/home/ann/deep/bad.png' is empty (0 bytes); expected an image. It's a pity."
    row = {"image": "bad.png", "status": "failed", "nuclei": "", "error": reason}
    page, _ = read_report(write_results(tmp_path, [row], overlays=False))
    assert "'bad.png' is empty (0 bytes); expected an image. It's a pity." in page.text
    assert "ann" not in page.text


def test_names_are_shown_without_their_folders(tmp_path):
    rows = [{"image": f"/home/jane/p7/s{n}.png"} for n in range(3)]
    reasons = ('"/home/jane/o\'neil/b.png" is empty', "'../jane/c.tif' is damaged")
    rows += [
        {"image": f"../jane/{n}b.png", "status": "failed", "nuclei": "", "error": reason}
        for n, reason in enumerate(reasons)
    ]
    page, text = read_report(write_results(tmp_path, rows, overlays=False))
    assert "jane" not in text
    for shown in ("s1.png", "s….png", "1b.png", '"b.png" is empty', "'c.tif' is damaged"):
        assert shown in page.text


def test_two_pictures_of_one_name_can_be_told_apart(tmp_path):
    rows = [{"image": f"/home/jane/day{n}/a.png"} for n in (1, 2)] + [{"image": "/home/jane/b.png"}]
    rows += [{"image": "c.png"}, {"image": "/home/mine/c.png"}]
    _, text = read_report(write_results(tmp_path, rows, overlays=False))
    assert "jane" not in text
    for shown in ("day1/a.png", "day2/a.png", ">b.png", ">c.png", ">mine/c.png"):
        assert shown in text


def test_an_apostrophe_opens_no_name(tmp_path):
    reason = "the picture's size is 3/4 of '/home/jane/x/a.tif'"
    row = {"image": "x.tif", "status": "failed", "nuclei": "", "error": reason}
    page, text = read_report(write_results(tmp_path, [row], overlays=False))
    assert "the picture's size is 3/4 of 'a.tif'" in page.text
    assert "jane" not in text


@pytest.mark.parametrize(
    "where", ["\\\\lab\\jane\\a.tif", "./../jane/a.tif", "p/../../jane/a.tif", "~/jane/a.tif"]
)
def test_no_way_to_a_folder_is_shown(where, tmp_path):
    row = {"image": "x.tif", "status": "failed", "nuclei": "", "error": f"{where!r} is empty"}
    page, text = read_report(write_results(tmp_path, [row], overlays=False))
    assert "'a.tif' is empty" in page.text
    assert "jane" not in text


def test_a_reason_with_two_names_keeps_both(tmp_path):
    reason = "mask '/a.tif' and label image 'x/y/b.tif' agree in 3%"
    row = {"image": "a.png", "status": "failed", "nuclei": "", "error": reason}
    page, _ = read_report(write_results(tmp_path, [row], overlays=False))
    assert "mask 'a.tif' and label image 'x/y/b.tif' agree" in page.text


def test_na_is_a_name(tmp_path):
    row = {"image": "NA", "status": "failed", "nuclei": "", "error": "null"}
    page, _ = read_report(write_results(tmp_path, [row], overlays=False))
    assert "NA null" in page.text


# --- series ------------------------------------------------------------------------------------


def test_numbered_names_are_a_series_in_the_order_of_their_numbers(tmp_path):
    rows = [{"image": f"e1/s{n}.png", "nuclei": n} for n in (10, 9, 2, 1)]
    rows += [{"image": "e2/s1.png"}, {"image": "e2/s2.png"}, {"image": "other.png"}]
    page, text = read_report(write_results(tmp_path, rows))
    assert "e1/s….png" in page.text
    assert "e2/s….png" not in page.text  # two are no series
    cells = re.findall(r"<td>(\d+)</td><td class=\"number\">(\d+)</td>", text)
    assert cells == [(str(n), str(n)) for n in (1, 2, 9, 10)]


def test_sections_of_a_stack_are_a_series(tmp_path):
    out = write_results(tmp_path, [{"image": "stack.tif", "nuclei": 4}])
    nuclei = [{"image": "stack.tif", "section": s, "area_px": 9} for s in (0, 0, 2, 3)]
    pd.DataFrame(nuclei).to_csv(out / "nuclei.csv", index=False)
    page, text = read_report(out)
    assert "stack.tif" in page.text
    cells = re.findall(r"<td>(\d+)</td><td class=\"number\">(\d+)</td>", text)
    assert cells == [("0", "2"), ("1", "0"), ("2", "1"), ("3", "1")]


def test_stacks_keep_their_empty_sections_and_are_no_series_of_each_other(tmp_path):
    rows = [{"image": f"embryo{n}.tif", "nuclei": n} for n in (1, 2, 3)]
    out = write_results(tmp_path, rows)
    nuclei = [{"image": "embryo1.tif", "section": s, "area_px": 9} for s in range(5)]
    pd.DataFrame(nuclei).to_csv(out / "nuclei.csv", index=False)
    page, text = read_report(out, sections={"embryo1.tif": 20, "embryo2.tif": 6, "embryo3.tif": 6})
    assert "Nuclei in each of 20 sections of embryo1.tif: from 0 to 1, mean 0.2." in text
    assert "Nuclei in each of 6 sections of embryo2.tif: from 0 to 0" in text  # nothing found
    assert "embryo….tif" not in page.text
    assert "areas of 5 outlines" in text
    assert "an outline in each section that shows it" in page.text


def test_of_a_stack_the_middle_section_is_shown_and_named(tmp_path):
    out = write_results(tmp_path, [{"image": "s.tif", "nuclei": 7, "uncertainty": 0.5}])
    for number in range(5):
        overlay = out / "overlays" / "s" / f"{number:04d}.png"
        overlay.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(overlay)
    page, text = read_report(out, sections={"s.tif": 5}, overlays={"s.tif": "overlays/s/0002.png"})
    assert "7 nuclei in 5 sections, of which section 2 is shown" in page.text
    assert 'alt="s.tif, section 2, with the outlines of its nuclei"' in text


def test_a_long_course_shows_single_sections():
    """Ten sections of one nucleus are not ten nuclei: no interval is made of them together."""
    chart = share_chart("s", [str(n) for n in range(2400)], np.ones(2400), np.ones(2400))
    assert len(chart.rows) == MOST_BARS
    name, told, share, span = chart.rows[0]
    assert (name, told, share, span) == ("5", "1 of 1", "1.00", "0.21 to 1.00")
    assert "in 240 of 2400 sections" in chart.alt


def test_only_the_longest_series_are_drawn(tmp_path):
    rows = [{"image": f"e{e}/s{n}.png"} for e in range(9) for n in range(3 + e)]
    page, _ = read_report(write_results(tmp_path, rows, overlays=False))
    assert "And 3 more series." in page.text
    assert "e8/s….png" in page.text
    assert "e2/s….png" not in page.text


# --- charts ------------------------------------------------------------------------------------


def test_histogram_counts_every_nucleus():
    areas = np.random.default_rng(0).integers(1, 900, 5_000)
    areas[:3] = 10**6  # giants do not flatten the rest
    counts = pd.Series(areas).value_counts().sort_index()
    chart = area_chart(counts)
    assert len(chart.rows) <= BINS
    found = [int(number.replace(",", "")) for _, number in chart.rows]
    step = int(chart.rows[0][0].split(" to ")[1]) + 1
    edges = [*(step * np.arange(len(found))), np.inf]
    np.testing.assert_array_equal(found, np.histogram(areas, edges)[0])
    assert chart.rows[-1][0] == f"{edges[-2]} and more"
    assert f"median {np.median(areas):g}" in chart.alt
    assert "largest 1000000" in chart.alt


@pytest.mark.parametrize("areas", [[1], [7, 7, 7], [1, 10**7], list(range(1, 50))])
def test_histogram_of_few_nuclei(areas):
    chart = area_chart(pd.Series(areas).value_counts().sort_index())
    assert sum(int(number) for _, number in chart.rows) == len(areas)
    assert all(chart.left <= b.x and b.x + b.width <= chart.right + 0.01 for b in chart.bars)
    assert all(0 < b.y and b.y + b.height <= chart.bottom + 0.01 for b in chart.bars)


def test_quantile_is_that_of_numpy():
    values = np.random.default_rng(1).integers(0, 50, 101)
    counts = pd.Series(values).value_counts().sort_index()
    for share in (0.01, 0.5, 0.99, 1):
        expected = np.quantile(values, share, method="inverted_cdf")
        assert quantile(counts, share) == expected


def test_long_series_is_thinned_to_means():
    nuclei = np.arange(10_000)
    chart = series_chart("s", [str(n) for n in nuclei], nuclei)
    assert len(chart.bars) == len(chart.rows) == MOST_BARS
    assert chart.rows[0] == ("0 to 41", "20.5")
    assert "10000 sections" in chart.alt


def test_series_without_any_nucleus():
    chart = series_chart("s", ["1", "2"], [0, 0])
    assert [bar.height for bar in chart.bars] == [0, 0]


# --- whom it trusts ----------------------------------------------------------------------------

NASTY = "<script>alert('x')</script>&amp; \"quoted\" {{ 7 * 7 }}.png"


def test_names_and_reasons_are_text(tmp_path):
    rows = [{"image": NASTY, "uncertainty": 0.5}]
    rows += [{"image": f"<i>{n}.png"} for n in range(3)]
    rows += [{"image": NASTY, "status": "failed", "nuclei": "", "error": "<b onclick='x'>bold</b>"}]
    out = write_results(tmp_path, rows, overlays=False, settings={"<u>": ["</table>"]})
    (out / "overlays").mkdir()
    page, text = read_report(out)
    assert not {"script", "b", "i", "u"} & {tag for tag, _ in page.tags}
    for shown in (NASTY, "<b onclick='x'>bold</b>", "<i>….png", "<u>", "</table>"):
        assert shown in page.text
    assert "{{ 7 * 7 }}" in text


def test_overlays_of_names_that_met(tmp_path):
    """Two inputs of one stem have results with the suffix in the name."""
    out = write_results(tmp_path, [{"image": "e/a.png"}, {"image": "e/a.jpg"}], overlays=False)
    for name in ("a_png", "a_jpg"):
        (out / "overlays" / "e").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(out / "overlays" / "e" / f"{name}.png")
    page, _ = read_report(out)
    links = [attrs["href"] for attrs in page.all("a")]
    assert links == ["overlays/e/a_png.png", "overlays/e/a_jpg.png"]


def test_overlays_can_be_named(tmp_path):
    out = write_results(tmp_path, [{"image": "stack.tif"}], overlays=False)
    (out / "overlays" / "stack").mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(out / "overlays" / "stack" / "sec tion#7.png")
    page, _ = read_report(out, overlays={"stack.tif": "overlays/stack/sec tion#7.png"})
    assert page.all("a")[0]["href"] == "overlays/stack/sec%20tion%237.png"
    assert page.all("img")[0]["width"] == "6"


@pytest.mark.parametrize("name", ["../secret.png", "{folder}/secret.png", "../../x/secret.png"])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path, name):
    Image.new("RGB", (6, 4)).save(tmp_path / "secret.png")
    name = name.format(folder=tmp_path)
    out = write_results(tmp_path / "out", [{"image": name}], overlays=False)
    (out / "overlays").mkdir()
    for options in ({}, {"overlays": {name: name}}):
        page, _ = read_report(out, **options)
        assert page.all("img") == []
        assert "There is no overlay of this picture." in page.text


def test_overlays_that_cannot_be_shown(tmp_path, monkeypatch):
    rows = [{"image": "broken.png"}, {"image": "text.png"}, {"image": "large.png"}]
    out = write_results(tmp_path, rows)
    whole = (out / "overlays" / "broken.png").read_bytes()
    (out / "overlays" / "broken.png").write_bytes(whole[:60])
    (out / "overlays" / "text.png").write_text("no picture")
    Image.new("RGB", (70, 40)).save(out / "overlays" / "large.png")
    monkeypatch.setattr(report, "MOST_PIXELS", 60 * 40)
    page, _ = read_report(out)
    assert page.all("img") == []
    assert page.text.count("The overlay cannot be read.") == 2
    assert page.text.count("The overlay is too large for a thumbnail.") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images.csv", None, r"images.csv' does not exist.*Check the spelling"),
        ("nuclei.csv", None, r"nuclei.csv' does not exist"),
        ("images.csv", "", r"images.csv' cannot be read as a table .*Run it again"),
        ("images.csv", 'image\n"a\n', r"images.csv' cannot be read as a table .*Run it again"),
        ("images.csv", "image,status\n", r"lacks the columns error, nuclei, seconds.*Run it again"),
        ("nuclei.csv", "image,label\na,1\n", r"lacks the column area_px.*Run it again"),
        ("nuclei.csv", "area_px\nmany\n", r"nuclei.csv' cannot be read as a table"),
        ("settings.json", "{", r"settings.json' is no JSON .*Run it again"),
    ],
)
def test_damaged_results_are_refused(tmp_path, name, content, message):
    out = write_results(tmp_path, [{"image": "a.png"}], settings={})
    (out / name).unlink() if content is None else (out / name).write_text(content)
    with pytest.raises(InputError, match=message):
        write_report(out)
    assert not (out / "report.html").exists()


# --- the page ----------------------------------------------------------------------------------


def make_full(out):
    rows = [{"image": f"s{n}.png", "uncertainty": n / 9} for n in range(4)]
    rows += [{"image": "x.png", "status": "failed", "nuclei": "", "error": "is empty"}]
    nuclei = [{"image": "s0.png", "area_px": 20 + n} for n in range(9)]
    return write_results(out, rows, nuclei, settings={"scale": "auto"})


def test_page_stands_alone_and_can_be_read_by_everyone(tmp_path):
    page, text = read_report(make_full(tmp_path))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = np.diff(page.headings)
    assert steps.max() <= 1
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(attrs["alt"].split()) >= 3 for attrs in page.all("img"))
    assert all(attrs["aria-label"] for attrs in page.all("svg"))
    assert page.all("table")
    assert all(attrs["scope"] in ("row", "col") for attrs in page.all("th"))
    assert "prefers-color-scheme: dark" in text
    addresses = [attrs.get(name) for _, attrs in page.tags for name in ("src", "href")]
    assert not re.findall(r"https?:|url\(|@import", text)
    assert all(a.startswith(("data:image/", "overlays/")) for a in addresses if a)
    assert "script" not in {tag for tag, _ in page.tags}


def test_page_is_the_same_each_time(tmp_path):
    out = make_full(tmp_path)
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first
    assert write_report(out) == out / "report.html"


def test_ten_thousand_pictures_are_a_small_page(tmp_path):
    rows = [{"image": f"s{n:05}.png", "uncertainty": n / 10_000} for n in range(10_000)]
    rows[17] |= {"status": "failed", "error": "long " * 100, "nuclei": ""}
    out = write_results(tmp_path, rows, overlays=False)
    random = np.random.default_rng(0)
    (out / "overlays").mkdir()
    for n in range(9_976, 10_000):  # noise is what packs worst
        noise = random.integers(0, 255, (450, 450, 3), dtype=np.uint8)
        Image.fromarray(noise).save(out / "overlays" / f"s{n:05}.png", compress_level=1)
    page, text = read_report(out)
    assert len(page.all("img")) == 24
    assert len(text) < 3_000_000


def test_memory_does_not_grow_with_the_nuclei(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "CHUNK", 500)
    out, peaks = write_results(tmp_path, [{"image": "a.png"}]), []
    for rows in (1_000, 20_000):
        table = pd.DataFrame({"image": "a.png", "area_px": np.arange(rows) % 300})
        table.to_csv(out / "nuclei.csv", index=False)
        report._read_nuclei(out / "nuclei.csv")
        tracemalloc.start()
        areas, *_ = report._read_nuclei(out / "nuclei.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert areas.sum() == rows
    assert peaks[1] < 3 * peaks[0]  # twenty times as many rows


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_screens_of_every_width(browser, tmp_path, scheme):
    path = write_report(make_full(tmp_path))
    for width in (1280, 390):
        view = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page, asked = view.new_page(), []
        page.on("request", lambda request, asked=asked: asked.append(request.url[:5]))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert set(asked) <= {"file:", "data:"}
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 22)"}[scheme]
        view.close()


# --- uncertainty -------------------------------------------------------------------------------


def test_uncertainty_by_hand():
    probability = np.array([[0.0, 1.0, 0.5, 0.2, 0.05]])
    labels = np.array([[0, 1, 1, 0, 0]])
    assert uncertainty(probability, labels) == pytest.approx((0 + 1 + 4 * 0.2 * 0.8) / 3)
    assert uncertainty(np.full((2, 2), 0.5), np.ones((2, 2), int)) == 1
    assert uncertainty(np.ones((2, 2)), np.ones((2, 2), int)) == 0
    assert uncertainty(np.full((2, 2), 0.01), np.zeros((2, 2), int)) == 0
    # what was nearly found is doubtful too
    assert uncertainty(np.full((2, 2), 0.4, np.float32), np.zeros((2, 2), int)) > 0.9


@pytest.mark.parametrize(
    ("probability", "labels", "message"),
    [
        (np.full((2, 2), 3.0), np.ones((2, 2), int), r"probability runs from 3 to 3.*sigmoid"),
        (np.zeros((2, 3)), np.ones((2, 2), int), r"probability has shape \(2, 3\) and labels"),
        (np.zeros((2, 2)), np.ones((2, 2)), r"labels has dtype float64"),
        (np.full((2, 2), np.nan), np.ones((2, 2), int), r"probability holds 4 values"),
    ],
)
def test_uncertainty_refuses(probability, labels, message):
    with pytest.raises(InputError, match=message):
        uncertainty(probability, labels)

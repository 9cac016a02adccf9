"""Runs that tell states: the tables, the report, going on, stacks and mosaics; and runs without."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
import tifffile
from helpers import Bright, DarkMiddle, draw_discs, files_under, picture_of, run_command

from devotools import InputError, save_classifier
from devotools import pipeline as wing
from devotools.classification import ResNet18Classifier, states_table, wilson_interval
from devotools.images import write_image
from devotools.pipeline import mosaic
from devotools.pipeline.charts import share_chart
from devotools.pipeline.states import count_cells, states_of_solids
from devotools.plots import draw_overlay

TONES = {"condensed": 0.2, "interphase": 0.8, "unsure": 0.5}  # of the middle of a nucleus


def picture(labels, states):
    """A picture whose nuclei have a middle of the tone of their state, by label."""
    image = picture_of(labels)
    for number, state in enumerate(states, start=1):
        rows, cols = np.nonzero(labels == number)
        if len(rows):
            row, col = round(rows.mean()), round(cols.mean())
            half = round(np.sqrt(len(rows) / np.pi) / 4)
            image[row - half : row + half + 1, col - half : col + half + 1] = TONES[state]
    return image


KINDS = (["condensed", "interphase", "interphase"], ["condensed", "condensed", "unsure"])


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for number, kinds in enumerate((*KINDS, ["interphase"] * 3)):
        write_image(folder / f"s{number}.png", picture(draw_discs(radius=9), kinds))
    return folder


def run(paths, out, classifier=None, stop_after=None, network=None):
    network = network or Bright()
    settings = wing.settings_for(network, classifier=classifier)
    jobs = wing.find_jobs([paths], out)
    seen = {}
    with wing.open_results(out, settings, [str(paths)]) as results:
        for outcome in wing.segment_jobs(network, jobs, results, classifier):
            seen[outcome.image] = outcome
            if len(seen) == stop_after:
                return seen
        results.finish(jobs)
    return seen


def read(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_the_tables_tell_the_states(pictures, tmp_path):
    write_image(pictures / "empty.png", np.linspace(0, 0.4, 4096).reshape(64, 64))
    (pictures / "bad.png").write_text("no picture")
    run(pictures, tmp_path / "out", DarkMiddle())
    nuclei = read(tmp_path / "out" / "nuclei.csv")
    assert list(nuclei)[-2:] == ["state", "state_probability"]
    first = nuclei[nuclei["image"] == "s1.png"]
    assert first["state"].tolist() == KINDS[1]
    assert first["state_probability"].astype(float).tolist() == pytest.approx([1, 1, 0.5], abs=0.1)
    images = read(tmp_path / "out" / "images.csv").set_index("image")
    columns = ["condensed", "interphase", "unsure", "fraction_condensed"]
    assert list(images)[-4:] == columns
    assert images.loc["s0.png", columns].tolist() == ["1", "2", "0", "0.3333"]
    assert images.loc["s1.png", columns].tolist() == ["2", "0", "1", "1.0000"]
    assert images.loc["bad.png", columns].tolist() == [""] * 4
    found = images.loc["empty.png", columns].tolist()
    assert found == ["0", "0", "0", ""] or int(images.loc["empty.png", "nuclei"])


STABLE = ("labels", "overlays", "nuclei.csv", "nuclei3d.csv")


def contents(out):
    return {name: (out / name).read_bytes() for name in files_under(out) if name.startswith(STABLE)}


def test_without_it_nothing_is_said_of_states(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    for name in ("nuclei.csv", "images.csv", "settings.json", "progress.jsonl", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "state" not in text.lower(), name
        assert "classif" not in text, name
        assert "condensed" not in text, name
    told = run(pictures, tmp_path / "told", DarkMiddle())
    assert told["s0.png"].states == {"condensed": 1, "interphase": 2, "unsure": 0}
    plain = read(tmp_path / "out" / "nuclei.csv")
    more = read(tmp_path / "told" / "nuclei.csv")
    pd.testing.assert_frame_equal(plain, more[list(plain)])  # the nuclei are the same


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(pictures, tmp_path):
    run(pictures, tmp_path / "whole", DarkMiddle())
    run(pictures, tmp_path / "cut", DarkMiddle(), stop_after=1)
    run(pictures, tmp_path / "cut", DarkMiddle())
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    one, other = (read(tmp_path / name / "images.csv") for name in ("cut", "whole"))
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), other.drop(columns="seconds"))


def test_runs_with_and_without_do_not_mix(pictures, tmp_path):
    run(pictures, tmp_path / "plain")
    with pytest.raises(InputError, match=r"other settings .--classify: not given, now states"):
        run(pictures, tmp_path / "plain", DarkMiddle())
    run(pictures, tmp_path / "told", DarkMiddle())
    with pytest.raises(InputError, match=r"other settings .--classify: states, now not given"):
        run(pictures, tmp_path / "told")
    other = DarkMiddle()
    other.temperature = 2.0
    with pytest.raises(InputError, match=r"other settings .the classifier's weights: "):
        run(pictures, tmp_path / "told", other)


def test_the_report_tells_the_fraction_with_its_interval(pictures, tmp_path):
    run(pictures, tmp_path / "out", DarkMiddle())
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    low, high = wilson_interval(3, 8)
    said = f"3 of 8 nuclei whose state was told are condensed: {3 / 8:.3f}, with a 95 % interval "
    assert f"{said}from {low:.3f} to {high:.3f}. 1 more are unsure." in text
    assert "States of the nuclei" in text
    cells = re.findall(r'<td>(\d)</td><td class="number">(\d of \d)</td>', text)
    assert cells == [("0", "1 of 3"), ("1", "2 of 2"), ("2", "0 of 3")]
    assert text.count('class="band"') == 1
    assert text.count("<circle") == 3


def test_no_state_at_all_is_said(tmp_path):
    write_image(tmp_path / "in" / "a.png", picture(draw_discs(radius=9), ["unsure"] * 3))
    run(tmp_path / "in", tmp_path / "out", DarkMiddle())
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The state of no nucleus could be told; 3 are unsure." in text
    assert "none told" in text


# --- stacks


def write_stack(path, kinds):
    """One nucleus through all sections, of these states; another one in interphase beside it."""
    labels = draw_discs([(20, 20), (44, 44)], 9)
    sections = [picture(labels, [kind, "interphase"]) for kind in kinds]
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(
        path, np.uint8(np.stack(sections) * 255), imagej=True, metadata={"axes": "ZYX"}
    )


def test_a_nucleus_of_a_stack_has_one_state(tmp_path):
    write_stack(tmp_path / "in" / "stack.tif", ["condensed"] * 3 + ["interphase"])
    write_image(tmp_path / "in" / "single.png", picture(draw_discs(radius=9), KINDS[0]))
    outcomes = run(tmp_path / "in", tmp_path / "out", DarkMiddle())
    solid = read(tmp_path / "out" / "nuclei3d.csv")
    assert solid["state"].tolist() == ["unsure", "interphase"]  # three quarters is below the limit
    assert float(solid["state_probability"][0]) == pytest.approx(0.75, abs=0.01)
    assert outcomes["stack.tif"].states == {"condensed": 0, "interphase": 1, "unsure": 1}
    nuclei = read(tmp_path / "out" / "nuclei.csv")
    assert list(nuclei)[-3:] == ["state", "state_probability", "section"]
    of_stack = nuclei[nuclei["image"] == "stack.tif"]
    assert of_stack["state"].tolist() == ["condensed", "interphase"] * 3 + ["interphase"] * 2
    assert set(nuclei.loc[nuclei["image"] == "single.png", "section"]) == {""}
    assert nuclei.loc[nuclei["image"] == "single.png", "state"].tolist() == KINDS[0]
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    cells = re.findall(r'<td>(\d)</td><td class="number">(\d of \d)</td>', text)
    assert cells == [("0", "1 of 2"), ("1", "1 of 2"), ("2", "1 of 2"), ("3", "0 of 2")]


def test_an_empty_stack_has_no_state(tmp_path):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(
        tmp_path / "in" / "a.tif", np.zeros((3, 32, 32), np.uint8), imagej=True,
        metadata={"axes": "ZYX"},
    )  # fmt: skip
    outcome = run(tmp_path / "in", tmp_path / "out", DarkMiddle())["a.tif"]
    assert outcome.states == {"condensed": 0, "interphase": 0, "unsure": 0}


def test_large_cuts_count_for_more():
    parts = [
        pd.DataFrame({"label": [1, 2], "condensed_probability": [1.0, 0.1], "area_px": [90, 5]}),
        pd.DataFrame({"label": [1], "condensed_probability": [0.0], "area_px": [10]}),
    ]
    told = states_of_solids(parts, 0.8)
    assert told["label"].tolist() == [1, 2]
    assert told["condensed_probability"].tolist() == pytest.approx([0.9, 0.1])
    assert told["state"].tolist() == ["condensed", "interphase"]
    assert states_of_solids([], 0.8).empty


# --- mosaics


def test_a_mosaic_is_told_as_the_whole_picture_would_be(tmp_path, monkeypatch):
    centres = [(r, c) for r in range(40, 700, 60) for c in range(40, 700, 60)]
    labels = draw_discs(centres, 12, (720, 720))
    kinds = [list(TONES)[number % 3] for number in range(len(centres))]
    write_image(tmp_path / "in" / "a.png", picture(labels, kinds))
    run(tmp_path / "in", tmp_path / "whole", DarkMiddle())
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 100_000)
    monkeypatch.setattr(mosaic, "TILE", 256)
    monkeypatch.setattr(mosaic, "MARGIN", 64)
    run(tmp_path / "in", tmp_path / "pieces", DarkMiddle())
    by_place = [
        read(tmp_path / name / "nuclei.csv")
        .astype({"centroid_row": float, "centroid_col": float})
        .round(1)
        .sort_values(["centroid_row", "centroid_col"])["state"]
        .tolist()
        for name in ("whole", "pieces")
    ]
    assert len(by_place[0]) == len(centres)
    assert by_place[0] == by_place[1] == kinds
    counts = read(tmp_path / "pieces" / "images.csv").loc[0]
    assert int(counts["condensed"]) == kinds.count("condensed")


def test_a_mosaic_without_nuclei_has_its_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(mosaic, "MOSAIC_PIXELS", 1000)
    write_image(tmp_path / "in" / "a.png", np.zeros((64, 64)))
    outcome = run(tmp_path / "in", tmp_path / "out", DarkMiddle())["a.png"]
    assert outcome.states == {"condensed": 0, "interphase": 0, "unsure": 0}


# --- charts and overlays


def test_the_course_has_gaps_where_nothing_was_told():
    chart = share_chart("s", list("abcd"), [1, 0, 2, 0], [2, 0, 2, 4])
    assert [len(run.dots) for run in chart.runs] == [1, 2]
    assert chart.rows[1] == ("b", "0 of 0", "", "")
    assert chart.rows[0][1:3] == ("1 of 2", "0.50")
    low, high = wilson_interval(1, 2)
    assert chart.rows[0][3] == f"{low:.2f} to {high:.2f}"
    ys = [y for run in chart.runs for _, y in run.dots]
    assert ys[1] < ys[0] < ys[2]  # all, half, none, from the top
    assert "in each of 4 sections of s" in chart.alt


def test_overlays_differ_in_more_than_colour():
    labels = draw_discs(radius=9)
    plain = draw_overlay(picture_of(labels), labels)
    same = draw_overlay(picture_of(labels), labels, {1: "interphase"})
    np.testing.assert_array_equal(plain, same)
    purple = (0xCC, 0x79, 0xA7)
    for state in ("condensed", "unsure"):
        told = draw_overlay(picture_of(labels), labels, {2: state})
        changed = np.argwhere((told != plain).any(axis=2))
        times = len(plain) / 64
        middle = np.array([16, 44]) * times  # of nucleus 2
        assert len(changed) > 10
        assert (np.linalg.norm(changed - middle, axis=1) < 20 * times).all()
        assert (told == purple).all(axis=2).any() == (state == "condensed")


def test_counts_of_no_nucleus_and_of_none_told():
    assert count_cells(None) == [""] * 4
    assert count_cells({"condensed": 0, "interphase": 0, "unsure": 4}) == ["0", "0", "4", ""]
    told = states_table(pd.Series([1]), np.array([0.9]), 0.5)
    assert wing.count_states(told) == {"condensed": 1, "interphase": 0, "unsure": 0}
    assert wing.count_states(None) is None


# --- the command


def test_the_command_tells_states(pictures, tmp_path, monkeypatch, capsys):
    save_classifier(tmp_path / "own.safetensors", ResNet18Classifier())
    arguments = ("segment", pictures, "--out", tmp_path / "out", "--classify", "--device", "cpu")
    arguments += ("--classifier", tmp_path / "own.safetensors", "--nucleus-size", 16)
    code, _, complaints = run_command(monkeypatch, capsys, *arguments)
    assert (code, complaints.count("failed")) == (0, 0)
    with open(tmp_path / "out" / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        told = [int(row[name]) for name in ("condensed", "interphase", "unsure")]
        assert sum(told) == int(row["nuclei"])
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["classify"].endswith("own.safetensors")
    assert len(settings["classifier"]) == 64
    code, _, complaints = run_command(
        monkeypatch, capsys, "segment", pictures, "--out", tmp_path / "x", "--classify",
        "--classifier", "nobody",
    )  # fmt: skip
    assert code == 2
    assert "'nobody' does not exist; expected" in complaints

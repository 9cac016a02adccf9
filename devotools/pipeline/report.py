"""``report.html``: what a run did, on one page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from devotools import runtime
from devotools._validate import InputError, check_image, check_labels, check_same_shape
from devotools.classification import wilson_interval
from devotools.images import of_any_size, replace_file
from devotools.pipeline.charts import (
    Chart,
    ShareChart,
    area_chart,
    quantile,
    series_chart,
    share_chart,
)
from devotools.pipeline.states import COUNT_COLUMNS

THUMBNAILS = 24
THUMBNAIL_SIDE = 400  # px
THUMBNAIL_BYTES = 75_000  # each at most, so that the page stays below 3 MB
MOST_PIXELS = 2**26  # of an overlay that is opened for its thumbnail
MOST_FAILURES = 200
MOST_SERIES = 6
LEAST_SECTIONS = 3  # fewer numbered names are no series
CHUNK = 50_000  # rows of nuclei.csv in memory at once
COUNTS = COUNT_COLUMNS[:3]
NOTHING_FOUND = (
    "Nuclei must be brighter than the cytoplasm round them (else invert the pictures), and of "
    "about the size that the model knows: measure one, and say --nucleus-size PIXELS."
)
AROUND = 0.1  # probability from which a pixel counts as around a nucleus


def uncertainty(probability: np.ndarray, labels: np.ndarray) -> float:
    """How doubtful the nuclei of a picture are: 0 where the model is sure, 1 where p is one half.

    The mean of 4p(1 - p) over the pixels that are labelled, or whose probability p is 0.1 at
    least: nuclei, their rims, and what was nearly found. ``probability`` is (H, W) in [0, 1],
    ``labels`` (H, W). A picture without any such pixel gives 0.
    Raises :class:`~devotools._validate.InputError`.

    >>> uncertainty(np.array([[1.0, 0.5, 0.0]]), np.array([[1, 1, 0]]))
    0.5
    """
    probability = check_image(probability, "probability")
    labels = check_labels(labels)
    check_same_shape(probability, labels, ("probability", "labels"))
    low, high = float(probability.min()), float(probability.max())
    if low < 0 or high > 1:
        raise InputError(
            f"probability runs from {low:.3g} to {high:.3g}; expected values from 0 to 1. "
            "If these are logits, apply torch.sigmoid first."
        )
    seen = probability[(labels > 0) | (probability >= AROUND)].astype(np.float64)
    return float((4 * seen * (1 - seen)).mean()) if seen.size else 0.0


def write_report(
    out: str | Path,
    *,
    overlays: Mapping[str, str | Path] | None = None,
    sections: Mapping[str, int] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Write ``report.html`` into a folder of results, from the tables that are there.

    Read are ``images.csv``, ``nuclei.csv``, ``settings.json`` and ``overlays/``. ``overlays``
    names the overlay of each picture, relative to ``out``; left out, it follows from the name.
    ``sections`` says how many each stack has, whose overlay is that of the middle one; left out,
    the last section with a nucleus is taken for the last.
    ``versions`` is what :func:`devotools.runtime.report` says, unless given. The page holds all
    its pictures, no script, and no folder of this machine. It stays below 3 MB, and memory does
    not grow with the nuclei. Returns its path. Raises :class:`~devotools._validate.InputError`
    when the tables are missing or damaged, or the page cannot be written.
    """
    out = Path(out)
    images = _read_images(out / "images.csv")
    areas, square_um, cut, told = _read_nuclei(out / "nuclei.csv")
    lengths = _lengths(cut) | dict(sections or {})
    done, failed = images[images["status"] == "ok"], images[images["status"] == "failed"]
    series = _series(done, cut, lengths)
    ranked = done["uncertainty"].notna().any()
    shown = done.sort_values("uncertainty", ascending=False, kind="stable") if ranked else done
    known = {} if overlays is None else overlays
    names = _short_names(images["image"].tolist())
    made_with = dict(runtime.report() if versions is None else versions)
    page = _template().render(
        title=f"Nuclei in {len(done):,} picture{'s' * (len(done) != 1)}",
        version=made_with.get("devotools", ""),
        facts=_facts(images, areas, square_um, _words(lengths)) + _state_facts(done),
        histogram=area_chart(areas, _words(lengths)) if len(areas) else None,
        stacks=bool(lengths),
        nothing_found=NOTHING_FOUND,
        series=series[:MOST_SERIES],
        more_series=max(0, len(series) - MOST_SERIES),
        states=_states(done),
        courses=_courses(done, told, lengths)[:MOST_SERIES],
        ranked=ranked,
        done=len(done),
        sheet=[
            _picture(out, row, known, lengths, names) for row in shown.head(THUMBNAILS).itertuples()
        ],
        failed=len(failed),
        failures=[
            (names[row.image], _without_folders(row.error))
            for row in failed.head(MOST_FAILURES).itertuples()
        ],
        settings=list(_flat(_read_settings(out / "settings.json"))),
        versions=list(made_with.items()),
    )
    target = out / "report.html"
    with replace_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return target


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    text = files("devotools.pipeline").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(text)


# --- reading the results -----------------------------------------------------------------------


def _read_images(path: Path) -> pd.DataFrame:
    """``images.csv``: names and reasons as text ("NA" is a name), numbers or NaN."""
    table = next(_read_csv(path, chunksize=None))
    missing = {"image", "status", "nuclei", "seconds", "error"} - set(table.columns)
    if missing:
        raise InputError(
            f"{str(path)!r} lacks the columns {', '.join(sorted(missing))}; expected the table "
            "that devotools segment writes. Run it again."
        )
    for name in ("nuclei", "seconds", "uncertainty", *(n for n in COUNTS if n in table)):
        values = table[name] if name in table else pd.Series(np.nan, table.index)
        table[name] = pd.to_numeric(values, errors="coerce")
    return table


def _read_nuclei(path: Path) -> tuple[pd.Series, pd.Series, pd.Series, pd.Series]:
    """How many nuclei have each area in px, each area in µm², lie in each section of a stack, and
    are in each state there.

    The table may have any number of rows: they are counted in pieces.
    """
    areas, squares, sections, told = [_added([])], [_added([])], [_added([])], [_added([])]
    for piece in _read_csv(path, chunksize=CHUNK):
        if "area_px" not in piece:
            raise InputError(
                f"{str(path)!r} lacks the column area_px; expected the table that devotools "
                "segment writes. Run it again."
            )
        areas.append(_numbers(piece, "area_px", path).value_counts())
        if "area_um2" in piece:
            squares.append(_numbers(piece, "area_um2", path).dropna().value_counts())
        if "section" in piece:
            places = piece[["image"]].assign(section=_numbers(piece, "section", path))
            sections.append(places.dropna().value_counts())
            if "state" in piece:
                told.append(places.assign(state=piece["state"]).dropna().value_counts())
        areas, squares, sections, told = ([_added(one)] for one in (areas, squares, sections, told))
    return areas[0], squares[0], sections[0], told[0]


def _numbers(piece: pd.DataFrame, column: str, path: Path) -> pd.Series:
    try:
        return pd.to_numeric(piece[column])
    except ValueError as error:
        raise _no_table(path, error) from error


def _added(parts: list[pd.Series]) -> pd.Series:
    """Counts of several pieces together, in the order of the values."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.Series(dtype="int64")
    together = pd.concat(parts)
    return together.groupby(level=list(range(together.index.nlevels)), sort=True).sum()


def _read_csv(path: Path, chunksize: int | None) -> Iterable[pd.DataFrame]:
    try:
        options = {"dtype": str, "keep_default_na": False, "encoding_errors": "replace"}
        read = pd.read_csv(path, chunksize=chunksize, **options)
        yield from [read] if chunksize is None else read
    except FileNotFoundError as error:
        raise InputError(
            f"{str(path)!r} does not exist; expected a folder with the results of devotools "
            "segment. Check the spelling of the path."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise _no_table(path, error) from error


def _no_table(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read as a table ({error}); expected what devotools segment "
        "writes. Run it again."
    )


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{str(path)!r} is no JSON ({error}); expected what devotools segment writes. "
            "Run it again."
        ) from error
    return settings if isinstance(settings, dict) else {"settings": settings}


# --- what the page tells -----------------------------------------------------------------------


def _lengths(cut: pd.Series) -> dict[str, int]:
    """How many sections each stack has at least: those up to the last with a nucleus."""
    if cut.index.nlevels != 2:
        return {}
    last = cut.index.to_frame(index=False, name=["image", "section"]).groupby("image").max()
    return {str(name): int(number) + 1 for name, number in last["section"].items()}


def _words(lengths: Mapping[str, int]) -> str:
    """What a row of nuclei.csv is: in a stack a nucleus has one for each section."""
    return "outlines" if lengths else "nuclei"


def _facts(
    images: pd.DataFrame, areas: pd.Series, square_um: pd.Series, rows: str
) -> list[dict[str, Any]]:
    """Numbers for the top of the page; ``bad`` marks the one that asks for a look."""
    status = images["status"].value_counts()
    done = images.loc[images["status"] == "ok", "nuclei"]
    found = [("pictures", f"{len(images):,}"), ("segmented", f"{status.get('ok', 0):,}")]
    found += [("failed", f"{status.get('failed', 0):,}")]
    others = status.drop(["ok", "failed"], errors="ignore")
    found += [(str(name), f"{number:,}") for name, number in others.items()]
    found += [("nuclei", f"{done.sum():,.0f}")]  # of a stack each counts once
    if (done == 0).any():  # they have no uncertainty to stand first by
        found += [("pictures in which no nucleus was found", f"{(done == 0).sum():,}")]
    if done.notna().any():
        found += [("nuclei in a picture, median", f"{done.median():,.4g}")]
    if len(areas):
        found += [("area, median", f"{quantile(areas, 0.5):,.5g} px")]
    if len(square_um):
        some = square_um.sum() < areas.sum()
        of = f" of the {square_um.sum():,.0f} {rows} whose pixel size is known" if some else ""
        found += [(f"area, median{of}", f"{quantile(square_um, 0.5):,.4g} µm²")]
    if images["seconds"].notna().any():
        found += [("seconds a picture, median", f"{images['seconds'].median():,.3g}")]
    return [
        {"name": name, "value": value, "bad": name == "failed" and value != "0"}
        for name, value in found
    ]


def _series(done: pd.DataFrame, cut: pd.Series, lengths: Mapping[str, int]) -> list[Chart]:
    """A chart for each stack, and for each group of names that differ in their last number."""
    charts = []
    for name, length in lengths.items():
        counts = cut.xs(name) if name in cut.index else pd.Series(dtype="int64")
        every = range(length)  # a section without nuclei has no row
        nuclei = counts.reindex(every, fill_value=0).tolist()
        charts.append(series_chart(_plain(name), list(map(str, every)), nuclei))
    for name, rows in _numbered(done, lengths):
        nuclei = [row.nuclei for row in rows.values()]
        charts.append(series_chart(_plain(name), list(map(str, rows)), nuclei))
    return sorted(charts, key=lambda chart: -len(chart.rows))


def _numbered(
    done: pd.DataFrame, lengths: Mapping[str, int]
) -> Iterator[tuple[str, dict[int, Any]]]:
    """Groups of pictures whose names differ in their last number, in the order of the numbers.

    Stacks are no sections of one another.
    """
    groups: dict[str, dict[int, Any]] = defaultdict(dict)
    for row in done[~done["image"].isin(lengths.keys())].itertuples():
        path = PurePosixPath(row.image)
        match = re.fullmatch(r"(.*?)(\d{1,12})", path.stem, re.ASCII | re.DOTALL)
        if match and not np.isnan(row.nuclei):
            name = str(path.with_name(f"{match[1]}…{path.suffix}"))
            groups[name][int(match[2])] = row
    for name, rows in groups.items():
        if len(rows) >= LEAST_SECTIONS:
            yield name, {number: rows[number] for number in sorted(rows)}


# --- states --------------------------------------------------------------------------------------


def _states(done: pd.DataFrame) -> str:
    """The sentence about the states of all nuclei; empty where they were not told."""
    if not set(COUNTS) <= set(done.columns):
        return ""
    condensed, interphase, unsure = (int(done[name].sum()) for name in COUNTS)
    sure = condensed + interphase
    if not sure:
        return f"The state of no nucleus could be told; {unsure:,} are unsure."
    low, high = wilson_interval(condensed, sure)
    return (
        f"{condensed:,} of {sure:,} nuclei whose state was told are condensed: "
        f"{condensed / sure:.3f}, with a 95 % interval from {low:.3f} to {high:.3f}. "
        f"{unsure:,} more are unsure."
    )


def _state_facts(done: pd.DataFrame) -> list[dict[str, Any]]:
    """The fraction condensed for the top of the page, where states were told."""
    if not set(COUNTS) <= set(done.columns):
        return []
    sure = done["condensed"].sum() + done["interphase"].sum()
    value = f"{done['condensed'].sum() / sure:.3f}" if sure else "none told"
    return [{"name": "fraction condensed", "value": value, "bad": False}]


def _courses(done: pd.DataFrame, told: pd.Series, lengths: Mapping[str, int]) -> list[ShareChart]:
    """The share of condensed nuclei along each stack and each group of numbered pictures."""
    charts = []
    if told.index.nlevels == 3:
        for name, counts in told.groupby(level=0):
            table = counts.droplevel(0).unstack(fill_value=0)
            table = table.reindex(range(lengths[str(name)]), fill_value=0)
            table = table.reindex(columns=COUNTS, fill_value=0)
            sure = table["condensed"] + table["interphase"]
            names = list(map(str, table.index))
            charts.append(share_chart(_plain(name), names, table["condensed"], sure))
    if set(COUNTS) <= set(done.columns):
        for name, rows in _numbered(done, lengths):
            condensed = np.nan_to_num([row.condensed for row in rows.values()])
            sure = condensed + np.nan_to_num([row.interphase for row in rows.values()])
            charts.append(share_chart(_plain(name), list(map(str, rows)), condensed, sure))
    return sorted(charts, key=lambda chart: -len(chart.rows))


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    """Settings as lines of text; folders of this machine are left out."""
    for name, value in settings.items():
        if name == "places":  # a sum, which tells nobody anything
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
            continue
        values = value if isinstance(value, list) else [value]
        yield f"{before}{name}", ", ".join(map(_plain, values))


def _plain(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute() or {"..", "~"} & set(kind(text).parts):
            return kind(text).name or text
    return text


def _short_names(images: list[str]) -> dict[str, str]:
    """Names for the page: where they lead outside, only as many folders as tell them apart."""
    paths = {image: PurePosixPath(image.replace("\\", "/")).parts for image in images}
    names = {image: image for image in images if _plain(image) == image}
    for length in range(1, max(map(len, paths.values()), default=0) + 1):
        left = {image: "/".join(paths[image][-length:]) for image in paths if image not in names}
        counts = Counter(left.values())
        taken = set(names.values())
        names |= {i: name for i, name in left.items() if counts[name] == 1 and name not in taken}
    return names | {image: image for image in images if image not in names}


def _without_folders(reason: str) -> str:
    """A reason with the names of files only: where they lay is nobody else's business."""

    def short(found: re.Match[str]) -> str:
        return found[1] + _plain(found[2].replace("\\\\", "\\")) + found[1]

    return re.sub(r"""(?<!\w)(['"])((?:(?!\1)[^\n])*[/\\](?:(?!\1)[^\n])+)\1""", short, reason)


# --- the sheet ---------------------------------------------------------------------------------


def _picture(
    out: Path,
    row: Any,
    overlays: Mapping[str, str | Path],
    lengths: Mapping[str, int],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """One picture of the sheet: its thumbnail, its words, and the way to its overlay."""
    nuclei = 0 if np.isnan(row.nuclei) else int(row.nuclei)
    count = f"{nuclei:,} {'nucleus' if nuclei == 1 else 'nuclei'}"
    overlay = _overlay(out, row.image, overlays)
    picture: dict[str, Any] = {
        "name": names[row.image],
        "nuclei": count,
        "uncertainty": "" if np.isnan(row.uncertainty) else f"{row.uncertainty:.3f}",
        "alt": f"{names[row.image]} with the outlines of {count}",
        "link": overlay and quote(overlay.relative_to(out).as_posix(), errors="surrogateescape"),
        "data": None,
        "why": "There is no overlay of this picture.",
    }
    length = lengths.get(row.image)
    if length and row.image in overlays:
        middle = f"section {length // 2}"
        picture["nuclei"] += f" in {length:,} sections, of which {middle} is shown"
        picture["alt"] = f"{names[row.image]}, {middle}, with the outlines of its nuclei"
    return picture | (_thumbnail(overlay) if overlay else {})


def _overlay(out: Path, image: str, overlays: Mapping[str, str | Path]) -> Path | None:
    """The overlay of a picture, if there is one; a name never leads out of the folder."""
    folder = out / "overlays"
    if image in overlays:
        names = [out / overlays[image]]
    else:
        path = PurePosixPath(image)
        stems = [path.stem, f"{path.stem}_{path.suffix.lstrip('.')}"]
        names = [folder / path.parent / f"{stem}.png" for stem in stems]
        names += [folder / f"{stem}.png" for stem in stems]
    inside = folder.resolve()
    for name in names:
        if inside in name.resolve().parents and name.is_file():
            return name
    return None


def _thumbnail(path: Path) -> dict[str, Any]:
    """A small copy as a data URI (JPEG: as PNG the grain of a micrograph takes five times more)."""
    try:
        with of_any_size(), Image.open(path, formats=["PNG", "JPEG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return {"why": "The overlay is too large for a thumbnail."}
            small = picture.convert("RGB")
    except Image.DecompressionBombError:
        return {"why": "The overlay is too large for a thumbnail."}
    except (OSError, SyntaxError, ValueError):  # Pillow's words for a damaged file
        return {"why": "The overlay cannot be read."}
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    data = f"data:image/jpeg;base64,{base64.b64encode(_packed(small)).decode('ascii')}"
    return {"data": data, "width": small.width, "height": small.height}


def _packed(picture: Image.Image) -> bytes:
    """A picture as JPEG, as good as its share of the page allows."""
    for quality in (80, 60, 40, 20):
        file = io.BytesIO()
        picture.save(file, format="JPEG", quality=quality, subsampling=0)
        if file.tell() <= THUMBNAIL_BYTES:
            break
    return file.getvalue()

"""Your own pictures and marks, checked and converted into a folder that ``train`` reads."""

from __future__ import annotations

import csv
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from skimage.measure import regionprops

from devotools._files import WriteError, check_new, whole_folder
from devotools._listing import holds_results, own_files
from devotools._validate import InputError, check_folder, check_pixel_size, check_same_shape
from devotools.exchange.archives import is_archive, unpack
from devotools.exchange.marked_stacks import marked_sections
from devotools.exchange.masks import read_truth
from devotools.exchange.pixel_size import read_pixel_size
from devotools.exchange.stacks import is_stack
from devotools.images import (
    CONVERT,
    FORMATS,
    MICROSCOPE_SUFFIXES,
    composed,
    contrast_range,
    is_image,
    is_tiff,
    of_any_size,
    read_image,
    stretch_contrast,
    write_image,
    write_labels,
    write_mask,
)

ORIENTATION = 0x0112  # the EXIF tag of a camera that says which side is up
LEAST_LEVELS = 4096  # steps of brightness that a picture keeps
COLUMNS = ["image", "mask", "name", "embryo", "status", "reason"]
ROI_SUFFIXES = {".roi", ".zip"}
MARKS = r"(cp[_-]?masks?|masks?|labels?|seg|rois?|roi[_-]?set)"  # what tools add to a name
AFFIX = re.compile(rf"^{MARKS}[_\-. ]+|[_\-. ]+{MARKS}$", re.IGNORECASE)
Key = tuple[str, str]  # sub-folder and stem
Section = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # picture, mask, labels
NO_PICTURE = "this is no picture; expected PNG, JPEG or TIFF. Convert it, or move it away."
NO_MARK = "this is no mask; expected a picture, .roi or RoiSet .zip. Convert it, or move it away."


@dataclass(frozen=True)
class ImportRow:
    """What became of one picture (or section of a stack) or mask: a line of report.csv.

    Paths are relative.
    """

    image: str
    mask: str
    name: str
    embryo: str
    status: str  # imported or refused
    reason: str  # why it was refused, or what to look at


@dataclass(frozen=True)
class ImportReport:
    """What :func:`import_folder` did: the data folder, and a row for every file."""

    folder: Path
    rows: list[ImportRow]

    @property
    def imported(self) -> list[ImportRow]:
        """The sections that are in the folder now."""
        return [row for row in self.rows if row.status == "imported"]

    @property
    def refused(self) -> list[ImportRow]:
        """The files that are not, with the reason."""
        return [row for row in self.rows if row.status == "refused"]


def import_folder(
    images: str | Path,
    masks: str | Path,
    out: str | Path,
    *,
    embryo: str | None = None,
    pixel_size_um: float | None = None,
    clean: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Pair, check and convert pictures and marks into ``out``, which ``devotools train`` reads.

    ``images`` and ``masks`` are folders (or zip and tar files of them) with the same names below;
    a mask's name may have ``_mask``, ``_labels``, ``_RoiSet`` or the like added. Pictures may be
    8- or 16-bit, grey or colour: they become grey, 8-bit PNG where that loses nothing, else 16-bit
    TIFF. Masks may be pictures of two values, label images (which give ``labels/`` as well), or
    ImageJ outlines (``.roi``, RoiSet ``.zip``). With ``clean``, grey and JPEG masks are made clean
    by :func:`~devotools.exchange.clean_mask`; without, they are refused.

    A stack (multi-page TIFF) gives a picture for each section, ``name_0000`` and so on. Its masks
    are a stack of as many sections, or outlines with positions: sections without any outline are
    left out then, for nobody says that they were looked at.

    ``out`` must be new or empty; it gets ``images/``, ``masks/``, ``labels/``, ``manifest.csv``
    (name, embryo, section, pixel_size_um) and ``report.csv`` (a row for every file, with the
    reason where one is refused), all together at the end. The embryo is ``embryo`` for all, else
    the name of the first sub-folder; else it stays unknown, and ``train`` says what follows; but
    the sections of a stack are of one embryo, called as the stack is. Where ``pixel_size_um`` is
    not given, each picture has the one that its own file tells, or none.
    ``progress(done, total)`` is called after each picture.

    Raises :class:`~devotools._validate.InputError` where nothing can be imported, with the reasons.
    Taught in lesson 06.
    """
    check_new(Path(out))
    if pixel_size_um is not None:
        check_pixel_size(pixel_size_um)
    with tempfile.TemporaryDirectory() as scratch, whole_folder(out) as unfinished:
        given = str(masks)
        images = _as_folder(images, Path(scratch) / "images", "images")
        masks = _as_folder(masks, Path(scratch) / "masks", "masks")
        if holds_results(masks) and (masks / "labels").is_dir():
            raise InputError(
                f"masks is {given!r}, results of a run; expected masks, of which results have "
                "those in their folder labels. Give that folder (of an archive, unpack it first)."
            )
        pairs, rest = match_files(images, masks)
        rows = [ImportRow(*files, "", "", "refused", why) for *files, why in rest]
        for done, (image, mask) in enumerate(pairs, start=1):
            row = _row_of(_inside(image, images), _inside(mask, masks), embryo)
            rows += _import_pair(unfinished, image, mask, row, clean)
            if progress is not None:
                progress(done, len(pairs))
        rows = [replace(row, reason=row.reason.replace(scratch, "")) for row in rows]
        report = ImportReport(Path(out), sorted(rows, key=lambda row: (row.image, row.mask)))
        _check_some(report)
        taken = {row.image for row in report.imported}
        sizes = {image: pixel_size_um or _pixel_size(images / image) for image in taken}
        _write_tables(unfinished, report, sizes)
    return report


def _as_folder(given: str | Path, scratch: Path, name: str) -> Path:
    """The folder itself; for an archive, what is in it (and in its only folder)."""
    given = Path(given)
    if not (given.is_file() and is_archive(given)):
        return check_folder(given, f"{name} folder")
    unpack(given, scratch)
    inside = [path for path in scratch.iterdir() if path.name != "__MACOSX"]
    while len(inside) == 1 and inside[0].is_dir():
        scratch = inside[0]
        inside = list(scratch.iterdir())
    return scratch


# --- pairing -----------------------------------------------------------------------------------


def match_files(
    images: Path, masks: Path
) -> tuple[list[tuple[Path, Path]], list[tuple[str, str, str]]]:
    """Pair by sub-folder and name; and (image, mask, reason) for every file that is left over.

    In one folder for both, the masks are the files with ``_mask`` or the like in their names.
    """
    pictures, marks = _files(images, but=masks), _files(masks, but=images)
    if images.resolve() == masks.resolve():
        marks = [path for path in pictures if _is_mark(path)]
        pictures = [path for path in pictures if not _is_mark(path)]
        if not marks:
            raise InputError(
                f"images and masks are both {str(images)!r}, and no file there is named as a mask; "
                "expected two folders, or masks with names such as 'a_mask.png' beside 'a.png'. "
                "Give the folder of the masks, or rename them."
            )
    rest = [(_inside(p, images), "", NO_PICTURE) for p in pictures if not _may_be_picture(p)]
    rest += [("", _inside(p, masks), NO_MARK) for p in marks if not _may_be_mark(p)]
    of_images: dict[Key, list[Path]] = defaultdict(list)
    of_masks: dict[Key, list[Path]] = defaultdict(list)
    for path in filter(_may_be_picture, pictures):
        of_images[_key(path, images)].append(path)
    for path in filter(_may_be_mark, marks):
        key = _key(path, masks)
        of_masks[key if key in of_images else (key[0], AFFIX.sub("", key[1]))].append(path)
    pairs = []
    for key in sorted(of_images.keys() | of_masks.keys()):
        mine, theirs = of_images.get(key, []), of_masks.get(key, [])
        if len(mine) == len(theirs) == 1:
            pairs.append((mine[0], theirs[0]))
            continue
        rest += [(_inside(p, images), "", _why_alone(mine, theirs, "mask")) for p in mine]
        rest += [("", _inside(p, masks), _why_alone(theirs, mine, "image")) for p in theirs]
    return pairs, rest


def _files(root: Path, *, but: Path) -> list[Path]:
    """Every file below a folder, without hidden ones, results, and the other folder in it."""
    inner = but.resolve() if root.resolve() in but.resolve().parents else None
    return [
        path for path in own_files(root) if inner is None or inner not in path.resolve().parents
    ]


def _key(path: Path, root: Path) -> Key:
    """Sub-folder and name; letters with accents are one, however a system writes them."""
    folder = path.relative_to(root).parent.as_posix()
    return composed(folder), composed(path.stem)


def _inside(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _is_mark(path: Path) -> bool:
    return path.suffix.lower() in ROI_SUFFIXES or AFFIX.sub("", path.stem) != path.stem


def _may_be_picture(path: Path) -> bool:
    return is_image(path) or path.suffix.lower() in MICROSCOPE_SUFFIXES


def _may_be_mark(path: Path) -> bool:
    return _may_be_picture(path) or path.suffix.lower() in ROI_SUFFIXES


def _why_alone(mine: list[Path], others: list[Path], what: str) -> str:
    if len(mine) > 1:
        return f"{len(mine)} files have this name; expected one. Rename or remove the others."
    if others:
        return f"{len(others)} {what}s have its name; expected one. Remove the others."
    if mine[0].suffix.lower() in MICROSCOPE_SUFFIXES:
        return f"this is {CONVERT}"
    return f"no {what} has its name; expected one, in the same sub-folder. Add it, or rename it."


# --- converting --------------------------------------------------------------------------------


def _row_of(image: str, mask: str, embryo: str | None) -> ImportRow:
    """The row of a pair: its sub-folders go into its name, and the first one is the embryo."""
    path = Path(image)
    name = "_".join([*path.parts[:-1], path.stem])
    first = path.parts[0] if len(path.parts) > 1 else ""
    return ImportRow(image, mask, name, first if embryo is None else embryo, "imported", "")


def _import_pair(
    out: Path, image: Path, mask: Path, row: ImportRow, clean: bool
) -> list[ImportRow]:
    """The row of a picture; for a stack one a section, and one for those that were left out."""
    if not is_stack(image):
        return [_import_one(out, row, lambda: _read_section(image, mask, clean))]
    row, rows, sections = replace(row, embryo=row.embryo or image.stem), [], 0
    try:
        for section in marked_sections(image, mask, clean=clean):
            part = replace(row, name=f"{row.name}_{section.number:04d}")
            part = _import_one(out, part, section.read)
            said = f"section {section.number}: {part.reason}" if part.reason else ""
            rows.append(replace(part, reason=said))
            sections = len(section.stack)
        if len(rows) < sections:
            rows.append(_left_out(row, sections, len(rows)))
    except WriteError:
        raise
    except InputError as error:  # it holds for the whole file
        rows.append(replace(row, status="refused", reason=str(error)))
    return rows


def _left_out(row: ImportRow, sections: int, marked: int) -> ImportRow:
    why = (
        f"{sections - marked} of {sections} sections have no outline and were left out; expected "
        "outlines on each that was looked at. Where there is no nucleus, say so with a label stack."
    )
    return replace(row, name="", status="refused", reason=why)


def _import_one(out: Path, row: ImportRow, read: Callable[[], Section]) -> ImportRow:
    try:
        if (out / "masks" / f"{row.name}.png").exists():
            raise InputError(f"another picture is called {row.name!r} already. Rename this one.")
        section = read()
    except WriteError:
        raise
    except InputError as error:
        return replace(row, status="refused", reason=str(error))
    _write_section(out, row.name, section)
    return replace(row, reason=_remark(*section[1:]))


def _read_section(image: Path, mask: Path, clean: bool) -> Section:
    """Picture, mask, and labels where they are known; each of the picture's size."""
    grey = read_image(image)
    if not _from_imagej(mask):  # it shows pictures as they are stored
        _check_upright(image, square=grey.shape[0] == grey.shape[1])
    truth, labels = read_truth(mask, grey.shape, clean=clean)
    check_same_shape(grey, truth, (f"image {image.name!r}", f"mask {mask.name!r}"))
    return grey, truth, labels


def _check_upright(image: Path, square: bool) -> None:
    """Refuse a picture that its file says to turn: where its mask was painted, it was turned.

    One on its side that is not square is known by its mask's shape: either fits, or neither.
    """
    turned = 1 if is_tiff(image) else _orientation(image)
    if turned in (2, 3, 4) or (turned in (5, 6, 7, 8) and square):
        raise InputError(
            f"image {image.name!r} says that it is to be shown turned or mirrored (EXIF "
            f"orientation {turned}), which painting programs do and devotools does not; expected "
            "an upright one. Open it, save a copy, and mark that; or, if the mask was drawn on the "
            "picture as it is stored (as Fiji shows it), take the orientation out of its EXIF."
        )


def _from_imagej(mask: Path) -> bool:
    """Whether ImageJ wrote a mask, as far as the file says."""
    if mask.suffix.lower() in ROI_SUFFIXES:
        return True
    try:
        with tifffile.TiffFile(mask) as tiff:
            return tiff.is_imagej
    except Exception:  # noqa: BLE001 - tifffile raises many kinds, and reading will say which
        return False


def _orientation(image: Path) -> int:
    """Which side is up, as a camera notes it: 1 is as stored. Damaged notes say nothing."""
    with (
        warnings.catch_warnings(),
        of_any_size(),
        Image.open(image, formats=FORMATS) as picture,
    ):
        warnings.simplefilter("ignore")
        try:
            return picture.getexif().get(ORIENTATION, 1)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds over damaged EXIF
            return 1


def _remark(truth: np.ndarray, labels: np.ndarray | None) -> str:
    """What to look at in a mask that is allowed but unusual."""
    share = truth.mean()
    if share == 0:
        return "look: the mask is empty"
    inside = None if labels is None else _enclosed(labels)
    if inside is not None:
        return (
            f"look: nucleus {inside[0]} lies inside nucleus {inside[1]}; are these classes, such "
            "as embryo and nucleus? Then keep that of the nuclei alone"
        )
    return f"look: {share:.0%} of it is nucleus; is it inverted?" if share > 0.5 else ""


def _enclosed(labels: np.ndarray) -> tuple[int, int] | None:
    """A nucleus that another one surrounds, and that other, by their ids; None where none does."""
    ids, order = np.unique(labels, return_inverse=True)  # ids may be as large as they like
    first = 0 if ids[0] == 0 else 1  # without a background the lowest id is a nucleus
    order = order.reshape(labels.shape) + first
    for region in regionprops(order):
        within = order[region.slice][region.image_filled & ~region.image]
        others = within[within > 0]
        if others.size:
            return int(ids[others[0] - first]), int(ids[region.label - first])
    return None


def _in_sixteen_bits(grey: np.ndarray) -> np.ndarray:
    """A picture (H, W) in [0, 1] as uint16; stretched where 16 bits would keep little of it.

    Such as 8 bits in a file of 32, whose 255 is nearly black.
    """
    low, high = contrast_range(grey)
    if not _is_whole(grey.astype(np.float64) * 65535) and high - low < LEAST_LEVELS / 65535:
        grey = stretch_contrast(grey)
    return np.round(grey.astype(np.float64) * 65535).astype(np.uint16)


def _is_whole(steps: np.ndarray) -> bool:
    """Whether rounding to whole numbers takes nothing from a picture."""
    rounded = np.round(steps)
    becomes_flat = rounded.min() == rounded.max() and steps.min() < steps.max()
    return bool(np.abs(rounded - steps).max() < 5e-3 and not becomes_flat)


def _write_section(out: Path, name: str, section: Section) -> None:
    grey, truth, labels = section
    if _is_whole(grey.astype(np.float64) * 255):  # it was an 8-bit picture
        write_image(out / "images" / f"{name}.png", grey)
    else:
        (out / "images").mkdir(exist_ok=True)
        tifffile.imwrite(out / "images" / f"{name}.tif", _in_sixteen_bits(grey), compression="zlib")
    write_mask(out / "masks" / f"{name}.png", truth)
    if labels is not None:
        write_labels(out / "labels" / f"{name}.tif", labels)


# --- reporting ---------------------------------------------------------------------------------


def _check_some(report: ImportReport) -> None:
    if report.imported:
        return
    files = [(row.image or row.mask, row.reason) for row in report.refused]
    shown = "".join(f"\n  {file}: {reason}" for file, reason in files[:10])
    more = f"\n  and {len(files) - 10} more" if len(files) > 10 else ""
    raise InputError(
        f"none of {len(files)} files could be imported, and nothing was written; expected pictures "
        f"and masks of the same names.{shown}{more}"
    )


def _pixel_size(image: Path) -> float | str:
    """Micrometres that the picture's own file tells, or nothing."""
    try:
        return read_pixel_size(image)[0] or ""
    except InputError:  # the picture could be read; what stands beside it need not be
        return ""


def _write_tables(out: Path, report: ImportReport, sizes: dict[str, float | str]) -> None:
    sections = [[row.name, row.embryo, _section(row), sizes[row.image]] for row in report.imported]
    _write_csv(out / "manifest.csv", ["name", "embryo", "section", "pixel_size_um"], sections)
    _write_csv(out / "report.csv", COLUMNS, [list(astuple(row)) for row in report.rows])


def _section(row: ImportRow) -> str:
    """The last number in a picture's name, which most microscopes count up; or nothing.

    For a section of a stack that is its own number, which stands last in the row's name.
    """
    folders = "_".join([*Path(row.image).parts[:-1], ""])
    found = re.search(r"(\d{1,9})\D*$", row.name.removeprefix(folders))
    return str(int(found[1])) if found else ""


def _write_csv(path: Path, columns: list[str], rows: list[list]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

"""The pictures and hand-drawn masks of the DevoWorm project of 2020, with masks made clean."""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devotools._files import check_new, whole_folder
from devotools._validate import InputError, check_same_shape
from devotools.exchange.archives import unpack
from devotools.exchange.download import NotThere, Source, cache_folder, fetch, git_blob_hash
from devotools.exchange.masks import clean_mask
from devotools.images import is_image, read_image, write_mask

URL = (
    "https://raw.githubusercontent.com/devoworm/GSoC-2020/master/"
    "Pre-trained%20Models%20(DevLearning)/notebooks/embryo_segmentation/data/image_data.tar.xz"
)
GIT_BLOB = "23a9852b327866e93b9e7bedec263824c55a5a67"  # git's own name of this very content
MAX_BYTES = 200 * 2**20
MAX_SECONDS = 1800.0
IMAGE_FOLDERS = {"image", "images", "img", "imgs", "original_images", "originals"}
MASK_FOLDERS = {"mask", "masks", "label", "labels", "annotations"}
KIND = re.compile(r"^(real|images?|img|masks?|labels?)(?=[_\-. \d]|$)[_\-. ]*", re.IGNORECASE)
ATTRIBUTION = """\
Micrographs of C. elegans embryos with hand-drawn masks of the nuclei, from the DevoWorm group's
Google Summer of Code 2020 (https://github.com/devoworm/GSoC-2020, "Pre-trained Models
(DevLearning)"). Its README says that the pictures are of the WormImage archive
(https://www.wormimage.org) and that the masks were drawn by hand.

Downloaded for you by devotools; devotools neither owns nor distributes these files.
masks_raw/ holds the masks as they came; masks/ the same ones cleaned by devotools (cut at half of
their maximum, opened by a 3 x 3 cross, objects under 20 pixels removed).

Terms: we know of no licence that is published for them. Use them for yourself and in class, name
DevoWorm and WormImage wherever you show one, and ask both before you publish or pass on any.
"""


@dataclass(frozen=True)
class MaskSet:
    """What was fetched: the folder, the sections' names, and (file, reason) of what was not."""

    folder: Path
    names: list[str]
    refused: list[tuple[str, str]]
    attribution: str


def fetch_devoworm_masks(
    out: str | Path,
    *,
    progress: Callable[[int, int], object] | None = None,
    cache: str | Path | None = None,
) -> MaskSet:
    """Fetch the 2020 project's pictures and hand-drawn masks into ``out``, a new folder.

    ``out`` gets ``images/`` (as they came), ``masks_raw/`` (as they came) and ``masks/`` (through
    :func:`~devotools.exchange.clean_mask`), one name for the three; ATTRIBUTION.txt; and
    report.csv with what was refused and why. There is no manifest: the files do not say of which
    embryo a picture is (probably all of one). The archive's git blob hash is verified before a
    byte of it is used; half a download is gone on with. ``progress(done, total)`` is called after
    each section. ``DEVOTOOLS_DATA_URL`` names a mirror.

    Raises :class:`~devotools._validate.InputError` without a network, for another archive than
    the one of 2020, and where its folders cannot be told apart. Source: devoworm/GSoC-2020.
    Taught in lesson 06; docs/data/devoworm-masks.md is the data card.
    """
    check_new(Path(out))
    archive = _fetch_archive(cache_folder(cache))
    with tempfile.TemporaryDirectory() as scratch, whole_folder(out) as unfinished:
        unpack(archive, Path(scratch) / "data")
        images, masks = find_folders(Path(scratch) / "data")
        pairs, refused = pair_loosely(images, masks)
        names = []
        for done, (name, image, mask) in enumerate(pairs, start=1):
            try:
                _write_section(unfinished, name, image, mask)
                names.append(name)
            except InputError as error:
                refused.append((image.name, str(error).replace(scratch, "")))
            if progress is not None:
                progress(done, len(pairs))
        if not names:
            raise InputError(
                f"{archive.name!r} gave no picture with a mask that fits ({refused[:3]}); expected "
                "some. Please report this: the archive is not as the project knows it."
            )
        _write_report(unfinished, names, refused)
    return MaskSet(Path(out), names, refused, ATTRIBUTION)


def _fetch_archive(cache: Path) -> Path:
    source = Source(URL, _check_blob, MAX_BYTES, MAX_SECONDS, resumable=True)
    try:
        return fetch(source, cache)
    except NotThere as error:
        raise InputError(
            f"{str(error)!r} is not there (404); expected the masks of 2020. They may have moved: "
            "see docs/data/devoworm-masks.md. Meanwhile `devotools synthesize --out drawn` draws "
            "labelled embryos."
        ) from error


def _check_blob(path: Path) -> None:
    found = git_blob_hash(path)
    if found != GIT_BLOB:
        raise ValueError(f"its git blob hash is {found}; the file of 2020 has {GIT_BLOB}")


def find_folders(root: Path) -> tuple[Path, Path]:
    """The folder of images and that of masks, told by their names, side by side below ``root``.

    Raises :class:`~devotools._validate.InputError` where there is none, or more than one.
    """
    folders = [p for p in (root, *sorted(root.rglob("*"))) if p.is_dir() and _pictures(p)]
    folders = [p for p in folders if "__MACOSX" not in p.parts]
    images = [p for p in folders if p.name.lower() in IMAGE_FOLDERS]
    masks = [p for p in folders if p.name.lower() in MASK_FOLDERS]
    sides = [(i, m) for i in images for m in masks if i.parent == m.parent]
    if not sides and len(images) == len(masks) == 1:
        sides = [(images[0], masks[0])]
    if len(sides) != 1:
        found = ", ".join(p.relative_to(root).as_posix() or "." for p in folders[:10]) or "none"
        raise InputError(
            f"the archive holds pictures in these folders: {found}; expected one pair such as "
            "images/ and masks/. Unpack it yourself, and give the two folders to import_folder "
            "(`devotools import`)."
        )
    return sides[0]


def pair_loosely(
    images: Path, masks: Path
) -> tuple[list[tuple[str, Path, Path]], list[tuple[str, str]]]:
    """Pair ``real_3.jpg`` with ``mask_3.jpg``: by name, less the word that tells the kind.

    Returns (name, image, mask) by name, and (file, reason) for what has no partner or two.
    """
    sides = [_by_key(folder) for folder in (images, masks)]
    pairs, refused = [], []
    for key in sorted(sides[0].keys() | sides[1].keys()):
        of_images, of_masks = sides[0].get(key, []), sides[1].get(key, [])
        if len(of_images) == len(of_masks) == 1:
            pairs.append((of_images[0].stem, of_images[0], of_masks[0]))
            continue
        many = max(len(of_images), len(of_masks)) > 1
        why = "several files of this name" if many else "no partner of this name"
        refused += [(f"{p.parent.name}/{p.name}", why) for p in [*of_images, *of_masks]]
    return pairs, refused


def _by_key(folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in _pictures(folder):
        groups[KIND.sub("", path.stem).lower()].append(path)
    return groups


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and is_image(path))


def _write_section(out: Path, name: str, image: Path, mask: Path) -> None:
    drawn = read_image(mask)
    check_same_shape(read_image(image), drawn, (f"image {image.name!r}", f"mask {mask.name!r}"))
    write_mask(out / "masks" / f"{name}.png", clean_mask(drawn))
    for folder, path in (("images", image), ("masks_raw", mask)):
        (out / folder).mkdir(exist_ok=True)
        shutil.copyfile(path, out / folder / f"{name}{path.suffix.lower()}")


def _write_report(out: Path, names: list[str], refused: list[tuple[str, str]]) -> None:
    (out / "ATTRIBUTION.txt").write_text(ATTRIBUTION, encoding="utf-8")
    with open(out / "report.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "status", "reason"])
        writer.writerows([name, "imported", ""] for name in names)
        writer.writerows([name, "refused", why] for name, why in refused)

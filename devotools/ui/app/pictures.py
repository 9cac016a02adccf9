"""Pictures as the app takes them in: from an upload, from a folder, or drawn as examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import tifffile
from PIL import Image

from devotools._validate import InputError, check_folder
from devotools.images import FORMATS, is_tiff, of_any_size, read_image, silent_tifffile
from devotools.pipeline import find_jobs, read_pixel_size
from devotools.synthetic import Appearance, synthesize_series

from .corrections import Corrections

MAX_PIXELS = 2**26  # 8192 x 8192: a browser shows it, and a laptop's memory holds it
EXAMPLE_SECTIONS = 6


@dataclass
class Picture:
    """One picture of a session: its file, its name in the tables, and what is known of it.

    ``error`` is the sentence that says why it cannot be used, or empty; ``refused`` says that it is
    the network that cannot take it, as model and nucleus size are set, and ``no_room`` that its
    answer could not be kept: both may pass. ``probability`` is the file of the network's answer, an
    (H, W) float32 array, and ``scale`` the factor by which the network saw the picture enlarged;
    None until it has run. ``pixel_size_um`` is what the file says.
    """

    path: Path
    name: str
    error: str = ""
    refused: bool = False
    no_room: bool = False
    seconds: float = 0.0
    probability: Path | None = None
    scale: float | None = None
    pixel_size_um: float | None = None
    corrections: Corrections = field(default_factory=Corrections)

    def read(self) -> np.ndarray:
        """The picture as (H, W) float32 in [0, 1]."""
        return read_image(self.path)


def take_in(path: str | Path, name: str) -> Picture:
    """Look at one file: a picture that can be used, or one with the reason why it cannot."""
    picture = Picture(Path(path), name)
    try:
        _check_size(picture.path, name)
        picture.read()
        picture.pixel_size_um, _ = read_pixel_size(picture.path)
    except InputError as error:
        picture.error = str(error).replace(repr(str(picture.path)), repr(name))
    return picture


def _check_size(path: Path, name: str) -> None:
    """Refuse what is too large by its header, before memory is taken for its pixels."""
    shape = _claimed_shape(path)
    if np.prod(shape, dtype=float) > MAX_PIXELS:
        raise InputError(
            f"{name!r} has {' x '.join(map(str, shape))} pixels, "
            f"{np.prod(shape) / 1e6:.0f} megapixels; expected {MAX_PIXELS / 1e6:.0f} at most in "
            "the browser. Cut it into smaller pictures, or use the command devotools segment."
        )


def _claimed_shape(path: Path) -> tuple[int, ...]:
    """Rows and columns as the file's header has them; none where `read_image` will say why."""
    try:
        with warnings.catch_warnings(), silent_tifffile():
            warnings.simplefilter("ignore")
            if is_tiff(path):
                with tifffile.TiffFile(path) as tiff:
                    return tuple(int(side) for side in tiff.pages[0].shape[:2])
            with of_any_size(), Image.open(path, formats=FORMATS) as picture:
                return picture.size[::-1]
    except Exception:  # noqa: BLE001 - a damaged file fails in many ways; reading it tells which
        return ()


def free_name(name: str, taken: set[str]) -> str:
    """A name that no other picture has: ``a.png``, then ``a_2.png``.

    >>> free_name("a.png", {"a.png"})
    'a_2.png'
    """
    path, number, candidate = PurePosixPath(name), 1, name
    while candidate.casefold() in {other.casefold() for other in taken}:
        number += 1
        candidate = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
    return candidate


def folder_pictures(root: str | Path | None, folder: str) -> list[tuple[Path, str]]:
    """The files of a folder under ``root``, each with its name relative to that folder.

    Raises :class:`~devotools._validate.InputError` for a place outside ``root``, and where there
    is no picture. Sub-folders are included, hidden files are not.
    """
    inside = resolve_inside(root, folder)
    jobs = find_jobs([check_folder(inside)], inside / "results")
    return [(job.path, job.image) for job in jobs]


def resolve_inside(root: str | Path | None, name: str) -> Path:
    """The path ``name`` under ``root``, sure not to lead out of it, by ``..`` or by a link."""
    if root is None:
        raise InputError(
            f"{name!r} cannot be opened: the app was started without a folder; expected one. "
            "Start it with a folder, for example devotools app my_micrographs, or upload the files."
        )
    root = Path(root).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise InputError(
            f"{name!r} lies outside the folder that the app was started with; expected a place "
            "inside it. Start the app with another folder, or upload the files."
        )
    return path


def draw_examples(folder: Path) -> list[tuple[Path, str]]:
    """Draw the sections of one embryo into ``folder``, as TIFFs that say their pixel size."""
    plain = Appearance().without("second_embryo", "label_bar", "folds", "wedge", "frame")
    series = synthesize_series(
        nuclei=30, sections=EXAMPLE_SECTIONS, size=256, seed=46, appearance=plain
    )
    files = []
    for number, image in enumerate(series.images, start=1):
        name = f"example_{number}.tif"
        tifffile.imwrite(
            folder / name,
            np.round(image * 255).astype(np.uint8),
            imagej=True,
            resolution=(1 / series.pixel_size_um, 1 / series.pixel_size_um),
            metadata={"unit": "um"},
        )
        files.append((folder / name, name))
    return files

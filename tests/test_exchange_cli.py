"""`devotools import`: what it says, and how it ends."""

import numpy as np
import pytest
from helpers import draw_discs, files_under, picture_of, run_command
from PIL import Image

from devotools.images import write_image, write_mask


@pytest.fixture
def devotools(monkeypatch, capsys, tmp_path):
    """Two good sections of embryo E1; run ``devotools import`` on them."""
    for name in ("s1", "s2"):
        write_image(tmp_path / "images" / "E1" / f"{name}.png", picture_of(draw_discs()))
        write_mask(tmp_path / "masks" / "E1" / f"{name}.png", draw_discs() > 0)

    def run(*options):
        folders = ("--images", tmp_path / "images", "--masks", tmp_path / "masks")
        return run_command(
            monkeypatch, capsys, "import", *folders, "--out", tmp_path / "out", *options
        )

    return run


def test_all_taken(devotools, tmp_path):
    code, said, complaints = devotools("--pixel-size", "0.1")
    assert (code, "refused" in complaints, "not known" in complaints) == (0, False, False)
    assert f"2 pictures imported into {tmp_path / 'out'}" in said
    manifest = (tmp_path / "out" / "manifest.csv").read_text()
    assert "E1_s1,E1,1,0.1" in manifest


def test_some_refused(devotools, tmp_path):
    mask = Image.fromarray((draw_discs() > 0).astype(np.uint8) * 255)
    mask.save(tmp_path / "masks" / "s3.jpg")
    write_image(tmp_path / "images" / "s3.png", picture_of(draw_discs()))
    code, said, complaints = devotools()
    assert (code, "2 pictures imported" in said) == (1, True)
    assert "refused: s3.png: mask" in complaints
    assert "--clean" in complaints


def test_a_refused_mask_is_taken_when_asked_for(devotools, tmp_path):
    mask = Image.fromarray((draw_discs() > 0).astype(np.uint8) * 255)
    mask.save(tmp_path / "masks" / "s3.jpg")
    write_image(tmp_path / "images" / "s3.png", picture_of(draw_discs()))
    code, said, complaints = devotools("--clean")
    assert (code, "3 pictures imported" in said) == (0, True)
    assert "some embryos are not known" in complaints
    assert devotools("--clean")[0] == 2


def test_nothing_to_take(devotools, tmp_path):
    for path in (tmp_path / "masks").rglob("*.png"):
        path.write_bytes(b"rubbish")
    code, said, complaints = devotools("--embryo", "E")
    assert (code, said) == (2, "")
    assert "none of 2 files could be imported" in complaints
    assert not any("out" in name for name in files_under(tmp_path))

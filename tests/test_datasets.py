"""Datasets: shapes, workers, folders, manifests, and the split that keeps embryos whole."""

import csv
import hashlib
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import draw_discs, files_under, write_dataset, write_section
from torch.utils.data import DataLoader

from devotools import datasets
from devotools._validate import InputError
from devotools.augment import eval_transform, train_transform
from devotools.datasets import (
    NucleusDataset,
    add_to_manifest,
    make_loader,
    read_dataset,
    split_by_embryo,
    synthesize_dataset,
)
from devotools.images import ImageMaskPair, read_image, read_labels, read_mask, write_mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pairs(folder):
    return read_dataset(folder)


# --- items


def test_an_item_is_image_and_mask_alike(pairs):
    image, mask = NucleusDataset(pairs)[0]
    assert image.shape == mask.shape == (1, 48, 48)
    assert image.dtype == mask.dtype == torch.float32
    np.testing.assert_array_equal(mask[0].numpy() > 0, read_mask(pairs[0].mask))
    np.testing.assert_array_equal(image, mask)  # bright nuclei, stretched from 0 to 1
    assert len(NucleusDataset(pairs)) == 6


@pytest.mark.parametrize("transform", [train_transform(40, 0), eval_transform(40)])
def test_a_transformed_item_is_square_and_its_mask_binary(pairs, transform):
    for image, mask in (NucleusDataset(pairs, transform)[n] for n in range(6)):
        assert image.shape == mask.shape == (1, 40, 40)
        assert set(mask.unique().tolist()) <= {0, 1}
        assert 0 <= image.min() <= image.max() <= 1


def test_items_that_do_not_fit_are_refused(tmp_path, pairs):
    with pytest.raises(InputError, match="pairs is empty"):
        NucleusDataset([])
    write_mask(tmp_path / "small.png", np.eye(4) > 0)
    with pytest.raises(InputError, match=r"e0_s0\.png' has shape \(48, 48\) and mask .*small"):
        NucleusDataset([ImageMaskPair(pairs[0].image, tmp_path / "small.png")])[0]


# --- batches


def batches(pairs, *, workers, seed, epochs=1, transform_seed=0):
    loader = DataLoader(
        NucleusDataset(list(pairs) * 2, train_transform(32, transform_seed)),
        batch_size=4,
        shuffle=True,
        num_workers=workers,
        generator=torch.Generator().manual_seed(seed),
    )
    return [torch.cat(batch) for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_batches(pairs, workers):
    first, again = (batches(pairs, workers=workers, seed=1, epochs=2) for _ in range(2))
    assert len(first) == 6
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = batches(pairs, workers=workers, seed=2)
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=False))


def test_workers_do_not_repeat_each_other_and_epochs_differ(pairs):
    # One section again and again: whatever differs comes from the augmentation.
    one = batches([pairs[0]] * 8, workers=2, seed=0, epochs=2)
    seen = {picture.numpy().tobytes() for batch in one for picture in batch[:4]}
    assert len(seen) == 32


def test_make_loader_follows_from_its_seed(pairs):
    def order(**options):
        loader = make_loader(NucleusDataset(pairs), 2, **options)
        return [image.sum().item() for images, _ in loader for image in images]

    assert order(shuffle=True, seed=3) == order(shuffle=True, seed=3, workers=2)
    assert sorted(order(shuffle=True)) == pytest.approx(sorted(order(shuffle=False)))
    for bad in ({"batch_size": 0}, {"batch_size": 2, "workers": -1}):
        with pytest.raises(InputError, match="expected a whole number"):
            make_loader(NucleusDataset(pairs), shuffle=True, **bad)


# --- folders and manifests


def test_a_folder_is_read_with_labels_and_origin(pairs):
    assert [pair.name for pair in pairs][:2] == ["e0_s0", "e0_s1"]
    assert [(pair.embryo, pair.section) for pair in pairs][:3] == [("e0", 0), ("e0", 1), ("e1", 0)]
    assert all(pair.labels.stem == pair.name for pair in pairs)


@pytest.fixture
def small(tmp_path):
    for name in ("a", "day.2"):
        write_section(tmp_path, name, draw_discs())
    return tmp_path


def test_labels_and_manifest_are_optional(small):
    for file in (small / "labels").iterdir():
        file.unlink()
    (small / "labels" / "a.txt").write_text("a note, no label image")
    a, day = read_dataset(str(small))
    assert a.labels is a.embryo is a.section is day.labels is None


@pytest.mark.parametrize(
    "text",
    [
        "name,embryo,section\na,E1,3\nday.2,E1,4\n",
        "name,embryo,section\r\na,E1,3\r\nday.2,E1,4\r\n",
        "\ufeffname,embryo,section\na,E1,3\nday.2,E1,4",
        "section,name,more,embryo\n3,a.png,x,E1\n4,images/day.2.png,y,E1\n",
        'name,embryo,section\n"a"," E1 ", 3\nday.2.TIF,E1,4\n\n',
        "name,embryo,section\nimages\\a.png,E1,3\nC:\\my data\\day.2.png,E1,4,,\n",
    ],
    ids=["plain", "windows", "excel", "suffixes", "spaces", "paths"],
)
def test_manifests_of_many_kinds(small, text):
    (small / "manifest.csv").write_bytes(text.encode())
    assert [(p.embryo, p.section) for p in read_dataset(small)] == [("E1", 3), ("E1", 4)]


@pytest.mark.parametrize(
    "text",
    [
        "name;embryo;section\na;E1;3\nday.2;E1;4\n",
        "name\tembryo\tsection\na\tE1\t3\nday.2\tE1\t4\n",
        "\ufeffName; Embryo ;SECTION;Notiz\na;E1;3;gut, aber dunkel\nday.2;E1;4;\n",
    ],
)
def test_manifests_of_other_countries_spreadsheets(small, text):
    (small / "manifest.csv").write_text(text, encoding="utf-8")
    assert [(p.embryo, p.section) for p in read_dataset(small)] == [("E1", 3), ("E1", 4)]
    add_to_manifest(small / "manifest.csv", [{"name": "z", "embryo": "E2", "section": "1"}])
    assert [p.embryo for p in read_dataset(small)] == ["E1", "E1"]
    mark = next(mark for mark in ";\t" if mark in text)
    assert mark.join(["z", "E2", "1"]) in (small / "manifest.csv").read_text(encoding="utf-8")


def test_a_manifest_may_leave_gaps(small):
    (small / "manifest.csv").write_text("name,embryo,section\na,,\nb,E1,1\n")
    assert [(p.embryo, p.section) for p in read_dataset(small)] == [(None, None)] * 2
    (small / "manifest.csv").write_text("name,embryo,section\na,E1,first\n")
    assert [(p.embryo, p.section) for p in read_dataset(small)] == [("E1", None), (None, None)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name,embryo\na,E1\n", "lacks the columns section and has name, embryo; expected"),
        (b"Bild;embryo;section\na;E1;1\n", "lacks the columns name and has Bild, embryo, section"),
        (b"", "lacks the columns name, embryo, section and has none"),
        (b"name,embryo,section,Embryo\na,E1,1,E2\n", "more than one column embryo"),
        ("name,embryo,section\nä,E,1".encode("latin-1"), "cannot be read as a table"),
        ("name,embryo,section\na,E,1".encode("utf-16"), "cannot be read as a table"),
        (b"name,embryo,section\nc,E1,1\n", r"names 1 sections, .*'c', and none .*'a'"),
        (b"name,embryo,section\na,x,E1,1\n", r"more cells than columns, that of 'a'; .* quotes"),
        (b"name,embryo,section\na,E1,1\na.png,E2,2\n", r"says of 'a' both embryo 'E1' and 'E2'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(small, content, sentence):
    (small / "manifest.csv").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_dataset(small)


def test_rows_without_their_last_cell_still_name_the_embryo(small):
    (small / "manifest.csv").write_text("name,embryo,section\na,E1\nday.2,E1\n")
    assert [(p.embryo, p.section) for p in read_dataset(small)] == [("E1", None)] * 2
    with pytest.raises(InputError, match="there are 1 embryos"):
        split_by_embryo(read_dataset(small))


@pytest.mark.parametrize("name", ["s1.jpg", " s1", "s1.tif.tif"])
def test_a_manifest_may_name_files_that_look_like_more(tmp_path, name):
    """``s1.jpg.tif`` is called ``s1.jpg``, and ``s1.jpg`` alone would be called ``s1``."""
    write_section(tmp_path, name, draw_discs())
    for said in (name, f"images/{name}", *([f" {name} "] if name == name.strip() else [])):
        (tmp_path / "manifest.csv").write_text(f"name,embryo,section\n{said},E1,3\n")
        assert [pair.embryo for pair in read_dataset(tmp_path)] == ["E1"], said


def test_two_label_images_of_one_section_are_refused(small):
    shutil.copy(small / "labels" / "a.tif", small / "labels" / "a.tiff")
    with pytest.raises(InputError, match=r"has both 'a.tif' and 'a.tiff'; expected one"):
        read_dataset(small)


def test_two_spellings_of_an_embryo_are_refused(small):
    (small / "manifest.csv").write_text("name,embryo,section\na,E1,3\nday.2,e1,4\n")
    with pytest.raises(InputError, match=r"names the embryos 'E1' and 'e1'; expected one"):
        read_dataset(small)


def test_letters_with_accents_are_one_however_they_are_stored(tmp_path):
    """A Mac stores é as e and an accent, a table that was typed has one letter."""
    typed, stored = (unicodedata.normalize(form, "é1") for form in ("NFC", "NFD"))
    write_section(tmp_path, stored, draw_discs())
    write_section(tmp_path, "b", draw_discs())
    mask = tmp_path / "masks" / f"{stored}.png"
    mask.rename(mask.with_stem(typed))
    text = f"name,embryo,section\n{typed},{typed},0\nb,{stored},1\n"
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    first, other = read_dataset(tmp_path)
    assert (first.name, first.embryo, other.name, other.embryo) == ("b", typed, typed, typed)
    assert other.labels is not None


def test_label_images_of_other_names_are_refused(small):
    for file in list((small / "labels").iterdir()):
        file.rename(file.with_stem(f"{file.stem}_labels"))
    with pytest.raises(InputError, match=r"holds 2 label images, .*'a_labels', and none has"):
        read_dataset(small)


@pytest.mark.parametrize("wrong", ["folder", "pair", "words", "dataset"])
def test_what_is_no_list_of_pairs_is_refused(pairs, wrong):
    given = {
        "folder": "data",
        "pair": pairs[0],
        "words": ["a.png", "b.png"],
        "dataset": NucleusDataset(pairs),
    }[wrong]
    for use in (NucleusDataset, split_by_embryo):
        with pytest.raises(InputError, match=r"ImageMaskPair.*read_dataset"):
            use(given)


def test_loaders_say_what_they_need(tmp_path, pairs):
    for wrong in ({"shuffle": "no"}, {"shuffle": True, "seed": -1}, {"shuffle": True, "seed": 1.5}):
        with pytest.raises(InputError, match="expected"):
            make_loader(NucleusDataset(pairs), 2, **wrong)
    assert len(make_loader(NucleusDataset(pairs), 2, shuffle=True, seed=np.int64(3)))
    write_section(tmp_path, "a", draw_discs())
    write_section(tmp_path, "b", draw_discs()[:40])
    loader = make_loader(NucleusDataset(read_dataset(tmp_path)), 2, shuffle=False)
    with pytest.raises(InputError, match=r"sizes \(1, 40, 64\), \(1, 64, 64\); .* a transform"):
        next(iter(loader))


def test_folders_that_are_no_data_are_refused(tmp_path, small):
    with pytest.raises(InputError, match=r"'.*nowhere' does not exist; expected a folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data folder's images/ .* does not exist"):
        read_dataset(small / "images")


# --- the split


def made_up(sections_of_embryos):
    return [
        ImageMaskPair(Path(f"{e}_{n}.png"), Path(f"{e}_{n}.png"), embryo=e, section=n)
        for e, count in sections_of_embryos.items()
        for n in range(count)
    ]


def embryos_of(side):
    return {pair.embryo for pair in side}


@pytest.mark.parametrize("seed", range(30))
def test_no_embryo_stands_on_two_sides(seed):
    rng = np.random.default_rng(seed)
    pairs = made_up({f"E{n}": int(rng.integers(1, 9)) for n in range(int(rng.integers(4, 20)))})
    split = split_by_embryo(pairs, val=rng.uniform(0, 0.3), test=rng.uniform(0, 0.3), seed=seed)
    sides = [embryos_of(side) for side in (split.train, split.val, split.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(embryos_of(pairs))
    assert sorted(map(id, split.train + split.val + split.test)) == sorted(map(id, pairs))
    assert all(sides)
    shuffled = [pairs[n] for n in rng.permutation(len(pairs))]
    options = {"val": 0.25, "test": 0.25, "seed": seed}
    assert split_by_embryo(pairs, **options) == split_by_embryo(shuffled, **options)


def test_shares_are_of_embryos_and_seeds_differ():
    pairs = made_up({f"E{n}": 3 for n in range(10)})
    split = split_by_embryo(pairs, val=0.2, test=0.3)
    assert [len(embryos_of(s)) for s in (split.train, split.val, split.test)] == [5, 2, 3]
    assert len({str(split_by_embryo(pairs, seed=seed)) for seed in range(5)}) > 3
    assert len(split_by_embryo(pairs, val=0, test=0).train) == 30
    assert len(embryos_of(split_by_embryo(pairs, val=0.01, test=0).val)) == 1


def test_sections_of_unknown_embryos_stand_alone():
    pairs = [ImageMaskPair(p.image, p.mask) for p in made_up({"E": 10})]
    split = split_by_embryo(pairs, val=0.2, test=0.2)
    assert [len(side) for side in (split.train, split.val, split.test)] == [6, 2, 2]


@pytest.mark.parametrize(
    ("embryos", "options", "sentence"),
    [
        (0, {}, "there are 0 embryos"),
        (1, {"test": 0}, r"there are 1 embryos; expected at least 2 .*Add embryos"),
        (2, {}, "expected at least 3"),
        (5, {"val": 1.0}, "there are 5 embryos"),
        (5, {"val": -0.1}, r"val is -0\.1; expected a number from 0 to 1"),
        (5, {"test": "a"}, "test is 'a'"),
        (5, {"val": float("nan")}, "val is nan"),
        (5, {"seed": -1}, "seed is -1"),
    ],
)
def test_a_split_that_cannot_be_is_refused(embryos, options, sentence):
    with pytest.raises(InputError, match=sentence):
        split_by_embryo(made_up({f"E{n}": 2 for n in range(embryos)}), **options)


# --- drawing a folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "new" / "set"
    done = []
    count = synthesize_dataset(
        out, embryos=2, sections=2, size=64, seed=0, progress=lambda: done.append(1)
    )
    assert (count, len(done)) == (4, 2)
    return out


def test_a_drawn_folder_lies_as_real_data_do(drawn):
    names = {f"embryo0{e}_section0{s}" for e in (1, 2) for s in (0, 1)}
    expected = {f"{kind}/{name}.png" for kind in ("images", "masks") for name in names}
    expected |= {f"labels/{name}.tif" for name in names} | {"manifest.csv", "states.csv"}
    assert files_under(drawn) == expected
    header, *rows = (drawn / "manifest.csv").read_text().splitlines()
    assert header.startswith("name,embryo,section")
    assert len(rows) == 4
    pairs = read_dataset(drawn)
    assert [(p.embryo, p.section) for p in pairs] == [
        (e, s) for e in ("embryo01", "embryo02") for s in (0, 1)
    ]
    for pair in pairs:
        labels = read_labels(pair.labels)
        assert read_image(pair.image).shape == labels.shape == (64, 64)
        np.testing.assert_array_equal(read_mask(pair.mask), labels > 0)


def test_a_drawn_folder_tells_the_state_of_each_nucleus(drawn):
    with open(drawn / "states.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "label", "state"]
    told = {(name, int(label)) for name, label, _ in rows}
    shown = {
        (pair.name, int(label))
        for pair in read_dataset(drawn)
        for label in np.unique(read_labels(pair.labels))
        if label
    }
    assert told == shown
    assert len(rows) == len(told)
    assert {state for _, _, state in rows} <= {"speckled", "condensed", "mixed"}


def pictures_in(folder):
    return {hashlib.sha256(f.read_bytes()).digest() for f in (folder / "images").iterdir()}


def test_seeds_share_no_picture_and_repeat_themselves(drawn, tmp_path):
    for name, seed in (("again", 0), ("other", 1)):
        synthesize_dataset(tmp_path / name, embryos=2, sections=2, size=64, seed=seed)
    assert pictures_in(tmp_path / "again") == pictures_in(drawn)
    assert len(pictures_in(drawn)) == 4
    assert not pictures_in(tmp_path / "other") & pictures_in(drawn)


def test_an_empty_folder_is_filled_even_the_one_we_stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthesize_dataset(".", embryos=1, sections=1, size=64)
    assert {p.name for p in tmp_path.iterdir()} == {
        "images",
        "masks",
        "labels",
        "manifest.csv",
        "states.csv",
    }


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="exists and is not empty; expected a new folder"):
            synthesize_dataset(out, embryos=1, sections=1, size=64)
    with pytest.raises(InputError, match="cannot be written"):
        synthesize_dataset(tmp_path / "mine.txt" / "new", embryos=1, sections=1, size=64)
    assert files_under(tmp_path) == {"mine.txt"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_left_after_a_failure(tmp_path, monkeypatch, failure, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    write = datasets.write_labels
    written = []

    def fail_at_the_third(path, labels):
        written.append(path)
        if len(written) == 3:
            raise failure
        write(path, labels)

    monkeypatch.setattr(datasets, "write_labels", fail_at_the_third)
    with pytest.raises((InputError, KeyboardInterrupt)):
        synthesize_dataset(out, embryos=2, sections=2, size=64)
    assert list(tmp_path.rglob("*")) == ([out] if exists else [])


@pytest.mark.parametrize(
    "options",
    [{"embryos": 0}, {"embryos": 1.5}, {"sections": 0}, {"size": 63}, {"seed": -1}, {"size": "9"}],
)
def test_numbers_that_cannot_be_drawn_are_refused(tmp_path, options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name} is .*expected a whole number"):
        synthesize_dataset(
            tmp_path / "out", **({"embryos": 1, "sections": 1, "size": 64} | options)
        )
    assert not list(tmp_path.iterdir())

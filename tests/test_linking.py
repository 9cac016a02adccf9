"""Linking: one id for one nucleus through a series, and what the table in 3-D says."""

import numpy as np
import pandas as pd
import pytest
from helpers import draw_discs
from scipy.ndimage import center_of_mass

from devotools import synthesize_series
from devotools._validate import InputError
from devotools.exchange.stacks import open_stack, write_label_stack
from devotools.pipeline.linking import COLUMNS_3D, Tally, link_sections, measure_nuclei_3d

EMPTY = np.zeros((64, 64), np.int32)


def link(sections, **options):
    return np.stack(list(link_sections(sections, **options)))


def ids_at(linked, row, column):
    """The id at one place in each section."""
    return linked[:, row, column].tolist()


def renumbered(series, seed=0):
    """Each section with numbers of its own, large and in no order."""
    random = np.random.default_rng(seed)
    for section in series:
        numbers = np.zeros(section.max() + 1, np.int64)
        numbers[1:] = random.choice(10**6, section.max(), replace=False) + 1
        yield numbers[section]


# --- links -------------------------------------------------------------------------------------


def test_nuclei_keep_their_id_whatever_their_numbers():
    series = np.stack([draw_discs(radius=radius) for radius in (4, 6, 7, 5)])
    linked = link(renumbered(series))
    np.testing.assert_array_equal(linked > 0, series > 0)
    assert linked.dtype == np.int32
    for row, column in ((16, 16), (16, 44), (46, 30)):
        assert len(set(ids_at(linked, row, column))) == 1
    assert set(np.unique(linked)) == {0, 1, 2, 3}


def test_linking_undoes_a_renumbering_of_a_drawn_embryo():
    """The truth is the oracle: thin sections, so that neighbours overlap."""
    series = synthesize_series(sections=40, size=96, nuclei=12, seed=5)
    linked = link(renumbered(series.labels))
    pairs = np.unique(np.stack([series.labels.ravel(), linked.ravel()]), axis=1)
    pairs = pairs[:, pairs[0] > 0]
    shown = len(np.unique(series.labels)) - 1
    assert shown > 10
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] == shown


def test_nuclei_that_do_not_overlap_are_two():
    first, second = draw_discs([(20, 20)]), draw_discs([(20, 40)])
    assert ids_at(link([first, second]), 20, 20) == [1, 0]
    assert ids_at(link([first, second]), 20, 40) == [0, 2]


def test_threshold_decides():
    first, second = draw_discs([(20, 20)], 6), draw_discs([(20, 26)], 6)  # IoU about 0.25
    assert link([first, second], min_iou=0.2).max() == 1
    assert link([first, second], min_iou=0.4).max() == 2


def test_a_piece_over_two_nuclei_does_not_make_them_one():
    two = draw_discs([(20, 20), (20, 34)], 6)
    one = (two > 0).astype(np.int32)
    one[18:23, 20:35] = 1  # they touch, and were found as one piece
    linked = link([two, two, one, two, two])
    left, right = ids_at(linked, 20, 20), ids_at(linked, 20, 34)
    assert left[0] == left[1] == left[3] == left[4]
    assert right[0] == right[1] == right[3] == right[4]  # it went on behind the piece
    assert left[0] != right[0]
    assert left[2] in (left[0], right[0])


def test_partners_are_those_with_the_largest_sum():
    """One after another, greedily, would give the best pair first and leave the others alone."""
    first, second = np.zeros((1, 40), int), np.zeros((1, 40), int)
    first[0, 0:10], first[0, 10:22] = 1, 2  # a, b
    second[0, 3:13] = 1  # overlaps a by 7 and b by 3
    second[0, 13:22] = 2  # overlaps b by 9
    linked = link([first, second], min_iou=0.1)
    assert (linked[1, 0, 5], linked[1, 0, 20]) == (1, 2)
    third = np.zeros((1, 40), int)
    third[0, 6:18] = 1  # of a 4, of b 8: b is better alone
    third[0, 18:20] = 2  # of b 2 only
    linked = link([first, third], min_iou=0.01)
    # 8/16 for b with the first, nothing for a: 0.5; a with the first 4/18 and b 2/12: 0.39
    assert (linked[1, 0, 7], linked[1, 0, 19]) == (2, 3)


def test_many_nuclei_are_linked_in_groups():
    """A mosaic: a table of all against all would hold 100 million numbers."""
    grid = np.arange(1, 10_001, dtype=np.int32).reshape(100, 100)
    first = np.kron(grid, np.ones((3, 3), np.int32))
    second = np.roll(first, 1, axis=1)
    linked = link([first, second])
    inside = second[:, 1:]
    np.testing.assert_array_equal(linked[1][:, 1:], np.where(inside > 0, inside, 0))


# --- bridges -----------------------------------------------------------------------------------


def test_one_missed_section_is_bridged():
    nucleus, other = draw_discs([(20, 20)]), draw_discs([(46, 40)])
    both = np.where(other > 0, 2, nucleus)
    linked = link([both, both, other, both])
    assert ids_at(linked, 20, 20) == [1, 1, 0, 1]
    assert ids_at(linked, 46, 40) == [2, 2, 2, 2]
    assert ids_at(link([both, both, other, both], bridge_iou=None), 20, 20) == [1, 1, 0, 3]


def test_a_section_without_any_nucleus_is_bridged():
    nucleus = draw_discs()
    assert link([nucleus, nucleus, EMPTY, nucleus]).max() == 3


def test_two_missed_sections_are_not_bridged():
    nucleus = draw_discs([(20, 20)])
    assert ids_at(link([nucleus, nucleus, EMPTY, EMPTY, nucleus]), 20, 20) == [1, 1, 0, 0, 2]


def test_what_was_seen_once_is_not_bridged():
    """In thick sections one nucleus often ends where the next but one begins."""
    nucleus = draw_discs([(20, 20)])
    assert ids_at(link([EMPTY, nucleus, EMPTY, nucleus]), 20, 20) == [0, 1, 0, 2]


def test_a_bridge_needs_more_overlap_than_a_neighbour():
    nucleus, moved = draw_discs([(20, 20)], 6), draw_discs([(20, 26)], 6)
    assert link([nucleus, nucleus, moved]).max() == 1
    assert link([nucleus, nucleus, EMPTY, moved]).max() == 2


def test_a_bridge_does_not_take_a_nucleus_that_went_on():
    nucleus = draw_discs([(20, 20)], 6)
    moved = draw_discs([(20, 24)], 6)
    beside = np.where(draw_discs([(20, 12)], 6) > 0, 2, 0)
    last = np.where(moved > 0, 1, beside)
    linked = link([nucleus, nucleus, moved, last])
    assert ids_at(linked, 20, 24)[2:] == [1, 1]
    assert linked[3, 20, 10] == 2


# --- streaming and refusals --------------------------------------------------------------------


def test_sections_are_taken_one_at_a_time():
    taken = []

    def sections():
        for number in range(5):
            taken.append(number)
            yield draw_discs()

    linked = link_sections(sections())
    assert taken == []
    next(linked)
    assert taken == [0]
    next(linked)
    assert taken == [0, 1]


def test_the_input_is_left_alone():
    section = draw_discs()
    before = section.copy()
    link([section, section])
    np.testing.assert_array_equal(section, before)


def test_empty_series():
    assert list(link_sections([])) == []
    assert link([EMPTY, EMPTY]).max() == 0


@pytest.mark.parametrize(
    ("sections", "options", "message"),
    [
        ([draw_discs(), EMPTY[:9]], {}, r"section 1 has shape \(9, 64\) and section 0 has shape"),
        ([draw_discs().astype(float)], {}, r"section 0 has dtype float64; expected whole numbers"),
        ([draw_discs()], {"min_iou": 2}, r"min_iou is 2; expected a number from 0 to 1"),
        ([draw_discs()], {"bridge_iou": -1}, r"bridge_iou is -1; expected a number from 0 to 1"),
    ],
)
def test_refusals(sections, options, message):
    with pytest.raises(InputError, match=message):
        link(sections, **options)


# --- the table ---------------------------------------------------------------------------------


def test_table_by_hand():
    """A box of 2 sections x 3 rows x 4 columns, and one voxel."""
    volume = np.zeros((4, 8, 9), np.int32)
    volume[1:3, 2:5, 3:7] = 7
    volume[3, 0, 0] = 2
    table = measure_nuclei_3d(
        volume, image="stack.tif", pixel_size_um=0.5, section_thickness_um=2.0
    )
    expected = pd.DataFrame(
        [
            ("stack.tif", 2, 1, 3, 3, 3.0, 0.0, 0.0, 1, 1, 2.0, 0.5),
            ("stack.tif", 7, 2, 1, 2, 1.5, 3.0, 4.5, 24, 12, 4.0, 12.0),
        ],
        columns=list(COLUMNS_3D),
    ).astype(COLUMNS_3D)
    pd.testing.assert_frame_equal(table, expected)


def test_table_agrees_with_scipy():
    labels = synthesize_series(sections=10, size=64, nuclei=6, seed=3).labels
    table = measure_nuclei_3d(labels).set_index("label")
    ids = np.unique(labels)[1:]
    assert table.index.tolist() == ids.tolist()
    centres = np.array(center_of_mass(labels > 0, labels, ids))
    found = table[["centroid_section", "centroid_row", "centroid_col"]].to_numpy()
    np.testing.assert_allclose(found, centres)
    np.testing.assert_array_equal(table["volume_voxels"], np.bincount(labels.ravel())[ids])


def test_a_missed_section_counts_in_depth_and_not_in_sections():
    nucleus = draw_discs([(20, 20)])
    (row,) = measure_nuclei_3d(
        link_sections([nucleus, nucleus, EMPTY, nucleus]), section_thickness_um=0.5
    ).itertuples()
    assert (row.sections, row.first_section, row.last_section, row.depth_um) == (3, 0, 3, 2.0)
    assert row.volume_voxels == 3 * (nucleus > 0).sum()


def test_sections_of_several_sizes_are_refused():
    with pytest.raises(InputError, match=r"section 1 has shape \(9, 64\) and section 0 has shape"):
        measure_nuclei_3d([draw_discs(), EMPTY[:9]])


def test_unknown_sizes_are_nan():
    table = measure_nuclei_3d([draw_discs()], pixel_size_um=0.5)
    assert table[["depth_um", "volume_um3"]].isna().all(axis=None)
    table = measure_nuclei_3d([draw_discs()], section_thickness_um=0.5)
    assert (table["depth_um"] == 0.5).all()
    assert table["volume_um3"].isna().all()


def test_no_nucleus_gives_no_row():
    table = measure_nuclei_3d([EMPTY, EMPTY])
    assert table.columns.tolist() == list(COLUMNS_3D)
    assert len(table) == 0
    assert table.dtypes["label"] == np.int64


@pytest.mark.parametrize("name", ["pixel_size_um", "section_thickness_um"])
def test_sizes_are_checked(name):
    with pytest.raises(InputError, match=rf"{name} is 0; expected a number of micrometres"):
        measure_nuclei_3d([draw_discs()], **{name: 0})


def test_one_pass_links_writes_and_measures(tmp_path):
    sections = [draw_discs(radius=radius) for radius in (4, 6, 5)]
    tally, path = Tally(), tmp_path / "labels.tif"
    write_label_stack(path, tally.watch(link_sections(iter(sections))), (3, 64, 64))
    pd.testing.assert_frame_equal(tally.table(), measure_nuclei_3d(link(sections)))
    with open_stack(path) as stack:
        assert len(stack) == 3

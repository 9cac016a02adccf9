# %% [markdown]
# # 1. Explore the embryo
#
# Before a *network* (a formula with millions of adjustable numbers, lesson 3) sees a picture, you
# should. In this lesson you look at sections of an embryo of *C. elegans*, a worm one millimetre
# long, at the masks that say where its **nuclei** are (the parts of its cells that hold the DNA),
# and at a trap that makes scores look better than they are. At the end you measure how much that
# trap is worth.
#
# **What you will learn**
#
# - to read a serial section, and to say how one embryo becomes a series of pictures;
# - to pair image, mask and label image on disk by name;
# - to count nuclei and to measure them, in pixels and in micrometres;
# - to see through an *accuracy* that means nothing;
# - to split data by embryo, and to measure what happens when one does not.
#
# **What you need:** a little Python (variables, loops, functions), and what NumPy makes of
# `a.mean()` and `a[a > 0]`.
# **Time:** 35 minutes to read, 1 minute to run. **Memory:** 1.2 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import devotools as dt
from devotools import exercises, ui

# %% [markdown]
# ## What a section is
#
# An electron microscope cannot look into an embryo. So the embryo is set in resin and cut, with a
# knife of diamond, into sections far thinner than a cell. They are photographed one by one:
# *serial sections*. Real series are large and not ours to give away. We draw one instead, an
# embryo in three dimensions that is then cut, so that we know exactly where every nucleus is. To
# keep it short our sections lie about 1 µm apart; a microscopist cuts them more than ten times
# thinner.

# %%
one_embryo = dt.Appearance().without("second_embryo")  # no neighbour reaches into the picture
series = dt.synthesize_series(nuclei=24, sections=36, size=256, seed=39, appearance=one_embryo)
print("images", series.images.shape, series.images.dtype)  # (section, row, column)
print("labels", series.labels.shape, series.labels.dtype)
print("nuclei in the whole embryo:", len(series.nuclei))
print(f"one section to the next: {series.section_thickness_um:.2f} µm")

# %% [markdown]
# So one embryo became 36 pictures. Before we look at them, look at the embryo *from the side*.
# Each circle is a nucleus; each upright line is the knife.
#
# *Predict:* how many nuclei does section 18 meet? Count the circles that the thick line crosses.

# %%
# alt: The embryo seen from the side: 24 blue circles of similar size, the nuclei. Thin grey upright
#   lines mark every third section; a thick dashed black line marks section 18 and crosses several
#   circles.
_, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
for nucleus in series.nuclei.itertuples():
    middle = (nucleus.depth_um, nucleus.row_um)
    ax.add_patch(plt.Circle(middle, nucleus.radius_um, fill=False, edgecolor="#0072B2"))
for number in range(0, 36, 3):
    ax.axvline(number * series.section_thickness_um, color="grey", linewidth=0.6)
ax.axvline(18 * series.section_thickness_um, color="black", linestyle="--", linewidth=2)
ax.set(xlabel="distance from the first section (µm)", ylabel="row (µm)", aspect="equal")
_ = ax.set(xlim=(-1, 35), ylim=(38, 4), title="The embryo from the side, and section 18")

# %% [markdown]
# *Figure 1. The nuclei of one embryo from the side. The knife cuts from left to right: the thin
# lines are every third section, the thick dashed one is section 18. A nucleus is several sections
# wide, so it appears in several pictures.*

# %%
distance = abs(series.nuclei["depth_um"] - 18 * series.section_thickness_um)
print("circles that the line crosses:", (distance < series.nuclei["radius_um"]).sum())
labels_18 = series.labels[18]
print("nuclei labelled in section 18:", len(np.unique(labels_18[labels_18 > 0])))

# %% [markdown]
# Where the two numbers differ, a nucleus is only *grazed*: the knife takes a sliver of its edge. In
# the picture that is a faint smear, hard to tell from a *granule* (a grain or droplet of what the
# cell has in store), and two people would outline it in two ways, if at all. Our labels leave such
# slivers out. Every labelled data set has a rule like this one: find it before you compare numbers.
#
# ## Look before you compute
#
# Now the pictures, many at once and small: a *contact sheet*. *Look for three things:* the grey
# embryo on bright resin, the round bright nuclei with dark specks of chromatin, and what a program
# must learn to leave alone: dirt, the dark line at the right edge where the picture ends, and the
# black *label bar*, on which the microscope prints the picture's number (too small to read here).

# %%
# alt: Twelve grey pictures in three rows, every third section of a drawn embryo. The embryo grows
#   from the first section to the middle ones and shrinks again; bright round nuclei come and go.
titles = [f"section {number}" for number in range(0, 36, 3)]
_ = dt.show_batch(series.images[::3], columns=4, titles=titles)

# %% [markdown]
# *Figure 2. Every third section of one embryo, from one side to the other. Most nuclei show in two
# of these pictures, the others in one. The many small bright spots are granules, no nuclei: they
# are smaller, and have no dark specks.*
#
# In a running notebook you can move through *all* sections with the slider below. Follow one
# nucleus: it appears, grows, shrinks and is gone a few sections later. Then take away the
# outlines, guess where the nuclei are, and bring the outlines back. (Without a running notebook,
# figures 1 to 3 show some of it.)

# %%
ui.explore_series(series)

# %% [markdown]
# ## Mask and labels
#
# A *mask* says of every pixel whether it is nucleus: true or false. A *label image* says *which*
# nucleus it is: 0 is background, then 1, 2, 3 ... Two nuclei that touch are one blob in the mask,
# and two numbers in the labels. In small:
#
# ```text
# labels  2 2 5 5    mask  1 1 1 1
#         0 2 5 0          0 1 1 0
# ```
#
# *Predict before you run:* the mask below has two values. How many has the label image of the
# same section?

# %%
image, labels = series.images[18], series.labels[18]
mask = labels > 0
print("values in the mask:  ", np.unique(mask))
print("values in the labels:", np.unique(labels))

# %%
# alt: Four panels of the same section. The grey image with a scale bar; the mask, white nuclei on
#   black; the same with the number of its label on each nucleus; the image with a dashed blue
#   outline round each nucleus.
_, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
_ = dt.show_image(image, axes[0], title="image", pixel_size_um=series.pixel_size_um)
_ = dt.show_image(mask, axes[1], title="mask")
_ = dt.show_image(mask, axes[2], title="labels: which is which")
for nucleus in dt.measure_nuclei(labels).itertuples():
    place = (nucleus.centroid_col, nucleus.centroid_row)
    axes[2].annotate(nucleus.label, place, ha="center", va="center", color="#0072B2", weight="bold")
_ = dt.show_overlay(image, ax=axes[3], true=labels, title="outlines over the image")

# %% [markdown]
# *Figure 3. Image, mask, the numbers of the label image, and the outlines of the labels over the
# image. The scale bar is in micrometres. An egg of C. elegans is about 50 µm long; the knife went
# through this one at a slant, so its sections are shorter.*
#
# So the label image has one value for each nucleus, and 0. The numbers have gaps, because the other
# nuclei of this embryo lie in other sections: a nucleus keeps its number wherever it is cut.
#
# ## Few pixels are nucleus
#
# *Predict:* how much of the picture above is nucleus? A tenth, a quarter, a half?

# %%
print(f"section 18:   {100 * mask.mean():.1f} % of the pixels are nucleus")
print(f"all sections: {100 * (series.labels > 0).mean():.1f} %")

# %% [markdown]
# That is *class imbalance*: one answer is far more frequent than the other. It has a consequence
# that fools people every day, and you will find it in one line.
#
# ## Exercise 1.1: the lazy program
#
# A program answers "background" for every pixel of every picture. Its *accuracy* is the share of
# pixels in which it is right. Complete the function: it gets a mask, bool with True for nucleus,
# and returns the accuracy of the lazy program, a number from 0 to 1.

# %%
def lazy_accuracy(mask):
    return None  # your code


# %% tags=["solution"]
def lazy_accuracy(mask):
    return 1 - mask.mean()


# %%
exercises.check("1.1", lazy_accuracy)

# %%
exercises.hint("1.1")

# %% [markdown]
# On all sections together such a program has an accuracy of 0.96 (all but the 4.4 % above), and it
# finds nothing. Lesson 4 shows scores that it cannot fool.
#
# ## Exercise 1.2: how many nuclei?
#
# Complete the function: it gets a label image, an array of whole numbers, and returns how many
# nuclei it shows. Think of numbers with gaps, of nuclei that touch, of one that a dark fold in the
# section has parted in two pieces (both have its number), of a section without a nucleus, and of a
# small piece from the inside of a nucleus.

# %%
def count_nuclei(labels):
    return None  # your code


# %% tags=["solution"]
def count_nuclei(labels):
    return len(np.unique(labels[labels > 0]))


# %%
exercises.check("1.2", count_nuclei)

# %%
exercises.hint("1.2")

# %% [markdown]
# ## As files
#
# Real data come as folders. `synthesize_dataset` writes four drawn embryos, 32 sections of each,
# the same way, and two tables: which section is of which embryo, and, for lesson 7, in what state
# each nucleus is:

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=4, sections=32, size=256, seed=5)
for part in sorted(folder.iterdir()):
    files = sorted(path.name for path in part.iterdir()) if part.is_dir() else []
    print(f"{part.name:13}", f"{len(files)} files: {files[0]}, ..." if files else "a table")

# %% [markdown]
# The project that this course grew from paired images and masks by their *position* in two
# sorted lists. Let us lose one mask, and see what that would have done:

# %%
images = sorted((folder / "images").iterdir())
masks = sorted((folder / "masks").iterdir())
del masks[2]
for image_file, mask_file in list(zip(images, masks, strict=False))[:5]:
    right = "ok" if image_file.stem == mask_file.stem else "WRONG PAIR"
    print(f"{image_file.stem}  with  {mask_file.stem}   {right}")

# %% [markdown]
# From the lost mask on every pair is wrong, and nothing complains. `pair_files` goes by name
# instead. What does it say when we hide that mask for a moment?

# %%
place = folder / "masks" / images[2].name
lost = place.rename(folder / "lost.png")
try:
    dt.pair_files(folder / "images", folder / "masks")
except dt.InputError as error:
    print(error)
lost = lost.rename(place)

# %% [markdown]
# An error that names the orphan is a kindness: it comes before the work, not after. With all masks
# in place, `read_dataset` pairs them and adds what the table knows: which embryo, which section.

# %%
pairs = dt.read_dataset(folder)
print(len(pairs), "pairs; the third one:")
print(pairs[2].name, "from", pairs[2].embryo, "section", pairs[2].section)

# %% [markdown]
# ## How bright
#
# *Predict:* nuclei are brighter than the cytoplasm. Could you find them with a threshold alone,
# one brightness that parts nuclei from all the rest?

# %%
# alt: Histogram of brightness. Nuclei are shown by a solid orange line, everything else by a dashed
#   blue line; the nuclei lie between the dark cytoplasm and the bright resin and overlap with both.
#   Both lines end in a high bar at 1.
pictures = [dt.read_image(pair.image) for pair in pairs]
truth = [dt.read_mask(pair.mask) for pair in pairs]
inside = np.concatenate([p[m] for p, m in zip(pictures, truth, strict=True)])
outside = np.concatenate([p[~m] for p, m in zip(pictures, truth, strict=True)])
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
bins = np.linspace(0, 1, 60)
ax.hist(outside, bins, density=True, histtype="step", color="#0072B2", ls="--", label="the rest")
ax.hist(inside, bins, density=True, histtype="step", color="#D55E00", lw=2, label="nuclei")
ax.set(xlabel="brightness (0 black, 1 white)", ylabel="density", title="All sections")
_ = ax.legend()

# %% [markdown]
# *Figure 4. The brightness of nuclei overlaps with that of everything else. (Each line encloses the
# same area, though nuclei have far fewer pixels. The high bars at 1 come from overexposed pictures,
# in which nuclei and resin are white alike.) No threshold parts them: what a nucleus is, its
# surroundings decide. That is why we train a network.*
#
# ## How large
#
# `measure_nuclei` turns a label image into a table, one row a nucleus: where its middle is, its
# area, how far from round it is (*eccentricity*, 0 for a circle), and its mean brightness.

# %%
table = dt.measure_nuclei(labels, image, pixel_size_um=series.pixel_size_um)
table.drop(columns="area_um2").round(2)

# %% [markdown]
# A biologist wants micrometres, not pixels. The column with them is left out here, because it is
# yours to compute.
#
# ## Exercise 1.3: an area in square micrometres
#
# Complete the function: it gets a label image, the number of a nucleus, and how many micrometres a
# pixel is wide (and high). It returns the area of that nucleus in square micrometres, 0 if the
# section does not show it.

# %%
def area_um2(labels, number, pixel_size_um):
    return None  # your code


# %% tags=["solution"]
def area_um2(labels, number, pixel_size_um):
    return (labels == number).sum() * pixel_size_um**2


# %%
exercises.check("1.3", area_um2)

# %%
exercises.hint("1.3")

# %% [markdown]
# Now all sections of the embryo. *Predict:* are there more nuclei, or more cuts through nuclei?

# %%
# alt: Two panels. Left, bars for the number of nuclei cut in each of the 36 sections, most in the
#   middle of the embryo. Right, a histogram of the diameters of the cut nuclei in micrometres, with
#   a dashed line at the mean diameter of the whole nuclei, to the right of most cuts.
tables = [dt.measure_nuclei(one, pixel_size_um=series.pixel_size_um) for one in series.labels]
counts = [len(one) for one in tables]
diameters = 2 * np.sqrt(pd.concat(tables)["area_um2"] / np.pi)  # of a circle of that area
whole = 2 * series.nuclei["radius_um"]
_, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].bar(range(len(counts)), counts, color="#0072B2")
axes[0].set(xlabel="section", ylabel="nuclei cut", title="Nuclei in each section")
axes[1].hist(diameters, 15, color="#E69F00", edgecolor="black")
axes[1].axvline(whole.mean(), color="black", linestyle="--", label="mean of whole nuclei")
axes[1].set(xlabel="diameter (µm)", ylabel="cuts", title="How wide they were cut")
axes[1].legend(loc="upper left")
print(f"{sum(counts)} cuts through {len(series.nuclei)} nuclei")
print(f"mean diameter: {diameters.mean():.1f} µm as cut, {whole.mean():.1f} µm whole")

# %% [markdown]
# *Figure 5. Nuclei in each section, and their diameters where they were cut. There are far more
# cuts than nuclei: each is cut several times. And the cuts are narrower, on average, than the
# nuclei are.*
#
# A small circle need not be a small nucleus: it may be a large one, cut near its edge. Let us
# follow one nucleus through its sections. *Predict:* which shape has the curve of its diameters?

# %%
# alt: The diameter of one nucleus in each of its sections, as dots that rise and fall, close to a
#   dashed arch, the curve of a sphere.
one = series.nuclei.sort_values("sections").iloc[-1]  # the nucleus with most sections
depths, widths = [], []
for number, rows in enumerate(tables):
    for area in rows.loc[rows["label"] == one["id"], "area_um2"]:
        depths.append(number * series.section_thickness_um - one["depth_um"])
        widths.append(2 * np.sqrt(area / np.pi))
x = np.linspace(-1, 1, 101) * one["radius_um"]
_, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
ax.plot(x, 2 * np.sqrt(one["radius_um"] ** 2 - x**2), "--", color="black", label="a sphere")
ax.plot(depths, widths, "o", color="#D55E00", label="as cut")
ax.set(xlabel="distance from the middle of the nucleus (µm)", ylabel="diameter (µm)")
_ = ax.legend(loc="lower center")

# %% [markdown]
# *Figure 6. One nucleus in all its sections. Only the middle one shows how wide it is; towards its
# ends it looks smaller and smaller, as a sphere would. Whoever wants the size of one nucleus needs
# the series, not one section.*

# %% [markdown]
# ## Neighbours are much alike
#
# Now to the trap. Here are four embryos; below each section stands its direct neighbour. *Look down
# the columns, then along the rows:* which two pictures are more alike?

# %%
# alt: Eight sections in two rows. Each column holds two neighbouring sections of one embryo, which
#   look much alike; the four columns differ in brightness, grain and the places of the nuclei.
shown = [pair for section in (16, 17) for pair in pairs if pair.section == section]
titles = [f"{pair.embryo}, section {pair.section}" for pair in shown]
axes = dt.show_batch(
    np.stack([dt.read_image(pair.image) for pair in shown]),
    np.stack([dt.read_mask(pair.mask) for pair in shown]),
)
for ax, title in zip(axes.flat, titles, strict=True):
    ax.set_title(title, fontsize=9)

# %% [markdown]
# *Figure 7. Two neighbouring sections of each of four embryos, one above the other. Within an
# embryo the stain, the light and the grain are the same, and about half of the nuclei are in both
# pictures, in the same places; between embryos nothing is. The magnification is not either, up to
# threefold, so do not compare nuclei of two embryos by eye. (Where a piece of another embryo lies
# at the edge of a picture, its nuclei are outlined too.)*
#
# How alike are the *masks* of two sections, next to each other and further apart? We measure it on
# our long series with the *Dice score*: 1 means that the nuclei lie in the same places, 0 that
# they share no pixel. (Lesson 4 counts it by hand. Pairs of sections in which there is no nucleus
# are left out.)

# %%
# alt: A line that falls: neighbouring sections share much of their nuclei, and the overlap
#   falls to almost nothing a few sections further on.
foreground = series.labels > 0
distances = np.arange(1, 9)
overlap = []
for step in distances:
    both = zip(foreground, foreground[step:], strict=False)
    overlap.append(np.mean([dt.dice_score(a, b) for a, b in both if a.any() or b.any()]))
print(f"overlap of direct neighbours: {overlap[0]:.2f}; 8 sections apart: {overlap[-1]:.2f}")
_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(distances * series.section_thickness_um, overlap, "o-", color="#0072B2")
_ = ax.set(xlabel="distance (µm)", ylabel="overlap of nuclei (Dice)", ylim=(0, 1))

# %% [markdown]
# *Figure 8. Overlap of the nuclei against the distance of two sections. When they lie further apart
# than a nucleus is wide, only chance is left: a nucleus where another one was. Real sections are
# cut thinner than ours, so real neighbours are more alike still.*
#
# ## Measure the leak
#
# One usually divides labelled data in three: *training* data to learn from, *validation* data to
# choose by, *test* data for one look at the end. Suppose that section 5 is used for training and
# section 6 for testing. The network has then seen a very similar picture before, with the answer.
# Its score tells how well it *remembers*. This is *leakage*.
#
# How much is it worth? We take a "model" that can do nothing *but* remember, so that no training is
# needed: for a new picture it looks up the most similar picture of the training data and hands in
# the mask of that one. (It is called a *nearest neighbour*. Similar means here: both pictures made
# small, 32 x 32 pixels, and correlated.) It knows nothing of nuclei.

# %%
# 256 x 256 pixels in blocks of 8 x 8; of each block the mean. You may skip how this is done.
small = np.stack([p.reshape(32, 8, 32, 8).mean((1, 3)).ravel() for p in pictures])  # (128, 1024)
small -= small.mean(axis=1, keepdims=True)
small /= np.linalg.norm(small, axis=1, keepdims=True)
alike = small @ small.T  # (128, 128) correlations, 1 is the same picture


def remember(number, training):
    """The training section that is most like section `number`; its mask is the answer."""
    return training[np.argmax(alike[number, training])]


# %% [markdown]
# We divide the sections in four parts, test on each part, and "train" on the other three. So each
# section that shows a nucleus is tested once. (The few without any are left out: an empty answer to
# them is right by luck.) We do this in two ways: the parts drawn at random, and one embryo a part.
# Model, pictures and score are the same. *Predict:* what will the two scores be?

# %%
embryos = np.array([int(pair.embryo.removeprefix("embryo")) for pair in pairs])
at_random = np.random.default_rng(0).permutation(len(pairs)) % 4
has_nuclei = np.array([mask.any() for mask in truth])  # the others would only be empty answers
with_nuclei = np.flatnonzero(has_nuclei)


def mean_dice(parts):
    """Test each section on what the other parts remember; the mean Dice and the answers."""
    others = {n: np.flatnonzero(has_nuclei & (parts != parts[n])) for n in with_nuclei}
    answers = {n: remember(n, known) for n, known in others.items()}
    return np.mean([dt.dice_score(truth[n], truth[m]) for n, m in answers.items()]), answers


leaky_dice, leaky_answers = mean_dice(at_random)
honest_dice, honest_answers = mean_dice(embryos)
print(f"random split:    Dice {leaky_dice:.2f}")
print(f"split by embryo: Dice {honest_dice:.2f}")

# %% [markdown]
# The second number is the truth about this model: on a new embryo it is useless. The first number
# is what a careless paper would report. *Look at one section,* and at what was answered:

# %%
# alt: Two panels with the same section, true nuclei in dashed blue. Left, after a random split, the
#   solid orange answer covers much of them: it is the mask of a neighbouring section. Right, after
#   a split by embryo, the orange answer comes from another embryo and lies anywhere.
leaky = {n: dt.dice_score(truth[n], truth[m]) for n, m in leaky_answers.items()}
test = min(with_nuclei, key=lambda n: abs(leaky[n] - leaky_dice))  # the one nearest to the mean
_, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
ways = {"random split": leaky_answers, "split by embryo": honest_answers}
for ax, (way, answers) in zip(axes, ways.items(), strict=True):
    answer = answers[test]
    title = f"{way}: the mask of\n{pairs[answer].embryo}, section {pairs[answer].section}"
    _ = dt.show_overlay(pictures[test], truth[answer], ax, true=truth[test], title=title)
print("tested:", pairs[test].embryo, "section", pairs[test].section)

# %% [markdown]
# *Figure 9. A section whose score in the random split is close to the mean, tested in both ways.
# Dashed blue: its true nuclei. Solid orange: the answer. Left, the answer is copied from a
# neighbouring section; right, from another embryo, and it has nothing to do with the picture.*
#
# Could one save the random split by leaving out of the training whatever lies *directly* beside a
# test section? *Predict*, then look how the score falls with the gap.

# %%
# alt: A falling line: the Dice of the remembered masks against the gap that is kept free round each
#   test section. It drops over the first three points and then hardly; a dotted line below all
#   points marks the split by embryo.
sections = np.array([pair.section for pair in pairs])
gaps = [1, 2, 3, 5, 8, 12]
scores = []
for gap in gaps:  # sections of the same embryo closer than `gap` are not remembered
    far = [(embryos != embryos[n]) | (abs(sections - sections[n]) >= gap) for n in with_nuclei]
    far = [np.flatnonzero(has_nuclei & ok) for ok in far]
    found = [remember(n, known) for n, known in zip(with_nuclei, far, strict=True)]
    pairs_of = zip(with_nuclei, found, strict=True)
    scores.append(np.mean([dt.dice_score(truth[n], truth[m]) for n, m in pairs_of]))
print("gap ", *(f"{gap:5}" for gap in gaps))
print("Dice", *(f"{score:5.2f}" for score in scores))
_, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
ax.plot(gaps, scores, "o-", color="#D55E00", label="same embryo in training")
ax.axhline(honest_dice, color="black", linestyle=":", label="split by embryo")
ax.set(xlabel="nearest training section (sections away)", ylabel="Dice", ylim=(0, None))
_ = ax.legend()

# %% [markdown]
# *Figure 10. What remembering is worth when the nearest sections are kept out of the training. A
# gap helps, and does not cure: the same embryo lies in the same place of the frame, and its nuclei
# fill the same region. (A gap of 1 leaves all of the embryo but the section itself, so it scores
# a little higher than the random split.)*
#
# So whole embryos go to one side. A network remembers less slavishly than our "model", but it
# remembers: in a study of brain scans the accuracy of networks rose by 29 to 55 per cent when
# slices of one patient stood on both sides, and a network that was trained on *made-up* diagnoses
# reached 96 per cent (Yagis and others, below).

# %%
split = dt.split_by_embryo(pairs, val=0.25, test=0.25, seed=0)
for side in ("train", "val", "test"):
    side_pairs = getattr(split, side)
    print(f"{side:5} {len(side_pairs):2} sections of", *sorted({p.embryo for p in side_pairs}))

# %% [markdown]
# ## Exercise 1.4: how often does a random split leak?
#
# Someone shuffles all sections and puts some of them aside for testing. For how many test sections
# does a *direct neighbour* (same embryo, number one less or one more) stand in the training?
# Complete the function. It gets two lists of places like `("embryo01", 5)`, and returns a number.

# %%
def count_leaks(test, train):
    return None  # your code


# %% tags=["solution"]
def count_leaks(test, train):
    known = set(train)
    return sum((e, s - 1) in known or (e, s + 1) in known for e, s in test)


# %%
exercises.check("1.4", count_leaks)

# %%
exercises.hint("1.4")

# %% [markdown]
# With your function the next cell asks our 128 sections: when more of them are held back for the
# test, does a larger or a smaller *share* of these leak? *Predict first.*

# %%
places = [(pair.embryo, pair.section) for pair in pairs]
for tested in (8, 32, 64, 96):
    order = np.random.default_rng(0).permutation(len(places))
    test, train = ([places[i] for i in part] for part in (order[:tested], order[tested:]))
    leaks = count_leaks(test, train)
    result = "not yet: solve the exercise first"
    if leaks is not None:
        result = f"{leaks} leak, {100 * leaks / tested:.0f} %"
    print(f"{tested:2} of {len(places)} sections tested: {result}")

# %% [markdown]
# The more is held back for the test, the fewer neighbours are left to learn from. But even with
# three quarters held back the leak does not close, and little is left to train on.
#
# ## What to take along
#
# - A section is a plane through a nucleus: how wide a nucleus looks depends on where it is cut.
# - Look first: at pictures, at masks over pictures, at numbers per section.
# - Pair files by name, not by position.
# - Few pixels are nucleus, so accuracy says nothing.
# - Neighbouring sections show the same nuclei: split by embryo, or you measure memory.
#
# ## Checkpoint
#
# 1. A label image holds the values 0, 4, 9 and 10. How many nuclei does it show?
#    <details><summary>Answer</summary>Three: 0 is background, and the numbers have gaps.</details>
# 2. In one section a nucleus is 2 µm wide, another 4 µm. Is the second nucleus larger?
#    <details><summary>Answer</summary>Nobody knows: the first may have been cut near its edge. Look
#    at the sections before and after.</details>
# 3. A program has an accuracy of 0.95 on our sections. Is it good?
#    <details><summary>Answer</summary>Compare it with the program that always answers background:
#    that one has 0.96 here, so 0.95 does not even show that it finds anything.</details>
# 4. Someone has one embryo, 80 sections, and wants to know how a network will do on *other*
#    embryos. How should they split?
#    <details><summary>Answer</summary>They cannot find out: whatever the split, the test sections
#    come from the embryo that the network knows. They need a second embryo.</details>
#
# Next: [lesson 2, augment image and mask](02_augment_image_and_mask.ipynb).
#
# **Further reading:** Yagis and others, [Effect of data leakage in brain MRI classification using
# 2D convolutional neural networks](https://www.nature.com/articles/s41598-021-01681-w), 2021;
# Mulcahy and others, [A pipeline for volume electron microscopy of the *Caenorhabditis elegans*
# nervous system](https://www.frontiersin.org/article/10.3389/fncir.2018.00094/full), 2018, on how
# such sections are made; [WormAtlas](https://www.wormatlas.org) on the anatomy of the worm, and
# [WormImage](https://www.wormimage.org), the archive of micrographs that this course takes as its
# example; and where it began, the 2020 project's
# [first blog post](https://devoworm.github.io/Blogs/posts/mayukhdebgsocwork/gsoc-2020-may-17/).

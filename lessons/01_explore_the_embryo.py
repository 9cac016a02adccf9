# %% [markdown]
# # 1. Explore the embryo
#
# Before a network sees a picture, you should. In this lesson you look at sections of a
# *C. elegans* embryo, at the masks that say where its nuclei are, and at a trap that makes
# scores look better than they are.
#
# **What you will learn**
#
# - what a serial section is, and how one embryo becomes a series of pictures;
# - how image, mask and label image lie on disk, and how to pair them by name;
# - how large and how frequent nuclei are, in pixels and in micrometres;
# - why two sections of one embryo must never stand on both sides of a split.
#
# **What you need:** a little Python. **Time:** 20 minutes to read, under 1 minute to run.
# **Internet:** not needed: the embryos are drawn on your machine.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import devotools as dt

# %% [markdown]
# ## A section is a slice
#
# An electron microscope cannot look into an embryo. So the embryo is set in resin, cut into
# slices far thinner than a cell, and the slices are photographed one by one: **serial
# sections**. Real series are large and not ours to give away. We draw one instead, an embryo in
# three dimensions that is then cut, so that we know exactly where every nucleus is. To keep it
# short our sections lie about 1 µm apart; a microscopist cuts them more than ten times thinner.
#
# *Look for three things in the pictures:* the grey embryo on bright resin, the round bright
# **nuclei** with dark specks of chromatin, and the dirt and the black label bar that a program
# must learn to leave alone.

# %%
one_embryo = dt.Appearance().without("second_embryo")
series = dt.synthesize_series(nuclei=24, sections=36, size=256, seed=39, appearance=one_embryo)
print("images", series.images.shape, series.images.dtype)
print("labels", series.labels.shape, series.labels.dtype)
print("nuclei in the whole embryo:", len(series.nuclei))
print(f"one section to the next: {series.section_thickness_um:.2f} µm")

# %%
# alt: Twelve grey pictures in three rows, every third section of a drawn embryo. The embryo grows
#   from the first section to the middle ones and shrinks again; bright round nuclei come and go.
titles = [f"section {number}" for number in range(0, 36, 3)]
_ = dt.show_batch(series.images[::3], columns=4, titles=titles)

# %% [markdown]
# *Figure 1. Every third section of one embryo, from one side to the other. Follow one nucleus: it
# appears, grows, shrinks and is gone a few sections later. Direct neighbours, which are not shown
# here, look more alike still: keep that in mind for the end of this lesson.*

# %% [markdown]
# ## Mask and labels
#
# A **mask** says of every pixel whether it is nucleus: true or false. A **label image** says
# *which* nucleus it is: 0 is background, then 1, 2, 3 ... Two nuclei that touch are one blob in
# the mask, and two numbers in the labels.
#
# *Predict before you run:* the mask below has two values. How many has the label image of the
# same section?

# %%
middle = 18
image, labels = series.images[middle], series.labels[middle]
mask = labels > 0
print("values in the mask:  ", np.unique(mask))
print("values in the labels:", np.unique(labels))

# %%
# alt: Three panels of the same section. Left, the grey image with a scale bar. Middle, the mask,
#   white nuclei on black. Right, the image with a dashed blue outline round each nucleus.
_, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
_ = dt.show_image(image, axes[0], title="image", pixel_size_um=series.pixel_size_um)
_ = dt.show_image(mask, axes[1], title="mask")
_ = dt.show_overlay(image, ax=axes[2], true=labels, title="outlines over the image")

# %% [markdown]
# *Figure 2. Image, mask, and the outlines of the mask over the image. The scale bar is in
# micrometres: an egg of C. elegans is about 50 µm long.*
#
# So the label image has one value for each nucleus, and 0. The numbers have gaps, because the other
# nuclei of this embryo lie in other sections: a nucleus keeps its number wherever it is cut.

# %% [markdown]
# ## As files
#
# Real data come as folders. `synthesize_dataset` writes four drawn embryos, 24 sections of each,
# the same way:

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=4, sections=24, size=256, seed=1)
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
# instead. What does it say when we hide one mask for a moment?

# %%
lost = masks[2].rename(folder / "lost.png")
try:
    dt.pair_files(folder / "images", folder / "masks")
except dt.InputError as error:
    print(error)
lost = lost.rename(masks[2])

# %% [markdown]
# An error that names the orphan is a kindness: it comes before the work, not after. With all masks
# in place, `read_dataset` pairs them and adds what the table knows: which embryo, which section.

# %%
pairs = dt.read_dataset(folder)
print(len(pairs), "pairs; the third one:")
print(pairs[2].name, "from", pairs[2].embryo, "section", pairs[2].section)

# %% [markdown]
# ## How bright, how many, how large
#
# *Predict:* nuclei are brighter than the cytoplasm. Could you find them with a threshold alone?

# %%
# alt: Histogram of brightness. Nuclei are shown by a solid orange line, everything else by a dashed
#   blue line; the nuclei lie between the dark cytoplasm and the bright resin and overlap with both.
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
# *Figure 3. The brightness of nuclei overlaps with that of everything else. No threshold parts
# them: what a nucleus is, its surroundings decide. That is why we train a network.*

# %%
share = np.mean([m.mean() for m in truth])
print(f"{100 * share:.1f} % of all pixels are nucleus")
print(f"a program that always says 'no nucleus' is right in {100 * (1 - share):.1f} % of pixels")

# %% [markdown]
# Such a program would have an excellent *accuracy*, and find nothing. This is **class
# imbalance**, and the reason why lesson 4 measures with other scores.
#
# Now sizes. `measure_nuclei` turns a label image into a table, one row a nucleus: where its middle
# is, its area, how far from round it is (*eccentricity*, 0 for a circle), and its mean brightness.

# %%
table = dt.measure_nuclei(labels, image, pixel_size_um=series.pixel_size_um)
table.drop(columns="area_um2").round(2)

# %%
# alt: Two panels. Left, bars for the number of nuclei cut in each of the 36 sections, most in the
#   middle of the embryo. Right, a histogram of the diameters of the cut nuclei in micrometres.
counts = [len(np.unique(one)) - 1 for one in series.labels]
tables = [dt.measure_nuclei(one, pixel_size_um=series.pixel_size_um) for one in series.labels]
diameters = 2 * np.sqrt(pd.concat(tables)["area_um2"] / np.pi)  # of a circle of that area
_, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].bar(range(len(counts)), counts, color="#0072B2")
axes[0].set(xlabel="section", ylabel="nuclei cut", title="Nuclei in each section")
axes[1].hist(diameters, 15, color="#E69F00", edgecolor="black")
axes[1].set(xlabel="diameter (µm)", ylabel="cuts", title="How wide they were cut")
print(f"{sum(counts)} cuts through {len(series.nuclei)} nuclei")

# %% [markdown]
# *Figure 4. Nuclei in each section, and their diameters where they were cut. There are far more
# cuts than nuclei: each is cut several times. And a small circle need not be a small nucleus: it
# may be a large one, cut near its edge.*

# %% [markdown]
# ## Neighbours are nearly the same picture
#
# *Predict:* how alike are two sections of one embryo, next to each other, and further apart?
# We measure it on the masks with the **Dice score**: 1 means that the nuclei lie in the same
# places, 0 that they share no pixel. (Lesson 4 counts it by hand. Pairs of sections in which there
# is no nucleus are left out.)

# %%
# alt: A line that falls: neighbouring sections share much of their nuclei, and the overlap
#   falls to almost nothing a few sections further on.
foreground = series.labels > 0
steps = range(1, 9)
overlap = []
for step in steps:
    both = zip(foreground, foreground[step:], strict=False)
    overlap.append(np.mean([dt.dice_score(a, b) for a, b in both if a.any() or b.any()]))
print("overlap of direct neighbours:", round(overlap[0], 2))
_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(steps, overlap, "o-", color="#0072B2")
_ = ax.set(xlabel="sections apart", ylabel="overlap of nuclei (Dice)", ylim=(0, 1))

# %% [markdown]
# *Figure 5. Overlap of the nuclei against the distance of two sections. Direct neighbours share
# most of their nuclei's area; the overlap is gone when they lie further apart than a nucleus is
# wide. But even then stain, light and granules are the same.*
#
# One usually divides labelled data in three: **training** data to learn from, **validation** data
# to choose by, **test** data for one look at the end. Suppose that section 5 is used for training
# and section 6 for testing. The network has then seen nearly the same picture before, with the
# answer. Its score tells how well it *remembers*. This is **leakage**. So whole embryos go to one
# side: that is what `split_by_embryo` does.

# %%
split = dt.split_by_embryo(pairs, val=0.25, test=0.25, seed=0)
for side in ("train", "val", "test"):
    side_pairs = getattr(split, side)
    print(f"{side:5} {len(side_pairs):2} sections of", *sorted({p.embryo for p in side_pairs}))

# %% [markdown]
# ## Exercise: how often does a random split leak?
#
# Someone shuffles the 96 sections and takes a quarter of them for testing. Complete the cell: for
# how many of the 24 test sections does a *direct neighbour* (same embryo, section number one less
# or one more) stand among the training sections?

# %%
order = np.random.default_rng(0).permutation(len(pairs))
test_pairs = [pairs[i] for i in order[:24]]
train_pairs = [pairs[i] for i in order[24:]]
leaking = None  # your number, computed from test_pairs and train_pairs

# %% tags=["solution"]
known = {(pair.embryo, pair.section) for pair in train_pairs}
leaking = sum(
    (pair.embryo, pair.section - 1) in known or (pair.embryo, pair.section + 1) in known
    for pair in test_pairs
)

# %%
places = {(pair.embryo, pair.section) for pair in train_pairs}
sides = [[(p.embryo, p.section + step) in places for step in (-1, 1)] for p in test_pairs]
if leaking is None:
    print("not yet: look up embryo and section of each test pair's neighbours")
elif leaking == sum(map(any, sides)):
    print(f"solved: {leaking} of {len(test_pairs)}; a random split nearly always leaks")
elif leaking == len(test_pairs):
    print("not yet: that is how many share an *embryo* with the training; ask for neighbours")
elif leaking == sum(map(sum, sides)):
    print("not yet: a test section with two neighbours in training counts once")
else:
    print("not yet: a neighbour may come before or after, and must be of the same embryo")

# %% [markdown]
# ## What to take along
#
# - Look first: at pictures, at masks over pictures, at numbers per section.
# - Pair files by name; keep masks lossless.
# - Few pixels are nucleus, so accuracy says nothing.
# - Neighbouring sections are nearly the same picture: split by embryo.
#
# Next: [lesson 2, augment image and mask](02_augment_image_and_mask.ipynb).
#
# **Further reading:** [WormAtlas](https://www.wormatlas.org) on the anatomy of the worm;
# [WormImage](https://www.wormimage.org), the archive of micrographs that this course takes as
# its example.

# %% [markdown]
# # 1. Explore the embryo
#
# Before a network sees a picture, you should. In this lesson you look at sections of a
# *C. elegans* embryo, at the masks that say where its nuclei are, and at the trap that makes
# many published scores too good.
#
# **What you will learn**
#
# - what a serial section is, and how one embryo becomes a series of pictures;
# - how image, mask and label image lie on disk, and how to pair them by name;
# - how large and how frequent nuclei are, in pixels and in micrometres;
# - why two sections of one embryo must never stand on both sides of a split.
#
# **What you need:** a little Python. **Time:** 20 minutes to read, under 1 minute to run.
# **Network:** none: the embryos are drawn on your machine.

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
# slices thinner than a bacterium, and the slices are photographed one by one: **serial
# sections**. Real series are large and not ours to give away. We draw one instead, an embryo in
# three dimensions that is then cut, so that we know exactly where every nucleus is.
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

# %%
# alt: Twelve grey pictures in three rows, every third section of a drawn embryo. The embryo grows
#   from the first section to the middle ones and shrinks again; bright round nuclei come and go.
titles = [f"section {number}" for number in range(0, 36, 3)]
_ = dt.show_batch(series.images[::3], columns=4, titles=titles)

# %% [markdown]
# *Figure 1. Every third section of one embryo, from one side to the other. Neighbours look alike:
# keep that in mind for the end of this lesson.*

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
# The numbers are the same from section to section: a nucleus keeps its number wherever it is cut.

# %% [markdown]
# ## As files
#
# Real data come as folders. `synthesize_dataset` writes four drawn embryos the same way:

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=4, sections=6, size=256, seed=1)
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
# instead, and `read_dataset` adds what the table knows: which embryo, which section.

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
# Now sizes. `measure_nuclei` turns a label image into a table, one row a nucleus:

# %%
table = dt.measure_nuclei(labels, image, pixel_size_um=series.pixel_size_um)
table.round(2).head()

# %%
# alt: Two panels. Left, bars for the number of nuclei in each of the 36 sections, most in the
#   middle of the embryo. Right, a histogram of the diameters of the nuclei in micrometres.
counts = [len(np.unique(one)) - 1 for one in series.labels]
tables = [dt.measure_nuclei(one, pixel_size_um=series.pixel_size_um) for one in series.labels]
diameters = 2 * np.sqrt(pd.concat(tables)["area_um2"] / np.pi)
_, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].bar(range(len(counts)), counts, color="#0072B2")
axes[0].set(xlabel="section", ylabel="nuclei", title="Nuclei in each section")
axes[1].hist(diameters, 15, color="#E69F00", edgecolor="black")
axes[1].set(xlabel="diameter (µm)", ylabel="nuclei", title="How wide they were cut")
print(f"sum over sections: {sum(counts)}, nuclei in the embryo: {len(series.nuclei)}")

# %% [markdown]
# *Figure 4. Nuclei in each section, and their diameters where they were cut. The sum over the
# sections is larger than the number of nuclei: most are cut more than once. And a small circle
# need not be a small nucleus: it may be a large one, cut near its edge.*

# %% [markdown]
# ## Neighbours are nearly the same picture
#
# *Predict:* how alike are two sections of one embryo, next to each other, and further apart?
# We measure it on the masks: 1 means that the nuclei lie in the same places, 0 that they share
# no pixel.

# %%
# alt: A line that falls: neighbouring sections share much of their nuclei, and the overlap
#   falls to almost nothing a few sections further on.
foreground = series.labels > 0
steps = range(1, 9)
overlap = [
    np.mean([dt.dice_score(a, b) for a, b in zip(foreground, foreground[step:], strict=False)])
    for step in steps
]
_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(steps, overlap, "o-", color="#0072B2")
_ = ax.set(xlabel="sections apart", ylabel="overlap of nuclei (Dice)", ylim=(0, 1))

# %% [markdown]
# *Figure 5. Overlap of the nuclei against the distance of two sections.*
#
# Suppose that section 5 is used for training and section 6 for testing. The network has then
# seen nearly the same picture before, with the answer. Its score tells how well it *remembers*.
# This is **leakage**. So whole embryos go to one side: that is what `split_by_embryo` does.

# %%
split = dt.split_by_embryo(pairs, val=0.25, test=0.25, seed=0)
for side in ("train", "val", "test"):
    side_pairs = getattr(split, side)
    print(f"{side:5} {len(side_pairs):2} sections of", *sorted({p.embryo for p in side_pairs}))

# %% [markdown]
# ## Exercise: how often does a random split leak?
#
# Someone shuffles the 24 sections and takes six of them, a quarter, for testing. Complete the
# cell: for how many of the six does the *same embryo* also stand among the training sections?

# %%
order = np.random.default_rng(0).permutation(len(pairs))
test_pairs = [pairs[i] for i in order[:6]]
train_pairs = [pairs[i] for i in order[6:]]
leaking = None  # your number, computed from test_pairs and train_pairs

# %% tags=["solution"]
train_embryos = {pair.embryo for pair in train_pairs}
leaking = sum(pair.embryo in train_embryos for pair in test_pairs)

# %%
if leaking is None:
    print("not yet: compare the embryo of each test pair with those of the training pairs")
else:
    print("solved" if leaking == 6 else "not yet: count every section, not every embryo")

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

# %% [markdown]
# # 5. Segment your images
#
# A trained network is worth something when it works on pictures that nobody trained it on: yours.
# In this lesson you take the model that comes with devotools from a file to numbered nuclei and a
# table, first by hand, then with one command. From a series of sections you count and measure
# nuclei in three dimensions, where the truth is known, so that you see how far the answer can be
# trusted.
#
# **What you will learn**
#
# - to go from a file to a table in five steps, and to look at each of them;
# - to choose the scale, and to notice when it is wrong;
# - to do a whole folder with one command, and to read what it leaves behind;
# - to count nuclei and estimate their volumes from a series of sections;
# - to say what you should distrust, and to find the pictures to look at first.
#
# **What you need:** *mask* and *labels* from lesson 1, *IoU*, *precision*, *recall* and *F1* from
# lesson 4.
# **Time:** 40 minutes to read, 1 minute to run. **Memory:** 1.3 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import contextlib
import io
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

import devotools as dt
from devotools import cli, exercises, ui
from devotools.pipeline import uncertainty

# %% [markdown]
# ## Your pictures
#
# If you have micrographs of your own, write their folder into the next cell, in quotes, and run the
# lesson again: one picture a file, PNG, JPEG or TIFF (a stack is for the command, further down,
# which follows its nuclei from section to section). The model was made for transmission electron
# micrographs of embryo sections in which nuclei are brighter than the cytoplasm. On Binder, first
# drag your files into the file browser on the left.

# %%
my_folder = None  # or, for example, "my_micrographs" or "C:/micrographs/embryo_7"
my_pixel_size_um = None  # micrometres along one pixel of your pictures, if you know it

# %% [markdown]
# With `None` the lesson makes a folder itself. It draws one embryo, cuts it into 36 sections, and
# saves some of them as a microscope might have done: a few as 8-bit PNG, a few as 16-bit TIFF, a
# few as JPEG. We keep the whole series for later, with the truth about it.

# %%
alone = dt.Appearance().without("second_embryo", "label_bar", "folds", "wedge", "frame")
series = dt.synthesize_series(nuclei=30, sections=36, size=256, seed=46, appearance=alone)

work = Path(tempfile.mkdtemp())
pictures = Path(my_folder).resolve() if my_folder else work / "pictures"
pixel_size = my_pixel_size_um if my_folder else series.pixel_size_um
if my_folder is None:
    pictures.mkdir()
    for number in range(7, 30, 4):
        picture, name = series.images[number], f"section_{number:02}"
        if number < 14:
            dt.write_image(pictures / f"{name}.png", picture)  # 8 bits
        elif number < 22:
            tifffile.imwrite(pictures / f"{name}.tif", np.uint16(picture * 65535))
        else:
            Image.fromarray(np.uint8(picture * 255)).save(pictures / f"{name}.jpg", quality=90)

# %% [markdown]
# *Predict:* a 16-bit file holds numbers up to 65535, an 8-bit file up to 255. How large will they
# be when we have read them?

# %%
kinds = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
files = sorted(file for file in pictures.iterdir() if file.suffix.lower() in kinds)
assert files, f"there is no PNG, JPEG or TIFF in {pictures}"
for file in files[:6]:
    image = dt.read_image(file)
    print(f"{file.name:16} {image.shape} {image.dtype} from {image.min():.2f} to {image.max():.2f}")

# %% [markdown]
# `read_image` divides each by the largest number that its kind can hold, so 0 is black and 1 is
# white whatever the file was. (A camera of 12 bits in a file of 16 reaches 0.06 only, and looks
# black here. The model does not mind, for it stretches the contrast; `dt.stretch_contrast` shows
# it.) *Look at your pictures before any program does:* is there one embryo in each, and do you see
# its nuclei?

# %%
# alt: Six sections of one drawn embryo in a row of grey pictures. The embryo is dark grey on pale
#   resin, its nuclei are bright and round.
_, axes = plt.subplots(1, 6, figsize=(11, 2.3), layout="constrained")
for ax, file in zip(axes, files, strict=False):
    _ = dt.show_image(dt.read_image(file), ax, title=file.stem)

# %% [markdown]
# *Figure 1. The pictures of the folder, as `read_image` gives them.*
#
# ## Five steps on one picture
#
# The way from a file to a table has five steps: **read, predict, label, measure, show**. Each is
# one function, and each leaves something that you can look at. The first two:

# %%
model = dt.load_model("nuclei")
image = dt.read_image(files[min(2, len(files) - 1)])
probability = dt.predict_probability(model, image)
print("image      ", image.shape, image.dtype)
print("probability", probability.shape, probability.dtype)

# %%
# alt: Two panels. Left, the section in grey. Right, its probability map from dark (0) to yellow (1)
#   with a colour bar: yellow discs where the nuclei lie, dark elsewhere, a thin soft rim between.
_, axes = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
_ = dt.show_image(image, axes[0], title="image")
shown = axes[1].imshow(probability, cmap="cividis", vmin=0, vmax=1)
axes[1].set(title="probability of nucleus")
axes[1].set_axis_off()
_ = plt.colorbar(shown, ax=axes[1], shrink=0.85)

# %% [markdown]
# *Figure 2. A picture, and the model's answer: for each pixel the probability that it is nucleus.
# Inside and outside the model is nearly certain. It doubts the outlines, and now and then a whole
# place: keep those in mind.*
#
# The network itself gives *logits*, numbers without limits; the *sigmoid* squeezes them into
# probabilities. *Predict before you run:* which logit becomes 0.5?

# %%
for logit in (-4, -2, -0.5, 0, 0.5, 2, 4):
    print(f"logit {logit:4}  probability {1 / (1 + np.exp(-logit)):.2f}")

# %% [markdown]
# ## Exercise 5.1: a mask from logits
#
# You run a network of your own and have an array of its logits. Complete the function: it returns
# the mask, True wherever the *probability* is at least 0.5.

# %%
def mask_from_logits(logits):
    return None  # your code


# %% tags=["solution"]
def mask_from_logits(logits):
    return logits >= 0


# %%
exercises.check("5.1", mask_from_logits)

# %%
exercises.hint("5.1")

# %% [markdown]
# Step three makes nuclei of the probability. `label_nuclei` takes the pixels of at least
# `threshold` (0.5), fills small holes (dark chromatin), cuts blobs with a waist into two nuclei,
# throws away what is smaller than `min_area` (20 pixels), and numbers what is left. Step four
# measures.

# %% tags=["nbval-ignore-output"]
labels = dt.label_nuclei(probability)
table = dt.measure_nuclei(labels, image)
table.drop(columns="area_um2").round(2)

# %% [markdown]
# One row is one nucleus: where its middle is, counted from the top left corner, its area in pixels,
# its *eccentricity* (0 for a circle, near 1 for a needle), and its mean brightness. Step five is
# the one that people leave out. **Never believe a row that you have not seen.** *Look for three
# things:* outlines round something that is no nucleus, nuclei without an outline, two nuclei in
# one.

# %%
# alt: The section in grey with solid orange outlines round its nuclei, and beside each the number
#   of its row in the table above.
_, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
_ = dt.show_overlay(image, labels, ax)
for nucleus in table.itertuples():
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1}
    beside = nucleus.centroid_col + np.sqrt(nucleus.area_px / np.pi) + 3
    style = {"color": "white", "va": "center", "fontsize": 8, "bbox": box}
    _ = ax.text(beside, nucleus.centroid_row, nucleus.label, **style)

# %% [markdown]
# *Figure 3. Outlines over the picture, with the numbers of the table.* In the stored section you
# should have found none of the three: all eight are nuclei, even the pale ones.
#
# ## Micrometres
#
# An area in pixels says as much about the camera as about the worm. Your microscope wrote the
# *pixel size* into its own file, or you find it from the scale bar: 10 µm on the bar divided by its
# length in pixels. *Predict:* someone types a pixel size that is twice too large. What becomes of
# the number of nuclei, and of their areas?

# %% tags=["nbval-ignore-output"]
right = pixel_size or 1.0  # not known? Then let us pretend that a pixel is 1 µm wide
for name, size in (("right", right), ("twice too large", 2 * right)):
    sizes = dt.measure_nuclei(labels, pixel_size_um=size)["area_um2"]
    print(f"{name:16} {len(sizes)} nuclei, mean area {sizes.mean():.1f} µm²")

# %% [markdown]
# The number stays, and the areas are four times too large, since a pixel has two sides. Here the
# pixel size gives units and nothing else: the network never hears of it, and a wrong one raises no
# error.
#
# ## Exercise 5.2: a diameter
#
# People imagine a width more easily than an area. Complete the function: from an area in pixels and
# the pixel size it returns the **diameter in micrometres** of a circle with that area.

# %%
def diameter_um(area_px, pixel_size_um):
    return None  # your code


# %% tags=["solution"]
def diameter_um(area_px, pixel_size_um):
    return 2 * np.sqrt(area_px / np.pi) * pixel_size_um


# %%
exercises.check("5.2", diameter_um)

# %%
exercises.hint("5.2")

# %% [markdown]
# ## Move the threshold
#
# Below, two sliders change `threshold` and `min_area`; the network does not run again. *Try:* how
# far can you move the threshold before a nucleus comes or goes? Which of the two sliders removes
# specks, and which makes outlines tighter?

# %%
ui.explore_threshold(image, probability)

# %% [markdown]
# In one section there may be nothing to see: where the model is certain, every threshold gives the
# same nuclei. So we look through the folder for the picture whose number of nuclei changes most.
# *Predict:* does a higher threshold find more nuclei, or fewer?

# %%
# alt: Three overlays of one section, with the outlines found at thresholds 0.1, 0.5 and 0.9 and
#   the number of nuclei above each. From left to right the outlines get a little tighter, and one
#   of them is gone.
thresholds = (0.1, 0.5, 0.9)
most, doubtful = -1, None
for file in files[:12]:
    one = dt.predict_probability(model, dt.read_image(file))
    several = [dt.label_nuclei(one, threshold=threshold) for threshold in thresholds]
    change = np.ptp([found.max() for found in several])
    if change > most:
        most, doubtful, answers = change, file, several

_, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, threshold, found in zip(axes, thresholds, answers, strict=True):
    title = f"threshold {threshold}: {found.max()} nuclei"
    _ = dt.show_overlay(dt.read_image(doubtful), found, ax, title=title)

# %% [markdown]
# *Figure 4. One picture under three thresholds. A higher one mostly finds fewer, or as many; now
# and then it parts two that a lower one has joined. A nucleus of which the model is certain keeps
# its outline nearly where it was. One that comes and goes with the threshold was never certain, and
# may be none: look at it yourself. And what the model does not see at all has no outline at any
# threshold: in the stored section the small one at 0.1 is no nucleus, and of six true ones two have
# no outline in any of the three.*
#
# Leave the threshold at 0.5 unless you have labelled pictures to choose another one by (lesson 4).
# The smallest area is another matter: 20 pixels are sensible in a picture 256 pixels wide, and a
# grain of dust in one of 4000. `min_area` counts pixels of *your* picture, so choose it by what a
# nucleus is there, or drop rows afterwards: `table[table["area_px"] >= 400]`.

# %% [markdown]
# ## Scale: the one setting that matters
#
# The network is a set of filters with a fixed number of pixels. It knows nuclei of a certain width
# *in pixels*, and what is much larger or smaller is, for it, something else. So the model carries
# its *working resolution*:

# %% tags=["nbval-ignore-output"]
widths = 2 * np.sqrt(table["area_px"] / np.pi)
seen = widths.median() * model.working_side / max(image.shape)
print("longest side at which it works:", model.working_side, "pixels")
print("usual width of a nucleus there:", f"{model.working_nucleus:.0f} pixels")
print("width in our picture:          ", f"{widths.median():.0f} pixels")
print("as the network sees it:        ", f"{seen:.0f} pixels")

# %% [markdown]
# With `scale="auto"`, which is what happens if you say nothing, the picture is resized to that
# longest side, and the answer is brought back to your pixels. That is right when the embryo fills
# the picture about as it did in training. When it does not, `"auto"` may notice. If the nuclei that
# it sees are less than three quarters as wide as usual, it looks again, with the picture enlarged
# until they have the usual width. If it sees none, it looks at several other scales, and takes one
# where three nuclei or more are found and a neighbouring scale agrees on their width. It is a
# guess, and can be wrong.
#
# Sections often stick together as a ribbon, and a hurried microscopist photographs four at once.
# *Predict:* the picture below is four times as wide as ours. What becomes of it when it is simply
# squeezed to the usual longest side? Does `"auto"` help? Does a width that you have measured?

# %% tags=["nbval-ignore-output"]
some = (10, 15, 20, 25)
ribbon = np.hstack([series.images[number] for number in some])
# the same nucleus may be in two of them: let each section count for itself
truth = [series.labels[number] + 1000 * place for place, number in enumerate(some)]
ribbon_true = np.hstack([np.where(one % 1000 > 0, one, 0) for one in truth])
measured = dt.measure_nuclei(ribbon_true)["area_px"]  # with your pictures: the line tool of Fiji
width = 2 * np.sqrt(measured.median() / np.pi)

squeezed = model.working_side / max(ribbon.shape)
by_size = model.working_nucleus / width  # brings our nuclei to the size it knows
found, scores = {}, {}
for name, scale in (("squeezed", squeezed), ("auto", "auto"), ("measured", by_size)):
    found[name] = dt.label_nuclei(dt.predict_probability(model, ribbon, scale=scale))
    hits = dt.match_instances(ribbon_true, found[name])
    print(f"{name:9} {hits.tp} of {hits.tp + hits.fn} nuclei found, {hits.fp} outlines fit none")
    scores[name] = hits.f1
assert scores["measured"] > 0.6, "with the right scale it should find most nuclei"
assert scores["squeezed"] < scores["measured"], "nuclei made too small should be missed"

# %%
# alt: The ribbon of four sections, twice. Above, squeezed to the usual longest side, none
#   of the dashed blue outlines of the true nuclei has a solid orange outline. Below, with the scale
#   chosen by the width of a nucleus, most of them have one.
_, axes = plt.subplots(2, 1, figsize=(10, 5.6), layout="constrained")
for ax, name in zip(axes, ("squeezed", "measured"), strict=True):
    _ = dt.show_overlay(ribbon, found[name], ax, true=ribbon_true, title=name)

# %% [markdown]
# *Figure 5. Found (solid orange) and true nuclei (dashed blue) of a ribbon. Above, the whole ribbon
# was squeezed to the length of one section, and its nuclei to a quarter of their width. No warning,
# no error: nuclei are simply not found.*
#
# In the stored run `"auto"` noticed, and did as well as the measured width, or even a little
# better. (An outline that fits none may well lie on a nucleus: it covers too little of it.) It is a
# guess all the same, and rests on three nuclei that look sure. Where fewer are found, the picture
# is left at the usual scale.
#
# The sure remedy is to say how wide a nucleus is **in your pixels**. Measure a few with the line
# tool of [Fiji](https://fiji.sc), a free program for microscope pictures. In Python it is `scale =
# model.working_nucleus / width`, in the command further down `--nucleus-size WIDTH`. How exact must
# it be? We try a range of scales on five sections. *Predict:* what does the curve look like?

# %%
tried = [6, 9, 13, 20, 30, 45, 65]  # width of a nucleus as the network sees it, in pixels
scores = []
for seen in tried:
    total = dt.Matches(0, 0, 0)
    for number in (8, 13, 18, 23, 28):
        answer = dt.predict_probability(model, series.images[number], scale=seen / width)
        total += dt.match_instances(series.labels[number], dt.label_nuclei(answer))
    scores.append(total)

# %%
# alt: Precision and recall against the width of a nucleus as the network sees it, from 6 to 65
#   pixels. Recall is near 0 at the left and rises steeply; both are high about the width known from
#   training, marked by a dotted line, and to the right of it.
_, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.plot(tried, [one.precision for one in scores], "s--", color="#D55E00", label="precision")
ax.plot(tried, [one.recall for one in scores], "o-", color="#0072B2", label="recall")
ax.axvline(model.working_nucleus, color="black", linestyle=":", label="usual")
ax.set(xscale="log", xticks=tried, xticklabels=tried, ylim=(0, 1.03), ylabel="score")
ax.set(xlabel="width of a nucleus as the network sees it (pixels)")
ax.minorticks_off()
_ = ax.legend()

# %% [markdown]
# *Figure 6. The scale, from far too small to far too large. On the left is a cliff: shrunk to the
# size of a granule, a nucleus is a granule to the network. On the right there is none, as far as we
# have looked. Where nothing is found at all precision is drawn as 0.* Read off how exactly you must
# measure: may a width be a third off?
#
# A third too small costs nothing here; a third too large, which shrinks the nuclei, costs some of
# them. Here recall even goes on rising beyond the usual width. These are two dozen cuts of one
# embryo, and it is a matter of a few of them, so that is no rule; and at twice the width the
# picture has four times as many pixels to work through. But it says on which side to err. If you
# are unsure, give a width that is rather too *small*: the network then sees nuclei that are too
# large, and that costs little. Too large a width shrinks them, towards the cliff.
#
# Both are called size, and they are easily confused. The **pixel size**, under *Micrometres* above,
# gives units, and changes nothing that is found. The **nucleus size** decides what is found, and
# gives no units.

# %% [markdown]
# ## The same with one command
#
# A folder of a thousand pictures is no work for a notebook. Open a terminal (in JupyterLab: File >
# New > Terminal), and the five steps, for all files of a folder and its sub-folders, are one line:
#
#     devotools segment pictures --out pictures_results --pixel-size 0.215
#
# To show you what it does we run the command from here. A notebook can do that with a line
# `!devotools segment ...`, but that starts a second Python with a second PyTorch, and the two
# gigabytes of Binder hardly hold both. The little function below hands the same words to the same
# command, inside this Python, on Windows as on Linux.

# %%
def devotools(*words):
    """Run a devotools command as a terminal would; print what it says, and its exit code."""
    said, progress = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(pictures.parent),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(progress),
        patch.object(sys, "argv", ["devotools", *map(str, words)]),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    print(said.getvalue(), end="")
    for line in progress.getvalue().splitlines():
        if code == 2 or line.startswith("failed:"):  # without the progress bar
            print(line)
    print("exit code", code)


# %% [markdown]
# (The lesson's pictures lie in a temporary folder, and the helper goes there first; with
# `my_folder` the results stand beside your own.)
#
# Before that we add a broken file, the first 2000 bytes of another, as an interrupted copy leaves
# it. *Predict:* what becomes of the others?

# %% tags=["nbval-ignore-output"]
if my_folder is None:
    whole = (pictures / "section_15.tif").read_bytes()
    (pictures / "section_33.tif").write_bytes(whole[:2000])

results = pictures.with_name(f"{pictures.name}_results")
size = ("--pixel-size", f"{pixel_size:.5f}") if pixel_size else ()
devotools("segment", pictures.name, "--out", results.name, *size)
for path in sorted(results.rglob("*"))[:20]:
    print("   ", path.relative_to(results).as_posix())
with contextlib.suppress(OSError):  # no copy where nothing may be written beside this notebook
    shutil.copy(results / "report.html", "report.html")

# %% [markdown]
# `report.html` is the page to open first: counts, a histogram, the most doubtful overlays, what
# failed. We have copied it beside this notebook, where JupyterLab's file browser shows it. Run the
# same command again and it does only what is new or failed. With other settings, another pixel size
# for example, it refuses to mix two kinds of results: delete the folder, or name another, before
# you run the cell again.
#
# Of our folder everything else was done, and the **exit code** is 1: something failed, look. (0
# means that every picture was segmented, 2 that it could not start, or not write.) Which one, and
# why, it says at the end, and keeps in `images.csv`, one row a picture (`<NA>`: nothing stands
# there; `scale`: how many times enlarged the network saw it):

# %% tags=["nbval-ignore-output"]
per_picture = pd.read_csv(results / "images.csv", dtype={"nuclei": "Int64", "error": str})
for reason in per_picture["error"].dropna().head(3):
    print(reason)
per_picture.drop(columns=["seconds", "error"]).head(10)

# %% [markdown]
# `overlays/` is where you look first, `labels/` is for Fiji or [napari](https://napari.org), a
# viewer for pictures in layers, and `nuclei.csv` is what you take into your statistics: the table
# that you know, with the picture's name in front.

# %% tags=["nbval-ignore-output"]
nuclei = pd.read_csv(results / "nuclei.csv")
print(len(nuclei), "rows")
assert len(nuclei) == per_picture["nuclei"].sum(), "the two tables must agree"
nuclei.head(4).round(2)

# %% [markdown]
# ### The same without typing
#
# A colleague who never opens a terminal needs the same. `devotools app pictures` opens a page in
# the browser; here is that page in the notebook. *Try:* open the folder, move the threshold, delete
# a false nucleus, paint one that is missing, undo. Then save the results: `settings.json` in the
# zip holds the command that repeats them, but not what your hand changed. Why does it matter to say
# so?

# %%
ui.App(pictures)

# %% [markdown]
# ![The app: on the left the list of pictures, in the middle a section with numbered outlines, on
# the right the threshold and a table of nuclei, one row of which is
# selected](../docs/images/app.png)
#
# *The app with its drawn examples, for those who read without a kernel. [How to use
# it](../docs/the-app.md).*
#
# ## From the table to a plot
#
# Two questions come first: how many in each picture, and how large? There is a trap in the first.
# Counting the rows of `nuclei.csv` by picture forgets every picture in which **no** nucleus was
# found, because it has no row, and your mean comes out too high. Take the counts from `images.csv`.

# %%
# alt: Two panels. Left, horizontal bars: the number of nuclei found in each picture. Right, a
#   histogram of the diameters of all nuclei in micrometres.
good = per_picture[per_picture["status"] == "ok"].head(20)
unit, size = ("µm", pixel_size) if pixel_size else ("pixels", 1)
diameters = 2 * np.sqrt(nuclei["area_px"] / np.pi) * size
_, axes = plt.subplots(1, 2, figsize=(9.4, 3.2), layout="constrained")
axes[0].barh(good["image"], good["nuclei"], color="#0072B2")
axes[0].invert_yaxis()
axes[0].set(xlabel="nuclei found", title="How many")
axes[1].hist(diameters, bins=10, color="#E69F00", edgecolor="black")
_ = axes[1].set(xlabel=f"diameter ({unit})", ylabel="outlines", title="How wide")

# %% [markdown]
# *Figure 7. What most papers show. Before you believe it, look at what is not in it: these are
# **cuts**, not nuclei. Several sections may have met the same nucleus, and a small circle may be a
# large nucleus, cut near its end (lesson 1).*
#
# ## A series: cuts are not nuclei
#
# To count nuclei one needs the sections in between. We have them: all 36, and the truth. (Our
# sections lie exactly on top of each other, give or take a pixel. Real ones must be aligned first,
# for example in Fiji with *Register Virtual Stack Slices*.)

# %% tags=["nbval-ignore-output"]
probabilities = np.stack([dt.predict_probability(model, one) for one in series.images])
found = np.stack([dt.label_nuclei(one) for one in probabilities])
cuts_found = [one.max() for one in found]
cuts_true = [len(np.unique(one[one > 0])) for one in series.labels]
matches = [dt.match_instances(*both) for both in zip(series.labels, found, strict=True)]
total = sum(matches, dt.Matches(0, 0, 0))
print(f"precision {total.precision:.2f}, recall {total.recall:.2f}")
assert total.f1 > 0.7, "this model should find most nuclei of a clear series"

# %%
# alt: Number of nuclei in each of the 36 sections. A solid orange line with dots, found, follows a
#   dashed blue line, true, which is 0 at both ends and rises and falls between; where it does not,
#   it lies below.
_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(cuts_true, "s--", color="#0072B2", label="true", markersize=4)
ax.plot(cuts_found, "o-", color="#D55E00", label="found", markersize=4)
ax.set(xlabel="section", ylabel="nuclei in it", ylim=(0, None))
_ = ax.legend()

# %% [markdown]
# *Figure 8. Nuclei in each section. No single one shows how many the embryo has. Look at the ends,
# too, where there is no nucleus: is anything found there?*
#
# ### One nucleus
#
# Take one true nucleus and follow it. *Look at the areas:* how do they tell its volume?

# %%
# alt: Above, a row of small grey pictures of one nucleus in successive sections, its outline dashed
#   blue: it appears small, grows, and shrinks again. Below, a bar for its area in each section.
name = series.nuclei.loc[series.nuclei["sections"].idxmax(), "id"]  # the one cut most often
inside = series.labels == name
where = np.flatnonzero(inside.any(axis=(1, 2)))  # its sections
rows, cols = np.where(inside.any(axis=0))
window = np.s_[max(rows.min() - 6, 0) : rows.max() + 7, max(cols.min() - 6, 0) : cols.max() + 7]
areas_px = inside[where].sum(axis=(1, 2))

figure = plt.figure(figsize=(9, 3.8), layout="constrained")
upper, lower = figure.subfigures(2, 1)
for ax, section in zip(upper.subplots(1, len(where)), where, strict=True):
    picture, here = series.images[section][window], inside[section][window]
    how = {"title": section, "pixel_size_um": series.pixel_size_um}
    _ = dt.show_overlay(picture, None, ax, true=here, **how)
ax = lower.subplots()
ax.bar(where, areas_px * series.pixel_size_um**2, color="#56B4E9", edgecolor="black", width=1)
_ = ax.set(xlabel="section", ylabel="area (µm²)", xticks=where)

# %% [markdown]
# *Figure 9. One nucleus in all its sections, whose numbers stand above, and its areas. Each bar
# stands for a section: make it as thick as the section, and the bars together are the nucleus.*
#
# This is **Cavalieri's principle**, four centuries old: the volume is the sum of the areas, times
# the distance from one section to the next. It holds for any shape. (Our sections follow each other
# without a gap, so that distance is their thickness. If you photographed every fifth section, it is
# five times the thickness.)
#
# ## Exercise 5.3: a volume
#
# Complete the function: it gets the areas of one nucleus in its sections, an array in *pixels*, the
# pixel size and the distance from one section to the next (here their thickness), both in
# micrometres. It returns the volume in µm³.

# %%
def volume_um3(areas_px, pixel_size_um, thickness_um):
    return None  # your code


# %% tags=["solution"]
def volume_um3(areas_px, pixel_size_um, thickness_um):
    return areas_px.sum() * pixel_size_um**2 * thickness_um


# %%
exercises.check("5.3", volume_um3)

# %%
exercises.hint("5.3")

# %%
of_one = series.nuclei.set_index("id").loc[name]
brick = series.pixel_size_um**2 * series.section_thickness_um  # the volume under one pixel
estimate = areas_px.sum() * brick
print(f"sum of the areas times the thickness: {estimate:.0f} µm³")
print(f"true volume of this nucleus:          {of_one['volume_um3']:.0f} µm³")

# %% [markdown]
# ### Which cuts belong together?
#
# In each section `label_nuclei` counts from 1 again, so number 3 here is not number 3 there. Two
# cuts are probably the same nucleus when they lie over each other: when they overlap in
# neighbouring sections. We ask for an IoU of 0.2 only, since near its ends a nucleus shrinks fast,
# and for a matching one to one: `match_instances(one, next, 0.2)`, whose `tp` is the number of
# **links** between two sections. (Lesson 4 used it to compare truth and prediction.) A toy of four
# sections, each a single row of pixels:

# %%
toy = np.array(
    [
        [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
        [[1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 0, 0]],
        [[0, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 2, 2]],
    ]
)
for one in toy:
    print(" ".join(str(number) if number else "." for number in one[0]))

# %% [markdown]
# ## Exercise 5.4: how many nuclei are these?
#
# Count in the toy by hand first: how many cuts, how many links, how many nuclei? Then complete the
# function: it gets labels (sections, H, W), numbered afresh in each section, and returns the number
# of nuclei in three dimensions. (Numbers may have gaps, where somebody has deleted a nucleus.)

# %%
def count_nuclei(labels):
    return None  # your code


# %% tags=["solution"]
def count_nuclei(labels):
    cuts = sum(len(np.unique(one[one > 0])) for one in labels)
    links = sum(dt.match_instances(a, b, 0.2).tp for a, b in pairwise(labels))
    return cuts - links


# %%
exercises.check("5.4", count_nuclei)

# %%
exercises.hint("5.4")

# %% tags=["nbval-ignore-output"]
print("nuclei in the toy:   ", count_nuclei(toy))
print("nuclei in the series:", count_nuclei(found))

# %% [markdown]
# (In the toy there are 7 cuts and 4 links: 3 nuclei.) To follow nuclei, not only count them, we
# carry a number on from section to section: a cut that is linked takes the number of the one
# before, any other cut gets a new one. Read the function from the top; it is all there is to it.

# %%
def link(labels, least=0.2):
    """Number nuclei alike in all their sections: (S, H, W) to the same, by overlap."""
    linked, last = np.zeros_like(labels), 0
    for here, section in enumerate(labels):
        known = {}
        if here > 0:
            for before, number, _ in dt.match_instances(linked[here - 1], section, least).pairs:
                known[number] = before
        for number in np.unique(section[section > 0]):
            if number not in known:
                last += 1
                known[number] = last
            linked[here][section == number] = known[number]
    return linked


def count_sections(linked):
    """In how many sections each nucleus was cut, by its number."""
    seen = [number for one in linked for number in np.unique(one[one > 0])]
    return pd.Series(seen, dtype=int).value_counts()


# %% [markdown]
# Two things can go wrong, the outlines and the links. To tell them apart we link twice: the *true*
# outlines, numbered afresh, where only linking can fail, and those that the model found. *Predict:*
# will the model's number of nuclei come out too high or too low?

# %% tags=["nbval-ignore-output"]
# in each section the numbers that occur become 0, 1, 2 ...
renumbered = [np.unique(one, return_inverse=True)[1] for one in series.labels]
afresh = np.stack(renumbered).reshape(series.labels.shape)
linked = {"true outlines": link(afresh), "model's outlines": link(found)}
rows = {}
for who, stack in linked.items():
    lengths = count_sections(stack)
    rows[who] = {"cuts": lengths.sum(), "after linking": len(lengths)}
    rows[who]["in two sections or more"] = (lengths >= 2).sum()
print("nuclei in the embryo:", len(series.nuclei))
pd.DataFrame(rows).T

# %%
# alt: Two panels of horizontal bars against the section number, one bar for each nucleus from its
#   first to its last section. Left, true outlines: bars of similar length. Right, the model's: much
#   the same, and a number of orange diamonds, nuclei seen in a single section only.
_, axes = plt.subplots(1, 2, figsize=(9.4, 4.2), layout="constrained", sharex=True)
for ax, (who, stack) in zip(axes, linked.items(), strict=True):
    ids = np.unique(stack[stack > 0])
    spans = [np.flatnonzero((stack == number).any(axis=(1, 2))) for number in ids]
    for place, span in enumerate(sorted(spans, key=lambda one: one[0])):
        if len(span) > 1:
            ax.plot(span[[0, -1]], [place, place], color="#0072B2", linewidth=3)
        else:
            ax.plot(span[0], place, "D", color="#D55E00", markersize=4)
    ax.set(xlabel="section", ylabel="nuclei", yticks=[], title=f"{who}: {len(ids)}")

# %% [markdown]
# *Figure 10. Every nucleus from its first to its last section; an orange diamond was seen in one
# section only. Rows are sorted by first section: the same height left and right need not be the
# same nucleus. A nucleus is several sections deep here, so what shows in just one is suspect: a
# granule taken for a nucleus, or an end of a nucleus, outlined too small to overlap enough with
# its next cut; but it may also be a true nucleus that the model found only once.*
#
# Asking for **two sections or more** is a cheap and honest filter: a granule is rarely taken for a
# nucleus twice in the same place. It costs the nuclei that were cut only once, and those that the
# model *found* only once. Say in your methods that you did it.
#
# What kind of mistake is left? We compare each true nucleus with the model's, pixel by pixel. (You
# need not follow each line: `shared` is a table with a row for each true nucleus, a column for each
# one found, and the pixels that both have.)

# %% tags=["nbval-ignore-output"]
stack = linked["model's outlines"]
lengths = count_sections(stack)
kept = np.where(np.isin(stack, lengths.index[lengths >= 2]), stack, 0)
on_both = (kept > 0) & (series.labels > 0)
shared = pd.crosstab(series.labels[on_both], kept[on_both])  # pixels: a row a true nucleus
partners = (shared >= 20).sum(axis=1).reindex(series.nuclei["id"], fill_value=0)
nowhere = np.setdiff1d(kept[kept > 0], shared.columns)
single = lengths.index[lengths < 2]
real = sum((series.labels[stack == number] > 0).mean() > 0.5 for number in single)
print(f"left out by the filter: {len(single)}, of them on a true nucleus: {real}")
print("true nuclei with one counterpart: ", (partners == 1).sum())
print("with two or more (split):         ", (partners > 1).sum())
print("with none (missed, or left out):  ", (partners == 0).sum())
print("found that share two (merged):    ", ((shared >= 20).sum(axis=0) > 1).sum())
print("found where there is no nucleus:  ", len(nowhere))
assert (partners == 1).mean() > 0.8, "most nuclei should be found and followed"

# %% [markdown]
# In the stored run nothing is split or merged *any more*: most of what the filter left out were
# slivers of nuclei that were followed anyway, and one was a nucleus of five sections that the model
# found in a single one: that is the one with none. With other embryos you will see all of these. A
# nucleus that the model misses in one section in the middle of its life is **split**: the link is
# broken, and it counts twice. Two nuclei right above each other are **merged** by a link too many.
# Both errors can cancel in the sum, so a right total is no proof. (A better linker looks back two
# sections, or weighs all links at once.)
#
# ### Volumes
#
# Now the volumes, each as the sum of its areas: from the true outlines, and from the model's.
# *Predict:* which points will lie far below the line?

# %%
def volumes(stack):
    """Volume in µm³ of each nucleus of a linked stack, by its number."""
    numbers, pixels = np.unique(stack[stack > 0], return_counts=True)
    return pd.Series(pixels * brick, index=numbers)


true_volume = series.nuclei.set_index("id")["volume_um3"]
cavalieri = volumes(series.labels)
best = shared.idxmax(axis=1)  # for each true nucleus, the one found that shares most pixels
by_model = volumes(kept)[best].set_axis(best.index)

# %%
# alt: Scatter of estimated against true volume with a dashed line where both are equal. Blue
#   circles, from true outlines, lie close to the line. Orange triangles, from the model's, scatter
#   more, some far below.
_, ax = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
ax.plot(true_volume[by_model.index], by_model, "^", color="#D55E00", label="model's outlines")
truly = {"color": "#0072B2", "markerfacecolor": "none", "label": "true outlines"}
ax.plot(true_volume[cavalieri.index], cavalieri, "o", **truly)
top = 1.25 * true_volume.max()
ax.plot([0, top], [0, top], "--", color="grey", label="equal")
ax.set(xlabel="true volume (µm³)", ylabel="sum of areas × thickness (µm³)")
_ = ax.legend()

# %% [markdown]
# *Figure 11. Volumes. The circles show what the method itself costs: a nucleus is cut into a few
# sections only. The triangles add the model's outlines and the links; a nucleus that was missed
# altogether has none. Far below the line lie nuclei of which a cut was missed or an outline is too
# small (or that were split); far above it those whose outlines are too large (or that were merged
# with another).*

# %% tags=["nbval-ignore-output"]
for who, estimates in (("true outlines", cavalieri), ("model's outlines", by_model)):
    error = (estimates / true_volume[estimates.index] - 1).abs().median()
    print(f"{who:17} error of one nucleus, median  {100 * error:3.0f} %")
for who, stack in (("true outlines", series.labels), ("model's outlines", found)):
    error = (stack > 0).sum() * brick / true_volume.sum() - 1
    print(f"{who:17} error of all nuclei together {100 * error:+3.0f} %")
    assert abs(error) < 0.2, "the total should nearly be right"

# %% [markdown]
# The last two lines need **no links at all**: all areas that were found, times the thickness. Where
# your question allows it ("how much of the embryo is nucleus?"), ask for the total: what need not
# be done cannot go wrong.
#
# And the sections must be close enough. What if we had cut fewer? *Predict:* we take every second,
# third, fourth and sixth section of the true outlines. What becomes of the number, of those with
# two sections or more, and of the total volume?

# %%
for step in (1, 2, 3, 4, 6):
    fewer = afresh[::step]
    seen = count_sections(link(fewer))
    error = (fewer > 0).sum() * brick * step / true_volume.sum() - 1
    apart = step * series.section_thickness_um
    print(f"{apart:.1f} µm apart: {seen.size} nuclei after linking,", end=" ")
    print(f"{(seen >= 2).sum()} with two sections or more, volume {100 * error:+.0f} %")

# %% [markdown]
# Up to 3 µm number and total hold, though by then half of the nuclei are cut only once, and the
# filter of two sections or more would throw those away. Further apart neighbours are linked to each
# other, some nuclei lie between two sections, and the total depends on where the first cut fell.
# Plan the distance so that the smallest nucleus is cut at least twice.
#
# **Your own series.** Align it, save it as one multi-page TIFF, and give it to the command:
# `devotools segment stack.tif --out results --pixel-size ...`. In the results each nucleus has one
# number through all sections (by a linker that looks back further than ours), and `nuclei3d.csv`
# has its sections and its volume. Volumes in µm³ also need the distance of the sections in the
# file, in Fiji under Image > Properties, Voxel depth. In Python, take
# `np.stack([dt.read_image(file) for file in files])` in place of `series.images`.

# %% [markdown]
# ## What to distrust
#
# You will rarely have the truth. Is there a sign that warns you all the same? The probability is
# one: near 0 and near 1 the model is certain, near 0.5 it is not. `4 * p * (1 - p)` is 1 at 0.5 and
# 0 where it is certain. And for each picture, one number, its **uncertainty**: the mean of that
# over all pixels that are labelled or might be (a probability of 0.1 and more; 0 where there are
# none). We do not divide by all pixels: then a picture with few nuclei would always look certain.
# You have met the number: it is the column `uncertainty` of `images.csv`, and the report's order.

# %%
def doubt_of(probability):
    """The uncertainty of one picture, as the command calculates it."""
    return uncertainty(probability, dt.label_nuclei(probability))


doubt = np.array([doubt_of(one) for one in probabilities])
least = 6 + doubt[6:30].argmin()  # of the sections in the middle
most = 6 + doubt[6:30].argmax()

# %%
# alt: Two sections, one in each column. Above, the picture with found nuclei in solid orange and
#   true ones in dashed blue. Below, the map of uncertainty: thin bright rings round outlines on
#   the left; on the right rings and bright patches.
figure, axes = plt.subplots(2, 2, figsize=(7.4, 7), layout="constrained")
for column, number in enumerate((least, most)):
    title = f"section {number}: uncertainty {doubt[number]:.2f}"
    both = found[number], axes[0, column]
    _ = dt.show_overlay(series.images[number], *both, true=series.labels[number], title=title)
    p = probabilities[number]
    shown = axes[1, column].imshow(4 * p * (1 - p), cmap="cividis", vmin=0, vmax=1)
    axes[1, column].set_title("4 p (1 - p)")
    axes[1, column].set_axis_off()
_ = figure.colorbar(shown, ax=axes[1], label="doubt", shrink=0.8)

# %% [markdown]
# *Figure 12. The section with the least and the one with the most uncertainty, from the middle part
# of the series (solid orange: found; dashed blue: true), and where the doubt is. A thin ring is as
# it should be: nobody knows an outline to the pixel. A patch means that the model does not know
# whether something is a nucleus. Compare with the outlines above: a thin ring may lie round a
# granule, of which the model is sure and wrong; and a patch may be a true nucleus that it did not
# dare to call one.*
#
# Does uncertainty tell of errors? Here we can ask. And a network cannot say *this is no embryo*, so
# we also show it what it should refuse: the **negative** of a section, as a film scanner makes it;
# the same section far **out of focus**; and **clouds**, with no embryo at all. Beside them stands
# the section **as it is**. *Predict:* in which of them will it find nuclei, and in which will it be
# uncertain?

# %% tags=["nbval-ignore-output"]
plain, plain_true = series.images[18], series.labels[18]
clouds = gaussian_filter(np.random.default_rng(1).random((256, 256)), 6)
strangers = {
    "as it is": (plain, plain_true),
    "negative": (1 - plain, plain_true),
    "out of focus": (gaussian_filter(plain, 4), plain_true),
    "clouds": (dt.stretch_contrast(clouds), np.zeros_like(plain_true)),
}
rows = {}
for name, (picture, true) in strangers.items():
    answer = dt.predict_probability(model, picture)
    hits = dt.match_instances(true, dt.label_nuclei(answer))
    rows[name] = {"found": hits.tp + hits.fp, "real": hits.tp, "F1": hits.f1}
    rows[name]["uncertainty"] = doubt_of(answer)
pd.DataFrame(rows).T.astype({"found": int, "real": int}).round(2)

# %%
# alt: The F1 of each section against its uncertainty: blue dots, most of them at the top left, some
#   lower and further right. Four hollow orange marks stand for the section as it is, and
#   for the three strangers: out of focus below it, negative and clouds at the bottom.
sections = [number for number in range(36) if cuts_true[number]]
f1 = np.array([one.f1 for one in matches])
_, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.plot(doubt[sections], f1[sections], "o", color="#0072B2", label="sections with nuclei")
hollow = {"color": "#D55E00", "markerfacecolor": "none", "markeredgewidth": 2, "linestyle": ""}
for (name, row), marker, size in zip(rows.items(), "os^D", (12, 12, 10, 7), strict=True):
    ax.plot(row["uncertainty"], row["F1"], marker, markersize=size, label=name, **hollow)
ax.set(xlabel="uncertainty of the picture", ylabel="F1 (nuclei)", xlim=(0, 1), ylim=(-0.05, 1.1))
_ = ax.legend()

# %% [markdown]
# *Figure 13. Uncertainty against truth, in sections and strangers. On the whole, where the model
# doubts more it is wrong more often. But look at single dots, too: some sections with little doubt
# hold mistakes as well.*
#
# In the negative and in the clouds nothing that was found is real, and the doubt says so: no
# section of the series has as much. Out of focus it says little: of the five nuclei more are
# missing than in the sharp picture, and the doubt is still among that of sharp sections.
#
# How can that be? We sort the sections by doubt, compare the third with the least and the third
# with the most, and then ask of every nucleus that was missed: did the model at least see
# *something* there?

# %% tags=["nbval-ignore-output"]
order = [number for number in np.argsort(doubt) if cuts_true[number]]
third = len(order) // 3
for who, some in (("least", order[:third]), ("most", order[-third:])):
    print(f"the third with the {who:5} doubt: mean F1 {f1[some].mean():.2f}")

highest = []  # the highest probability in each cut that was missed
for number in sections:
    matched = [true for true, _, _ in matches[number].pairs]
    for true in np.setdiff1d(series.labels[number], [0, *matched]):
        highest.append(probabilities[number][series.labels[number] == true].max())
nothing = sum(one < 0.1 for one in highest)
assert f1[order[:third]].mean() > f1[order[-third:]].mean(), "doubt should tell of mistakes"
print(f"{len(highest)} cuts were missed; in {nothing} of them the probability nowhere reaches 0.1")

# %% [markdown]
# What the model overlooks with certainty leaves no doubt behind. (Of the others some were outlined,
# but badly: an IoU below 0.5 counts as missed.) So doubt is a **warning light**, not a certificate.
# When it is on, look. When it is off, look as well. What it is good for is an order in which to
# look. One trap: a picture in which nothing was seen at all has an uncertainty of 0 and stands
# *last*, whether it is empty or the model is blind to it. Look at all pictures with 0 nuclei first.
# The folder, the most doubtful picture first:

# %% tags=["nbval-ignore-output"]
lights = {}
for file in files[:50]:
    answer = dt.predict_probability(model, dt.read_image(file))
    lights[file.name] = {"nuclei": dt.label_nuclei(answer).max(), "uncertainty": doubt_of(answer)}
lights = pd.DataFrame(lights).T.astype({"nuclei": int})
lights.sort_values("uncertainty", ascending=False).round(2).head(12)

# %% [markdown]
# Before you write a number into a paper, go through this list:
#
# - **Overlays first.** All of them, if there are fewer than a hundred; else those with 0 nuclei,
#   the most doubtful, and thirty at random.
# - **Another kind of picture.** Fluorescence, another stain, another animal, a negative: the model
#   has never seen it, and will answer all the same. Label a few and measure (lesson 4), or teach it
#   (lesson 6).
# - **Scale.** Nuclei much wider or narrower than it knows: give their width.
# - **Small nuclei.** The fewer pixels a nucleus has, the more one wrong row of pixels weighs, in
#   its area and in whether it is found at all.
# - **The frame.** A nucleus that the edge of the picture cuts has no true area. Count it, but leave
#   it out of the sizes: `skimage.segmentation.clear_border(labels)` removes those that touch it.
# - **One section.** Its count is not the embryo's count, its widths are not the nuclei's.
# - **Someone else's 90 %.** Precision and recall belong to the pictures they were measured on.
#   Yours are others.

# %% [markdown]
# ## What to take along
#
# - Read, predict, label, measure, show: five steps, each of which you can look at.
# - The nucleus size in pixels decides what is found. The pixel size gives units and nothing else.
# - One command does a folder; a broken file is a row in `images.csv`, not the end.
# - Cuts are not nuclei: cuts minus links are. Ask for total volumes where you can.
# - A nucleus seen in one section only is suspect; doubt warns, and never acquits.
#
# ## Checkpoint
#
# 1. Two students segment the same pictures, one with `--pixel-size 0.1`, one with `--pixel-size
#    0.2`. What differs in their `nuclei.csv`?
#    <details><summary>Answer</summary>Only the column <code>area_um2</code>: four times as large
#    for the second. Number and outlines are the same.</details>
# 2. The overlays of your overview pictures show hardly any outline. What do you try first?
#    <details><summary>Answer</summary>Measure how wide a nucleus is in your pixels, and give it as
#    <code>--nucleus-size</code>: the embryo fills so little of the picture that its nuclei were
#    made too small.</details>
# 3. A series has 120 cuts and 90 links. How many nuclei are there? In one nucleus the model misses
#    one section in the middle: what becomes of the number?
#    <details><summary>Answer</summary>30. The missed cut takes two links with it, so it is one cut
#    and two links fewer: 119 - 88 = 31.</details>
# 4. In a colleague's fluorescence pictures the model finds 40 nuclei with little doubt. Good news?
#    <details><summary>Answer</summary>Not yet. It has never seen such pictures, and little doubt
#    proves nothing there. Look at the overlays, and measure on a few labelled ones.</details>
#
# Next: [lesson 6, label and fine-tune](06_label_and_fine_tune.ipynb).
#
# **Further reading:** Mayhew and Gundersen, ["If you assume, you can make an ass out of u and me":
# a decade of the disector](https://pubmed.ncbi.nlm.nih.gov/8655396/), 1996, on counting in three
# dimensions from sections; [Precision of the Cavalieri
# method](https://docs.easymeasure.com/stereology/precision/cavalieri-method), for the formula and
# its error; Liu and others,
# [CellStitch](https://bmcbioinformatics.biomedcentral.com/articles/10.1186/s12859-023-05608-2),
# 2023, a better way to link sections; Ovadia and others, [Can you trust your model's
# uncertainty?](https://arxiv.org/abs/1906.02530), 2019; and the 2020 project's [post on its first
# nuclei](https://mayukhdeb.github.io/blog/post/gsoc-2020-june-14).

# %% [markdown]
# # 4. Evaluate
#
# "It looks good" is not a result. In this lesson you learn the scores of the field by counting
# pixels by hand, apply them to the model that comes with devotools, and look for its mistakes.
#
# **What you will learn**
#
# - IoU and Dice, which compare pixels;
# - precision, recall and F1, which compare nuclei, matched one to one;
# - what the threshold does, and why there is only one;
# - to look at failures before you believe a mean.
#
# **What you need:** lesson 1's *mask* and *labels*. The trained model is there already.
# **Time:** 20 minutes to read, under 1 minute to run. **Internet:** not needed.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import devotools as dt

# %% [markdown]
# ## Pixels
#
# Two masks on a tiny picture: the true nucleus has 4 pixels, the predicted one has 4, and they
# share 2. Put them on top of each other and count.

# %%
# alt: Two small masks side by side on a grid of 3 by 4 pixels. The true nucleus covers the columns
#   0 and 1 of the first two rows, the predicted one the columns 1 and 2.
true = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
predicted = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
_, axes = plt.subplots(1, 2, figsize=(6, 2.6), layout="constrained")
_ = dt.show_image(true, axes[0], title="true")
_ = dt.show_image(predicted, axes[1], title="predicted")
for ax in axes:  # the borders between pixels
    ax.vlines(np.arange(0.5, 3), -0.5, 2.5, color="grey", linewidth=0.8)
    ax.hlines(np.arange(0.5, 2), -0.5, 3.5, color="grey", linewidth=0.8)

# %% [markdown]
# *Figure 1. Two masks that share two pixels.*
#
# - **IoU**, intersection over union: shared pixels over all pixels that are in either.
# - **Dice**: twice the shared pixels over the sum of both areas.
#
# *Predict both before you run.*

# %%
shared, either = (true & predicted).sum(), (true | predicted).sum()
print(f"IoU  = {shared} / {either} = {dt.iou_score(true, predicted):.3f}")
areas = true.sum() + predicted.sum()
print(f"Dice = 2 * {shared} / {areas} = {dt.dice_score(true, predicted):.3f}")

# %% [markdown]
# Dice is never the smaller of the two: equal at 0 and at 1, larger in between. So never compare one
# paper's Dice with another's IoU. And if both masks are empty, both scores are 1 by convention:
# nothing was to be found, and nothing was found.

# %%
empty = np.zeros_like(true)
for name, score in (("IoU ", dt.iou_score), ("Dice", dt.dice_score)):
    print(name, "empty and empty:", score(empty, empty), " nucleus and empty:", score(true, empty))

# %% [markdown]
# ## Nuclei
#
# A biologist counts nuclei, not pixels. So true and predicted nuclei are **matched one to one**:
# a pair counts when its IoU is at least 0.5. What is left over is a mistake.
#
# *Predict:* below are three true nuclei. One is found, one is missed, one is found as two halves. A
# fourth prediction is made up. How many matches are there?

# %%
true_labels = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 3, 3, 0, 0, 0]])
predicted_labels = np.array([[1, 1, 0, 0, 0, 0, 2, 2, 3, 3, 0, 4, 4]])
matches = dt.match_instances(true_labels, predicted_labels)
print("found (true positives, tp):   ", matches.tp)
print("made up (false positives, fp):", matches.fp)
print("missed (false negatives, fn): ", matches.fn)
print(f"precision {matches.precision:.2f}  recall {matches.recall:.2f}  F1 {matches.f1:.2f}")

# %% [markdown]
# Two. Nucleus 3 was cut in two halves, each with an IoU of exactly 0.5. One half is matched; the
# other is left over and counts as made up. **Precision** is the share of predicted nuclei that
# are real, here 2 of 4; **recall** the share of real nuclei that were found, 2 of 3; **F1** lies
# between the two: 2 x precision x recall / (precision + recall).

# %% [markdown]
# ## The shipped model
#
# `load_model("nuclei")` is a ResNet18 with a feature pyramid that has seen *only drawn embryos*.
# We test it on embryos that were drawn for this lesson, with all the clutter, from a seed that
# training has never used. Sections without a nucleus, near the ends of an embryo, are left out
# here: they score 1 or 0 and nothing between, and would blur what we want to see.

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=10, sections=3, size=256, seed=2020)
pairs = [pair for pair in dt.read_dataset(folder) if dt.read_mask(pair.mask).any()]
model = dt.load_model("nuclei")
scores = dt.evaluate(model, pairs)
print(f"{scores.images} sections: IoU {scores.iou:.2f}, Dice {scores.dice:.2f}")
print(f"precision {scores.precision:.2f}, recall {scores.recall:.2f}, F1 {scores.f1:.2f}")

# %% [markdown]
# A mean hides its members. *Look at the spread:* is every section like the mean?

# %%
# alt: A dot for each section, sorted by its IoU, with a dashed line at the mean. Most sections lie
#   above the mean, a few far below it.
table = scores.table()
_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(table["iou"], "o", color="#0072B2")
ax.axhline(scores.iou, color="black", linestyle="--", label=f"mean {scores.iou:.2f}")
ax.set(xlabel="section, worst first", ylabel="IoU", ylim=(0, 1.02))
_ = ax.legend(loc="lower right")

# %% [markdown]
# *Figure 2. The IoU of each section. The mean is pulled down by a few.*
#
# Those few are worth more than the mean. *Predict:* what makes a section hard?

# %%
# alt: The three sections with the lowest score and the three with the highest. Solid orange
#   outlines are predictions, dashed blue ones the truth.
by_name = {pair.name: pair for pair in pairs}
shown = [*table.index[:3], *table.index[-3:]]
_, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for ax, row in zip(axes.flat, shown, strict=True):
    pair = by_name[table["name"][row]]
    image = dt.read_image(pair.image)
    found = dt.label_nuclei(dt.predict_probability(model, image))
    title = f"IoU {table['iou'][row]:.2f}"
    _ = dt.show_overlay(image, found, ax, true=dt.read_labels(pair.labels), title=title)

# %% [markdown]
# *Figure 3. The three worst and the three best sections. Solid orange: predicted; dashed blue:
# true. Hard are nuclei that the knife only grazed, nuclei at the border of the picture, and pale
# embryos whose nuclei hardly differ from their surroundings.*

# %% [markdown]
# ## The threshold
#
# The model gives a probability; a **threshold** makes a mask of it. *Predict:* when the threshold
# rises, what happens to precision, and what to recall?

# %%
# alt: Three lines against the threshold: precision rises slowly, recall falls, and F1 stays nearly
#   level between and drops at both ends. A dotted line marks the threshold 0.5.
thresholds = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
some = pairs[::2]  # every second section, to save time
swept = [dt.evaluate(model, some, threshold=float(t)) for t in thresholds]
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, style in (("precision", "o-"), ("recall", "s--"), ("f1", "^:")):
    ax.plot(thresholds, [getattr(s, name) for s in swept], style, label=name)
ax.axvline(dt.THRESHOLD, color="grey", linestyle=":")
ax.set(xlabel="threshold", ylabel="score", ylim=(0, 1.02))
_ = ax.legend(loc="lower center", ncols=3)

# %% [markdown]
# *Figure 4. Scores against the threshold. A high threshold is strict: what is left is more often
# right (precision), but more is missed (recall). Between 0.3 and 0.7 the scores hardly move: this
# model is sure of most pixels.*
#
# In 2020 the scores were computed at 0.5, and the pictures shown at 0.1: the pictures showed
# nuclei that the scores never counted. Here one threshold, `dt.THRESHOLD`, serves training,
# scores and pictures. And if you choose another one, choose it on validation embryos, never on
# those you test with.

# %% [markdown]
# ## Exercise: from Dice to IoU
#
# The two pixel scores carry the same information: from one follows the other. Complete the
# function. (Let `shared` be the overlap and `total` the sum of both areas: then the union is
# `total - shared`.) It holds for one pair of masks; a *mean* Dice does not give the mean IoU.

# %%
def iou_from_dice(dice):
    return None  # your code


# %% tags=["solution"]
def iou_from_dice(dice):
    return dice / (2 - dice)


# %%
dice = np.array([0.0, 0.5, 0.8, 1.0])
answer = [iou_from_dice(d) for d in dice]
if None in answer:
    print("not yet: write IoU with shared and total, then divide both by total")
elif np.allclose(answer, [0, 1 / 3, 2 / 3, 1]):
    print("solved")
elif np.allclose(answer, dice):
    print("not yet: that is Dice itself; between 0 and 1 IoU is smaller")
elif np.allclose(answer, 2 * dice / (1 + dice)):
    print("not yet: that makes Dice from IoU; turn it round")
else:
    print("not yet: a Dice of 0.5 is an IoU of 1/3, a Dice of 1 an IoU of 1")

# %% [markdown]
# ## What to take along
#
# - IoU and Dice compare pixels, precision, recall and F1 nuclei. Say which you mean.
# - Match one to one, and say at which IoU.
# - One threshold for everything, chosen on other data than you test on.
# - Look at the worst pictures before you believe the mean.
#
# **Further reading:** Kirillov and others, [Panoptic
# segmentation](https://arxiv.org/abs/1801.00868), 2018, for matching; Maier-Hein and others,
# [Metrics reloaded](https://arxiv.org/abs/2206.01653), 2022, on choosing a score.

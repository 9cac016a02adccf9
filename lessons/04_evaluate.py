# %% [markdown]
# # 4. Evaluate
#
# "It looks good" is not a result. In this lesson you learn the scores of the field by counting
# pixels by hand, apply them to the model that comes with devotools, look for its mistakes, and
# put an observation of 2020 to the test: is a network's answer *less noisy* than the masks it
# learned from?
#
# **What you will learn**
#
# - IoU and Dice, which compare pixels;
# - precision, recall and F1, which compare nuclei, matched one to one;
# - what the threshold does, how to choose it, and whether a probability means what it says;
# - to look at failures before you believe a mean;
# - to turn an observation into an experiment with several seeds and a spread.
#
# **What you need:** lessons 1 to 3. The trained model is there already.
# **Time:** 40 minutes to read, 1 minute to run. **Memory:** 1.5 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import json
import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import devotools as dt
from devotools import exercises
from devotools.ui import explore_threshold

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
    ax.vlines(np.arange(-0.5, 4), -0.5, 2.5, color="grey", linewidth=0.8, clip_on=False)
    ax.hlines(np.arange(-0.5, 3), -0.5, 3.5, color="grey", linewidth=0.8, clip_on=False)

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
# ## Exercise 4.1: IoU by hand
#
# Write it for any two masks (bool arrays of the same shape). And if both are empty? Nothing was to
# be found, and nothing was found: by convention that is 1.


# %%
def iou(true, predicted):
    return None  # your code


# %% tags=["solution"]
def iou(true, predicted):
    either = (true | predicted).sum()
    return (true & predicted).sum() / either if either else 1.0


# %%
exercises.check("4.1", iou)

# %%
exercises.hint("4.1")

# %% [markdown]
# ## Two scores, one piece of information
#
# Dice is never the smaller of the two: equal at 0 and at 1, larger in between. So never compare one
# paper's Dice with another's IoU. What if only one of the two masks is empty?

# %%
empty = np.zeros_like(true)
for name, score in (("IoU ", dt.iou_score), ("Dice", dt.dice_score)):
    print(name, "empty and empty:", score(empty, empty), " nucleus and empty:", score(true, empty))

# %% [markdown]
# ## Exercise 4.2: from Dice to IoU
#
# The two pixel scores carry the same information: from one follows the other. Complete the
# function; it must hold for a Dice of 0, too. (Let `shared` be the overlap and `total` the sum of
# both areas: then the union is `total - shared`.) It holds for one pair of masks; a *mean* Dice
# does not give the mean IoU.


# %%
def iou_from_dice(dice):
    return None  # your code


# %% tags=["solution"]
def iou_from_dice(dice):
    return dice / (2 - dice)


# %%
exercises.check("4.2", iou_from_dice)

# %%
exercises.hint("4.2")

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
# other is left over and counts as made up. (Many papers ask for *more* than 0.5, so that no two
# predictions can fit one nucleus. Then nucleus 3 would be missed: say which rule you use.)
# **Precision** is the share of predicted nuclei that are real, here 2 of 4; **recall** the share of
# real nuclei that were found, 2 of 3; **F1** lies between the two: 2 x precision x recall /
# (precision + recall). (`match_instances` gives the **panoptic quality** as well: F1 times the mean
# IoU of the pairs, one number for finding and outlining together.) Precision and recall can be
# computed of pixels as well, as IoU is.

# %% [markdown]
# ## Exercise 4.3: precision and recall from counts
#
# Given how many nuclei were found (`tp`), made up (`fp`) and missed (`fn`), return both scores.


# %%
def precision_recall(tp, fp, fn):
    return None  # your code: two numbers, precision first


# %% tags=["solution"]
def precision_recall(tp, fp, fn):
    return tp / (tp + fp), tp / (tp + fn)


# %%
exercises.check("4.3", precision_recall)

# %%
exercises.hint("4.3")

# %% [markdown]
# ## The shipped model
#
# `load_model("nuclei")` is a ResNet18 with a feature pyramid that has seen *only drawn embryos*. We
# test it on embryos that were drawn for this lesson, with all the clutter, from a seed that
# training has never used. Each picture is first brought to the model's **working resolution**, and
# touching nuclei in its answer are parted by a **watershed** (`label_nuclei`): a flood rises from a
# *seed* in the middle of each, and where two floods meet runs the border. Sections without a
# nucleus are left out here (all three of embryo 7, of which the frame shows only a piece): they
# score 1 or 0 and nothing between, and would blur what we want to see.

# %% tags=["nbval-ignore-output"]
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=10, sections=3, size=256, seed=2020)
pairs = [pair for pair in dt.read_dataset(folder) if dt.read_mask(pair.mask).any()]
model = dt.load_model("nuclei")
scores = dt.evaluate(model, pairs)
print(f"{scores.images} sections: IoU {scores.iou:.2f}, Dice {scores.dice:.2f}")
print(f"precision {scores.precision:.2f}, recall {scores.recall:.2f}, F1 {scores.f1:.2f}")
assert scores.f1 > 0.7, "the shipped model should find most nuclei"

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
# Those few are worth more than the mean. *Predict:* what makes a section hard? (Solid orange:
# predicted; dashed blue: true.)

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
    title = f"{pair.name}: IoU {table['iou'][row]:.2f}"
    _ = dt.show_overlay(image, found, ax, true=dt.read_labels(pair.labels), title=title)

# %% [markdown]
# *Figure 3. The three worst and the three best sections.*
#
# Hard here are a nucleus under a fibre, which is missed, a bright nucleus of which only a part is
# outlined, and a large, dim one with dark chromatin, outlined much too small. With an IoU below 0.5
# the last two count as made up *and* missed. Is it the embryo that is hard, or the section?
# *Predict:* how do the other sections of the same embryos score?

# %% tags=["nbval-ignore-output"]
hard = {pair.embryo for pair in pairs if pair.name in set(table["name"][:3])}
of_these = table[table["name"].map(lambda name: by_name[name].embryo in hard)]
others = of_these.iloc[3:]["iou"]  # `table` begins with the worst
assert others.median() > table["iou"].iloc[2] + 0.1, "is it the embryo?"
of_these.sort_values("name")[["name", "iou"]].round(2)

# %% [markdown]
# Mostly the section: the others of the same embryos are found much better. Where only two to four
# nuclei are to be seen, one mistake weighs much.

# %% [markdown]
# ## The threshold
#
# The model gives a probability; a **threshold** makes a mask of it. *Predict:* when the threshold
# rises, what happens to precision, and what to recall?

# %%
# alt: Three lines against the threshold. Precision is level at first, higher from 0.5 on, and
#   wavers; recall falls; F1 stays nearly level between them. A dotted line marks 0.5.
thresholds = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
some = pairs[::2]  # every second section, to save time
swept = [dt.evaluate(model, some, threshold=float(t)) for t in thresholds]
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
looks = (("precision", "o-", "#D55E00"), ("recall", "s--", "#0072B2"), ("f1", "^:", "#009E73"))
for name, style, colour in looks:
    ax.plot(thresholds, [getattr(s, name) for s in swept], style, color=colour, label=name)
ax.axvline(dt.THRESHOLD, color="grey", linestyle=":")
ax.set(xlabel="threshold", ylabel="score (the axis begins at 0.7)", ylim=(0.7, 1))
_ = ax.legend(loc="lower center", ncols=3)

# %% [markdown]
# *Figure 4. Scores of every second section against the threshold. A high threshold is strict: more
# is missed (recall), and what is left is more often right (precision). But precision need not rise
# all the way: a high threshold also shrinks outlines, and a nucleus whose IoU so falls below 0.5
# counts as made up* and *missed; or an outline falls into two pieces. There are about 70 nuclei, so
# one of them moves a score by more than 0.01: do not read much into the small steps.*
#
# In 2020 the scores were computed at 0.5, and the pictures shown at 0.1: the pictures showed
# nuclei that the scores never counted. Here one threshold, `dt.THRESHOLD`, serves
# validation, scores and pictures.
#
# Move it yourself, on one section. *Look at* the outlines first, then at the numbers. The second
# slider drops nuclei smaller than so many pixels. (In a running notebook only. Figure 4 has five
# thresholds, over many sections.)

# %%
pair = by_name[table["name"][len(table) // 2]]  # neither the best nor the worst
image = dt.read_image(pair.image)
probability = dt.predict_probability(model, image)
explore_threshold(image, probability, true=dt.read_labels(pair.labels))

# %% [markdown]
# ## Exercise 4.4: which threshold?
#
# Somebody measured F1 at five thresholds, on validation embryos and on test embryos. Which
# threshold should they use for everything that follows?

# %%
some_thresholds = [0.1, 0.3, 0.5, 0.7, 0.9]
validation_f1 = [0.61, 0.78, 0.75, 0.72, 0.58]
test_f1 = [0.60, 0.70, 0.74, 0.77, 0.62]
use = None  # one threshold

# %% tags=["solution"]
use = some_thresholds[int(np.argmax(validation_f1))]

# %%
exercises.check("4.4", use, some_thresholds, validation_f1, test_f1)

# %%
exercises.hint("4.4")

# %% [markdown]
# ## Does 0.8 mean 80 %?
#
# A probability is **calibrated** when, of all pixels that are given 0.8, eight in ten really are
# nucleus. We sort all pixels of our sections into ten bins by their probability and look how many
# are nucleus in each.
#
# *Predict:* is the model too sure of itself, or not sure enough? Too sure means: where it says
# 0.7, fewer than seven in ten are nucleus, a point *below* the diagonal; and where it says 0.3,
# more than three in ten are, a point *above* it.

# %% tags=["nbval-ignore-output"]
# alt: A reliability diagram. Circles joined by a line show the share of true nucleus pixels against
#   the predicted probability in ten bins, beside a dashed diagonal.
images = [dt.read_image(pair.image) for pair in pairs]
claimed = np.concatenate([p.ravel() for p in dt.predict_probabilities(model, images)])
is_nucleus = np.concatenate([dt.read_mask(pair.mask).ravel() for pair in pairs])
bins = np.minimum((claimed * 10).astype(int), 9)
count = np.bincount(bins, minlength=10)
said = np.bincount(bins, claimed, 10) / count  # in each bin: the sum of the values, by their number
found = np.bincount(bins, is_nucleus, 10) / count
error = (count * abs(said - found)).sum() / count.sum()
_, ax = plt.subplots(figsize=(3.8, 3.6), layout="constrained")
ax.plot([0, 1], [0, 1], "--", color="grey", label="calibrated")
ax.plot(said, found, "o-", color="#0072B2", label="shipped model")
ax.set(xlabel="probability", ylabel="share that is nucleus", aspect="equal")
_ = ax.legend()
inner = slice(1, 9)  # the bins in between
inner_error = (count * abs(said - found))[inner].sum() / count[inner].sum()
print(f"expected calibration error: {error:.3f}; of the eight bins in between {inner_error:.2f}")
print(f"{100 * count[0] / count.sum():.0f} % of all pixels lie in the first bin")

# %% [markdown]
# *Figure 5. Reliability diagram. The **expected calibration error** is the distance from the
# diagonal, averaged over all pixels.*
#
# Here the points lie above the diagonal on the left and below it on the right: the model is too
# sure both ways. Of pixels to which it gives a low probability more are nucleus than it says, of
# those with a high one fewer.
#
# Read the error with the note beside it: most pixels are background, the model is sure of them and
# nearly always right, and they make the mean look good. (Not always: whole nuclei lie in the first
# bin, such as the one under the fibre. A model that misses a nucleus altogether does not doubt, and
# no threshold brings it back.) What matters for outlines are the bins in between, where the error
# is many times as large. They hold the rims, and nuclei of which the model sees a part.

# %% [markdown]
# ## An observation of 2020, as an experiment
#
# The project that this course grew from noticed that *the model's output was less noisy than the
# mask it was trained on*. Is that so? It may well be: the errors of a hasty hand differ from
# nucleus to nucleus, and a network that sees many of them learns what they have in common. But
# errors that are always the same (every outline too small) would be learned as well.
#
# With drawn embryos we can tell, since the clean truth is known. `add_label_noise` spoils masks as
# those of 2020 were: brushed in a hurry, bent, saved as JPEG, and every value above zero taken. To
# have an answer within a minute we draw large, clear nuclei without clutter.

# %%
# alt: Two panels of one section. Left, the picture with the clean outlines in dashed blue. Right,
#   the spoilt mask in white: the same outlines lie over blobs with ragged square rims.
folder = Path(tempfile.mkdtemp()) / "noisy"
large = dt.Appearance(pale_probability=0, dim_nuclei=0, zoom=1, nuclei_contrast=(0.8, 1.1))
clear = large.without("clutter", "hard_negatives", "degradation")
dt.synthesize_dataset(folder, embryos=40, sections=2, size=128, seed=77, appearance=clear)
noisy_pairs = dt.read_dataset(folder)
for number, pair in enumerate(noisy_pairs):
    true = dt.read_labels(pair.labels) > 0
    dt.write_mask(pair.mask, dt.add_label_noise(true, seed=number))
_, axes = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
pair = noisy_pairs[6]
_ = dt.show_overlay(
    dt.read_image(pair.image), ax=axes[0], true=dt.read_labels(pair.labels), title="picture"
)
_ = dt.show_overlay(
    dt.read_mask(pair.mask), ax=axes[1], true=dt.read_labels(pair.labels), title="spoilt mask"
)

# %% [markdown]
# *Figure 6. The truth (dashed blue), and what the network gets to see (white).*
#
# Now a network learns from the spoilt masks alone, from random numbers, and is chosen by spoilt
# validation masks too, as in real life. *Predict:* on the very sections that it learned from,
# whose outlines are nearer to the clean truth, its own or those of the spoilt masks?

# %% tags=["nbval-ignore-output"]
dt.seed_everything(0)
split = dt.split_by_embryo(noisy_pairs, val=0.2, test=0, seed=0)
learn = dt.NucleusDataset(split.train, dt.train_transform(96, seed=0))
choose = dt.NucleusDataset(split.val, dt.eval_transform(160))
pupil = dt.ResNet18FPN()
history = dt.fit(
    pupil,
    dt.make_loader(learn, batch_size=8, shuffle=True, seed=0),
    dt.make_loader(choose, batch_size=8, shuffle=False),
    dt.TrainConfig(epochs=20, device="cpu"),
)
pupil.working_side = 160

# %% [markdown]
# Two questions: how well are nuclei **found** (F1, to which a bad outline counts as not found, see
# above), and how good is the **outline** of those that both have found? For the second we compare,
# nucleus by nucleus, the IoU with the clean truth.

# %% tags=["nbval-ignore-output"]
# alt: A dot for each nucleus: the IoU of the network's outline against that of the spoilt mask,
#   with a dashed diagonal; above it the network is better.
outlines, found = [], {"mask": dt.Matches(0, 0, 0), "network": dt.Matches(0, 0, 0)}
for pair in split.train:
    clean = dt.read_labels(pair.labels)
    guesses = {
        "mask": dt.label_nuclei(dt.read_mask(pair.mask).astype(float)),
        "network": dt.label_nuclei(dt.predict_probability(pupil, dt.read_image(pair.image))),
    }
    for name, guess in guesses.items():
        found[name] += dt.match_instances(clean, guess)
    # any overlap counts here, or bad outlines would drop out of the comparison
    loose = [dt.match_instances(clean, g, iou_threshold=0.1).pairs for g in guesses.values()]
    mask_iou, network_iou = ({true: iou for true, _, iou in matched} for matched in loose)
    outlines += [(mask_iou[k], network_iou[k]) for k in mask_iou.keys() & network_iou.keys()]
outlines = np.array(outlines)
_, ax = plt.subplots(figsize=(3.8, 3.6), layout="constrained")
ax.plot(outlines[:, 0], outlines[:, 1], "o", color="#0072B2", alpha=0.5)
ax.plot([0, 1], [0, 1], "--", color="grey")
_ = ax.set(xlabel="IoU of the spoilt mask", ylabel="IoU of the network", aspect="equal")

# %% [markdown]
# *Figure 7. One run, one seed, half a minute of training. Each dot is a nucleus; above the dashed
# line the network's outline is the better one.*

# %% tags=["nbval-ignore-output"]
mask_mean, network_mean = outlines.mean(axis=0)
print(f"outlines: spoilt mask {mask_mean:.2f}, network {network_mean:.2f}")
print(f"found (F1): spoilt mask {found['mask'].f1:.2f}, network {found['network'].f1:.2f}")
assert len(outlines) > 30, "hardly any nucleus was found: train longer"

# %% [markdown]
# One run proves nothing: another seed may say otherwise. So the experiment was repeated with larger
# pictures and several seeds, in two looks: large, clear nuclei as here, and the *full* look of a
# micrograph with everything that makes it hard. The commands, and all that they measured, are
# stored with the package:

# %%
stored = {}
for look in ("clear", "full"):
    file = files("devotools") / "data" / f"label_noise_{look}.json"
    stored[look] = json.loads(file.read_text(encoding="utf-8"))
    print(stored[look]["command"])

# %%
# alt: Two panels, clear look and full look, each with two groups of bars with error bars, outlines
#   and finding: the spoilt mask hatched grey, the network blue, on sections of other embryos.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
sides = (("mask", "#999999", "//", "spoilt mask"), ("model", "#56B4E9", "", "network"))
for ax, (look, result) in zip(axes, stored.items(), strict=True):
    measured = result["sections of other embryos"]
    for place, (side, colour, hatch, name) in enumerate(sides):
        rows = [measured[f"{side}_{what}"] for what in ("outline", "f1")]
        means, spreads = [r["mean"] for r in rows], [r["sd"] for r in rows]
        style = {"color": colour, "hatch": hatch, "label": name, "capsize": 4}
        at = np.arange(2) + 0.36 * place - 0.18
        bars = ax.bar(at, means, 0.34, yerr=spreads, **style)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ax.bar_label(bars, fmt="%.2f", label_type="center", bbox=box)
    ax.set_xticks([0, 1], ["outline of nuclei\nthat both found (IoU)", "finding nuclei (F1)"])
    ax.set(title=f"{look} look", ylim=(0, 1))
axes[0].set(ylabel="score against the clean truth")
_ = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

# %% [markdown]
# *Figure 8. Prediction and spoilt mask, each against the clean truth; bars are means over the
# seeds, lines their standard deviation. Sections of embryos that the networks never saw, the same
# for every seed: so the lines show the luck of training, not that of the test.*
#
# The observation of 2020 was made on the pictures that the network had learned from. So *look* at
# the difference there as well:

# %%
for look, result in stored.items():
    settings = result["settings"]
    print(f"{look}: {settings['seeds']} seeds, {settings['steps']} steps")
    for side in ("sections it was trained on", "sections of other embryos"):
        measured = result[side]
        gain, share = measured["outline_gain"], measured["outline_better_share"]
        f1, of_masks = measured["model_f1"], measured["mask_f1"]["mean"]
        whole = measured["iou_gain"]
        print(f"  {side}")
        print(f"    outlines: network minus mask {gain['mean']:+.3f} (sd {gain['sd']:.3f})")
        print(f"    the network's is the better one in {100 * share['mean']:.0f} % of the nuclei")
        print(f"    F1: network minus mask {f1['mean'] - of_masks:+.3f}", end=" ")
        print(f"(sd of the network's F1 {f1['sd']:.3f})")
        print(f"    IoU of whole pictures: {whole['mean']:+.3f} (sd {whole['sd']:.3f})")

# %% [markdown]
# So what became of the observation? Read the numbers with their spread, and say no more than they
# do. In our short run the network was worse than the masks in both. With more steps and more
# sections, on large, clear nuclei:
#
# - of *other embryos* it finds nuclei somewhat better than the masks show them; on the sections
#   that it learned from, as well as they do;
# - its outlines are about as good as theirs, rather a hair worse than better: the difference is
#   about as large as its spread over the seeds, and a few seeds cannot settle it;
# - by the IoU of whole pictures it is *worse*, and clearly so. That score counts every pixel that
#   is missed or made up, not only the outlines of what both have found.
#
# So this does not show that the network's masks are *less noisy*. And with the full look, which is
# perhaps only half learned after so few steps, finding, outlines and whole pictures are all worse
# than in the masks.
#
# Two things work against each other. Errors that differ from nucleus to nucleus (a circle set a
# little aside, now left, now right) average out: the network cannot guess them, so it settles in
# the middle. Errors that *all* masks share are learned as if they were true, and the rim that JPEG
# leaves round every nucleus is one of these. In 2020 the observation was made by eye, on the
# training pictures. It was a good question; measured, the answer for the pictures that a network
# has learned from is *no*: none of its three scores is clearly better than that of the masks. The
# one clear gain is elsewhere, in finding large, clear nuclei of *other* embryos.

# %% [markdown]
# ## What to take along
#
# - IoU and Dice compare pixels, precision, recall and F1 nuclei. Say which you mean.
# - Match one to one, and say at which IoU.
# - One threshold for everything, chosen on other data than you test on.
# - Look at the worst pictures before you believe the mean.
# - A probability of 0.8 is a claim that can be checked.
# - An observation becomes a result by a question that can fail, several seeds, and a spread.
#
# ## Checkpoint
#
# 1. Of one picture, one program's mask has a Dice of 0.80, another's an IoU of 0.70. Which fits
#    the truth better?
#    <details><summary>Answer</summary>The second: a Dice of 0.80 is an IoU of 0.67. Of means over
#    many pictures one could not tell: a mean Dice of 0.80 may go with a mean IoU from 0.67 to 0.80.
#    </details>
# 2. A program marks the whole picture as one nucleus. Which of precision and recall of pixels is 1?
#    <details><summary>Answer</summary>Recall. Precision is only the share of nucleus in the
#    picture. Of nuclei, one at most is found.</details>
# 3. You tried twenty thresholds on the test embryos and report the best. What is wrong?
#    <details><summary>Answer</summary>The test has become a choice: the best of twenty is too good.
#    Choose on validation embryos, test once.</details>
# 4. All masks of a data set are one pixel too large. Will the network's outlines be better?
#    <details><summary>Answer</summary>No. Errors that are always the same are learned; only those
#    that differ from nucleus to nucleus average out.</details>
#
# Next: [lesson 5, segment your images](05_segment_your_images.ipynb).
#
# **Further reading:** Kirillov and others, [Panoptic
# segmentation](https://arxiv.org/abs/1801.00868), 2018, for matching; Maier-Hein and others,
# [Metrics reloaded](https://arxiv.org/abs/2206.01653), 2022, on choosing a score; Guo and others,
# [On calibration of modern neural networks](https://arxiv.org/abs/1706.04599), 2017; Rolnick and
# others, [Deep learning is robust to massive label noise](https://arxiv.org/abs/1705.10694), 2017;
# and the diary of the 2020 project, [week 2](https://mayukhdeb.github.io/blog/post/gsoc-2020-june-14),
# in which its first masks are drawn by hand.

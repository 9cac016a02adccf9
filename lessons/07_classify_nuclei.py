# %% [markdown]
# # 7. Classify nuclei
#
# Where the nuclei are, you know by now. In this lesson you ask of each one what *state* it is in:
# between two divisions, or dividing. The same ResNet18 answers, with another *head* (the last
# layers, which turn features into an answer). From its answers comes a figure that developmental
# biologists have used for a century, the **mitotic index**, and with it the question that this
# lesson ends on: how far can the figure be trusted?
#
# **What you will learn**
#
# - what the state of chromatin tells, and what it does not;
# - to reuse what a network has learned for another question, and to see when that helps;
# - to score a rare class without being flattered, and to notice a leak by tossing coins;
# - to ask what a network looked at, and how far its probabilities can be taken at their word;
# - to give a fraction with an interval, counted in nuclei and not in cuts.
#
# **What you need:** lesson 3 (training), *calibrated* from lesson 4, *cuts* from lesson 5.
# **Time:** 45 minutes to read, 3 minutes to run. **Memory:** 1.6 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import json
from dataclasses import replace
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

import devotools as dt
from devotools import classification, exercises
from devotools.pipeline.linking import link_sections

# %% [markdown]
# ## What chromatin tells
#
# Between two divisions a cell is in **interphase**. Its DNA is unpacked, and in an electron
# micrograph the nucleus is a bright disc with fine dark specks. Before it divides, the cell packs
# its DNA: the diffuse chromatin of a worm's zygote becomes separate, rod-like chromosomes ([Maddox
# and others, 2006](https://pmc.ncbi.nlm.nih.gov/articles/PMC1622782)). In a thin section they are
# **a few dark clumps** in a clear nucleus. We call that state **condensed**.
#
# Early in the worm's embryo, division follows division: most cells go from copying their DNA
# straight into the next mitosis and back ([Wong and others,
# 2022](https://www.frontiersin.org/journals/cell-and-developmental-biology/articles/10.3389/fcell.2022.978962/full)),
# and the cells of one lineage do so in step ([Deppe and others,
# 1978](https://doi.org/10.1073/pnas.75.1.376)). So the share of condensed nuclei says how much of
# an embryo is dividing at the moment when it was fixed.
#
# Our drawings know both states, since we drew them. Specks may be fine or coarse, and a single
# round body, the *nucleolus*, is interphase as well, and so is a nucleus that shows nothing at all.
# There is a third kind, `mixed`, which shows clumps *among* round blobs, and which two careful
# people would call differently. *Look first at how the dark stuff is spread, then at how much of it
# there is:* which of the two tells the states apart?

# %%
# large and clear: no pale embryo, no nucleus dimmer than the others, no dirt, no blur
clear = dt.Appearance(zoom=1, pale_probability=0, dim_nuclei=0).without("clutter", "degradation")


def window(image, labels, number, side=60):
    """A square round one nucleus, at the picture's own scale."""
    row, col = np.argwhere(labels == number).mean(axis=0).astype(int)
    wide = np.pad(image, side, mode="edge")
    return wide[row + side // 2 : row + 3 * side // 2, col + side // 2 : col + 3 * side // 2]


# %%
# alt: Three rows of six nuclei, each a bright disc in dark cytoplasm. Interphase: specks or blobs,
#   fine or coarse, all over the disc. Condensed: a few black rods or lumps in an otherwise clear
#   disc. Mixed: both at once. A bar gives the scale.
examples = {"speckled": [], "condensed": [], "mixed": []}
for seed in range(300, 312):
    one = dt.synthesize_series(nuclei=14, sections=5, seed=seed, appearance=clear)
    for nucleus in one.nuclei.itertuples():
        rows, cols = np.nonzero(one.labels[2] == nucleus.id)
        row, col = (int(one.mean()) if one.size else 0 for one in (rows, cols))
        whole = rows.size > 600 and 30 <= min(row, col) and max(row, col) <= 226
        if len(examples[nucleus.state]) < 6 and whole:
            small = window(one.images[2], one.labels[2], nucleus.id)
            examples[nucleus.state].append((small, one.pixel_size_um))
_, axes = plt.subplots(3, 6, figsize=(9, 5), layout="constrained")
for row, (state, pictures) in zip(axes, examples.items(), strict=True):
    for ax, (picture, size) in zip(row, pictures, strict=True):
        _ = dt.show_image(picture, ax, pixel_size_um=size)
    row[0].set_title({"speckled": "interphase"}.get(state, state), loc="left")

# %% [markdown]
# *Figure 1. Nuclei of drawn embryos. Above, interphase; in the middle, condensed; below, mixed,
# which belongs to neither and is left out when two classes are taught or scored. Some are hard: a
# condensed nucleus whose clumps lie together looks much like one with a nucleolus (none is shown).*
#
# How the dark is *spread* tells more than how much of it there is. Now three warnings, for the word
# *dividing* promises more than a picture holds:
#
# - **Condensed is not always mitotic.** A dying nucleus is dark and lumpy, too, and polar bodies
#   hold packed chromosomes. (A nucleus about to divide or just done *is* in mitosis. But condensing
#   is gradual, and where it begins is a matter of taste.)
# - **Late mitoses are not nuclei.** Chromosomes without an envelope round them are no bright disc,
#   so the segmentation does not find them, and they are not counted. (In the worm it lasts: at
#   metaphase of the first division there still are membranes, with holes in them. [Rahman and
#   others, 2020](https://pmc.ncbi.nlm.nih.gov/articles/PMC7041684).)
# - **A section is a slice.** The knife may pass beside the clumps. Such a cut looks empty, and what
#   it looks like is all that a network can answer. Our drawings are kinder: there a condensed
#   nucleus shows clumps in every section. So the scores below know nothing of such cuts, and on
#   real sections they would be lower.
#
# So we measure the *fraction of nuclei with condensed chromatin*, among those that can be found. We
# shall call it a mitotic index, as people do, and remember that it is a stand-in.
#
# ## A crop for each nucleus
#
# A classifier gets one small picture and gives one answer. So each nucleus is cut out, and enlarged
# to 64 x 64 pixels whatever its size. How much of its surroundings should be in the picture?
# *Predict:* would you cut close to the outline, or leave the neighbourhood in?

# %%
# alt: One nucleus cut out three times. Left, cut at the outline, the nucleus fills the picture, and
#   its edge is cut off. In the middle, a rim of cytoplasm round it. Right, the nucleus small among
#   granules and neighbours.
picked = max(one.nuclei["id"], key=lambda number: (one.labels[2] == number).sum())
only = np.where(one.labels[2] == picked, picked, 0)
_, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
for ax, context in zip(axes, (1, 2, 4), strict=True):
    crop = dt.nucleus_crops(one.images[2], only, context=context)[0, 0]
    _ = dt.show_image(crop, ax, title=f"{context} x its diameter")

# %% [markdown]
# *Figure 2. The same nucleus with more and more of its surroundings, 64 x 64 pixels each. There is
# no bar for the scale: each crop is enlarged by another factor.*
#
# Too close, and an outline that is a little wrong cuts off what matters; nor does the network see
# how bright cytoplasm is. Too wide, and the nucleus is a few pixels, and the neighbours talk, too.
# `nucleus_crops` takes twice the diameter, stretches the contrast of the whole picture first, and
# repeats the border where a nucleus lies at the edge. Every step of this lesson, training as well
# as the command, cuts with this one function.
#
# Note what enlarging takes away: *size*. The network cannot use that condensed nuclei might be
# larger. Is that a loss? It is a choice: a small nucleus of a late embryo is judged like a large
# one of an early embryo.
#
# We cut many nuclei of many embryos. `NucleusCropDataset` gives each crop with its class, 0 for
# interphase and 1 for condensed, remembers the embryo it comes from, and leaves the mixed ones out.

# %%
def draw(seeds, look=clear, **more):
    """Crops of all nuclei of drawn embryos, with their classes."""
    series = [dt.synthesize_series(seed=seed, appearance=look, **more) for seed in seeds]
    return dt.NucleusCropDataset(series)


learn, test = draw(range(1000, 1030), sections=6), draw(range(2000, 2040), sections=6)
for name, data in (("to learn from", learn), ("to test", test)):
    number, embryos = data.classes.sum(), len(np.unique(data.embryo))
    print(f"{name:13} {len(data)} crops of {embryos} embryos, {number} of them condensed")

# %% [markdown]
# ## A trap before we begin
#
# Real series are cut finely: a nucleus is met by many sections, one nearly like the other. Suppose
# that you label all nuclei of ten such series and set aside three in ten *crops*, at random, for
# the test. To see what that is worth we need no network. The following program is a mere copycat:
# for each test crop it looks for the crop among the labelled ones that is most alike, pixel by
# pixel, and copies its answer. It knows nothing of chromatin. (You met its like in lesson 1.)

# %%
dense = draw(range(700, 710), nuclei=20, sections=40)
thumbnails = dense.crops[:, 0, ::4, ::4].reshape(len(dense), -1)  # 16 x 16 pixels each
unlike = cdist(thumbnails, thumbnails)  # (K, K): how far apart any two crops are
embryos = np.unique(dense.embryo)


def copycat(classes, by_embryo, times=10):
    """Balanced accuracy of copying from the most similar crop; mean over random test sets."""
    rng, scores = np.random.default_rng(0), []
    for _ in range(times):
        if by_embryo:
            tested = np.isin(dense.embryo, rng.choice(embryos, 3, replace=False))
        else:
            tested = rng.random(len(dense)) < 0.3
        # Rows of the test crops, columns of the labelled ones: the nearest of each row.
        twin = unlike[np.ix_(tested, ~tested)].argmin(axis=1)
        scores.append(dt.balanced_accuracy(classes[tested], classes[~tested][twin]))
    return np.mean(scores)


# %% [markdown]
# *Balanced accuracy* is the share of right answers among the interphase nuclei, and that among the
# condensed ones, averaged. A tossed coin scores 0.5, and 1 is perfect. *Predict both:* the copycat
# tested on crops set aside at random, and on three whole embryos.

# %%
at_random, honest = (copycat(dense.classes, by_embryo=one) for one in (False, True))
print(f"crops set aside at random: {at_random:.2f}")
print(f"whole embryos set aside:   {honest:.2f}")
assert at_random > honest + 0.2

# %% [markdown]
# Nearly nine in ten, and nothing was learned: in the next section lies the same nucleus, and
# its answer was in the training set. Whole embryos set aside tell the truth: the copycat is a coin.
#
# A colleague does not believe it. There is a test that needs no honest split to be at hand.
# **Toss a coin for each nucleus**, heads *condensed*, tails *interphase*, and let the program learn
# *that*. There is nothing to be learned. *Predict:* what must an honest test say, and what will the
# random one say?

# %%
coin = np.random.default_rng(7)
by_nucleus = dense.about.groupby(["embryo", "label"]).ngroup().to_numpy()  # 0, 1, 2 ...
tossed = coin.integers(0, 2, by_nucleus.max() + 1)[by_nucleus]  # all crops of one get its coin
coins_at_random, coins_honest = (copycat(tossed, by_embryo=one) for one in (False, True))
print(f"coins, crops set aside at random: {coins_at_random:.2f}")
print(f"coins, whole embryos set aside:   {coins_honest:.2f}")
assert coins_at_random > 0.7 > coins_honest

# %%
# alt: Two groups of bars with a dashed line at 0.5, a coin. With crops set aside at random both the
#   true states and the tossed coins reach more than 0.8. With whole embryos set aside both lie at
#   about 0.5.
_, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
place = np.arange(2)
style = {"edgecolor": "black", "width": 0.38}
ax.bar(place - 0.2, [at_random, honest], color="#0072B2", label="true states", **style)
tossed_bars = [coins_at_random, coins_honest]
ax.bar(place + 0.2, tossed_bars, color="#E69F00", label="tossed coins", hatch="//", **style)
ax.axhline(0.5, color="black", linestyle="--", label="guessing")
ax.set_xticks(place, labels=["crops set aside\nat random", "whole embryos\nset aside"])
ax.set(ylabel="balanced accuracy", ylim=(0, 1.25), yticks=np.linspace(0, 1, 6))
_ = ax.legend(ncols=3, fontsize="small")

# %% [markdown]
# *Figure 3. A program that only copies. Left, it seems to see chromatin, and predicts tossed coins
# as well. Right, the same program with the same crops.*
#
# Keep the coin: when a test lets you predict it, the test leaks. (The reverse does not hold. Split
# by nucleus, the coins are safe too, and nuclei of one embryo may still share its stain and its
# phase.) From here on every split is by embryo.
#
# ## Another head on the same network
#
# The network of lesson 3 turns a picture into features, coarser and richer from stage to stage, and
# its head makes a mask of them. A **classifier** has the same encoder and a smaller head: the
# features of the last stage are averaged over the crop, 512 numbers, and a single layer makes two
# logits of them, one for each state. The state with the larger logit is the answer, and its
# probability is the sigmoid of the difference of the two. (That is *softmax* with two states; with
# more it compares all of their logits.)
#
# The shipped encoder has seen thousands of nuclei. So why not keep it as it is, **frozen**, and let
# only the head learn? `learn("head")` says so, and `fit` is the loop of lesson 3, with another
# task: it keeps the epoch with the best balanced accuracy. You have labelled a hundred crops, fifty
# of each state; ten embryos are kept aside to choose by (validation, as in lesson 3). The crops
# stand in the list again and again, and are turned and changed in light each time.
#
# To compare, we do the same with an encoder of *random numbers*, which has seen nothing at all. A
# few words of the cell: `np.resize` repeats the hundred crops until they are 512, and
# `crop_transform` is the augmentation of lesson 2 for crops.
#
# *Predict* both balanced accuracies on the test embryos, whose nuclei you can mostly tell by eye.

# %%
aside = np.isin(learn.embryo, np.unique(learn.embryo)[-10:])
rng = np.random.default_rng(0)
pools = [np.flatnonzero((learn.classes == state) & ~aside) for state in (0, 1)]
fifty = [rng.choice(one, 50, replace=False) for one in pools]
hundred = learn.subset(np.resize(np.concatenate(fifty), 512), dt.crop_transform(seed=0))


def train(model, rate):
    """Train a classifier on the hundred crops; returns its history."""
    return dt.fit(
        model,
        dt.make_loader(hundred, 32, shuffle=True),
        dt.make_loader(learn.subset(aside), 64, shuffle=False),
        dt.TrainConfig(epochs=6, learning_rate=rate, device="cpu"),
        dt.Classification(),
    )


def score(network):
    """Balanced accuracy on the test embryos."""
    said = classification.predict_logits(network, test.crops).argmax(axis=1)
    return dt.balanced_accuracy(test.classes, said)


# %% tags=["nbval-ignore-output"]
for name, weights in (("random numbers", None), ("segmentation", "nuclei")):
    dt.seed_everything(0)
    frozen = dt.ResNet18Classifier(weights=weights).learn("head")
    _ = train(frozen, rate=1e-2)
    frozen_score = score(frozen)
    print(f"frozen encoder, {name:14} {frozen_score:.2f}")
    assert frozen_score < 0.75, "not far from a coin"

# %% [markdown]
# The shipped encoder is hardly more than a coin, random numbers do no worse, and both are far below
# your eyes. A likely reason: it was trained to say *nucleus*, whatever is inside. A nucleus with
# specks and one with clumps had to get the same answer, so nothing rewarded it for keeping them
# apart.
#
# Has it no notion of chromatin at all? An encoder has four stages, and the head reads the last one
# only, averaged over the whole crop. So we ask *each* stage, and in two places: of the *middle* of
# each crop, where the nucleus lies, and of the *whole* crop, as the head does. The features of a
# stage are averaged over it, and a single linear layer on them is fitted to the same hundred crops.
# (Not by steps this time: least squares, with a pull towards small weights, finds such a layer at
# once.) *Predict:* which stage tells the states apart best, the first or the last? And does it
# matter that the whole crop shows cytoplasm as well?

# %%
def stages(network, crops):
    """What each stage sees of the crops, on average: four arrays (K, channels)."""
    net, seen = network.eval().encoder, []
    for some in torch.from_numpy(crops).split(128):
        with torch.inference_mode():
            x = net.relu(net.maxpool(net.bn1(net.conv1(some))))
            means = []
            for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
                x = stage(x)
                means.append(x.mean(dim=(2, 3)).numpy())
        seen.append(means)
    return [np.concatenate(parts) for parts in zip(*seen, strict=True)]


def one_layer(features, classes, asked):
    """Fit a linear layer to features of known classes; its answers for those that are asked."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, asked = (features - mean) / spread, (asked - mean) / spread
    pull = len(known) * np.eye(len(known))
    weights = known.T @ np.linalg.solve(known @ known.T + pull, 2.0 * classes - 1)
    return (asked @ weights > 0).astype(int)


# %% tags=["nbval-ignore-output"]
# alt: Two panels of balanced accuracy against the stage, 1 to 4, with a dotted line at 0.5. From
#   the middle of the crop the segmentation encoder begins above 0.8 and falls from stage to stage
#   to below 0.7; random numbers begin lower, fall little, and end about level. From the whole crop
#   all is lower: segmentation falls from 0.7 to below 0.6, random numbers stay near 0.6.
known = np.concatenate(fifty)
places = {"middle of the crop": np.s_[:, :, 16:48, 16:48], "whole crop": np.s_[:]}
looks = {"segmentation": ("nuclei", "o-", "#0072B2"), "random numbers": (None, "s--", "#D55E00")}
_, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), sharey=True, layout="constrained")
for ax, (place, part) in zip(axes, places.items(), strict=True):
    taught, asked = learn.crops[known][part], test.crops[part]
    for name, (weights, fmt, colour) in looks.items():
        dt.seed_everything(0)
        network = dt.ResNet18Classifier(weights=weights)
        pairs = zip(stages(network, taught), stages(network, asked), strict=True)
        said = [one_layer(few, learn.classes[known], others) for few, others in pairs]
        by_stage = [dt.balanced_accuracy(test.classes, one) for one in said]
        ax.plot([1, 2, 3, 4], by_stage, fmt, color=colour, label=name)
        if weights == "nuclei":
            assert by_stage[0] > by_stage[3] + 0.05
    ax.axhline(0.5, color="black", linestyle=":", label="guessing")
    ax.set(title=place, xticks=[1, 2, 3, 4], xlabel="stage", ylim=(0.4, 1.02))
axes[0].set_ylabel("balanced accuracy")
_ = axes[0].legend()

# %% [markdown]
# *Figure 4. One linear layer on each stage of two frozen encoders, taught a hundred crops, of
# which it sees the middle (left) or all (right).*
#
# In the middle, random numbers lose little from stage to stage, the trained encoder much: it begins
# well ahead, and ends no better than they do. So it is not that coarse stages cannot hold specks.
# The mask is made of all four stages, which the pyramid hands on (lesson 3), so fine detail need
# not travel to the last one: that had to know roughly what is where, and nothing rewarded it for
# keeping the specks. Averaged over the whole crop, all stages tell less: cytoplasm has specks of
# its own, and waters down what the nucleus shows. The head had both against it, the stage and the
# place. So a frozen network is not simply useless for a new question. **A stage keeps what its own
# task rewarded. Which stage you read matters, and where.**
#
# Now let the encoder change as well: **all weights** learn, from the same start and with the same
# hundred crops. That takes longer, for every step goes back through the whole network. (A head
# alone bears longer steps than a whole network, so the learning rates differ.) *Predict* again.

# %% tags=["nbval-ignore-output"]
dt.seed_everything(0)
own = dt.ResNet18Classifier(weights="nuclei")
_ = train(own, rate=2e-3)
own_score = score(own)
print(f"all weights: {own_score:.2f}")
assert own_score > frozen_score + 0.05, "it should have learned to look inside"

# %% [markdown]
# ## Does the start matter?
#
# It has learned to look inside. Did the start help, or would any have done? It was measured
# beforehand (`python benchmarks/transfer.py --seeds 3 --steps 200`): from 10, 100 and 1,000
# labelled crops, half of each state. Three runs each, with *other* embryos and another seed, all
# for the same number of steps, scored on the same test embryos. To use for one question what was
# learned for another is called *transfer*. The ways to begin:
#
# - **frozen:** the segmentation encoder as it is, and a head on it;
# - **from segmentation:** the same encoder, and all weights learn;
# - **from random numbers:** all weights learn;
# - **from ImageNet:** from a million everyday photographs, all weights learn. These weights are a
#   download of 45 MB. Where this was measured there was no internet, so the line is *missing*, not
#   zero; with `--imagenet` the same command measures it and puts it into the figure.
#
# *Predict* the order of the lines, at 10 crops and at 1,000. The star is your own run.

# %% tags=["nbval-ignore-output"]
# alt: Balanced accuracy against the number of labelled crops, 10, 100 and 1,000. The lines from
#   segmentation and from random numbers rise together, from below 0.8 at 10 crops to about 0.9 at
#   1,000. The frozen encoder stays far below, nearer to guessing. A star,
#   your own run with 100 crops, a little to the right of 100.
stored = files("devotools") / "data" / "transfer.json"
results = json.loads(stored.read_text(encoding="utf-8"))
styles = {
    "from segmentation": ("o-", "#0072B2"),
    "from random numbers": ("s--", "#D55E00"),
    "frozen": ("^:", "#009E73"),
    "from ImageNet": ("D-.", "#CC79A7"),
}
_, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for shift, (start, (fmt, colour)) in enumerate(styles.items()):
    rows = [row for row in results["summary"] if row["start"] == start]
    counts = [row["labels"] * 1.05 ** (shift - 1) for row in rows]  # so that no bar hides another
    means, spread = [row["mean"] for row in rows], [row["sd"] for row in rows]
    if rows:
        _ = ax.errorbar(counts, means, spread, fmt=fmt, color=colour, capsize=4, label=start)
yours = {"marker": "*", "markersize": 16, "linestyle": "none", "label": "yours", "zorder": 5}
ax.plot(135, own_score, color="white", markeredgecolor="black", **yours)  # beside the others
ax.axhline(0.5, color="black", linewidth=1, label="guessing")
ax.set(xscale="log", xlabel="labelled crops", ylabel="balanced accuracy", ylim=(0.4, 1.3))
ax.set(yticks=np.linspace(0.4, 1, 7))
ax.set_xticks([10, 100, 1000], labels=["10", "100", "1,000"])
_ = ax.legend(fontsize="small", ncols=3, loc="upper left")

# %% [markdown]
# *Figure 5. What a number of labelled crops gives. Points are means over runs, bars their standard
# deviation. Your own run, with 100 crops too, stands aside only to be seen; it had fewer steps and
# was scored on other test embryos, so compare it roughly. Each run had 40 more labelled crops to
# choose the epoch by: even* 10 *means 50 labels.*
#
# Not what one hopes for, and worth knowing. Whether all weights start from segmentation or from
# random numbers makes no difference that three runs could show. In lesson
# 6 the same start went clearly further than random numbers: there the question was the same,
# *nucleus or not*, and only the pictures were new. Here the pictures are the same, and the question
# is new. The frozen encoder hardly gains from a hundred times as many labels: what its last stage,
# averaged over the whole crop, does not show, no head brings back.
#
# So the rule is not *always start from a trained network*, but *try it, and count the runs*. With
# few crops a single run says little: look how far apart the runs of one start lie. The shipped
# classifier starts from the segmentation encoder, too; it has seen far more crops than the figure
# reaches, and as the lines lie close together at 1,000, its start should hardly matter.
#
# ## A rare state
#
# In our drawings so far a quarter to a half of the nuclei was condensed. In an embryo between two
# waves of division it may be one in ten. We draw embryos, keep those with fewer than one condensed
# nucleus in five, and ask the classifier that comes with
# devotools (its model card, `devotools/weights/README.md`, says how it was made). *Predict:* what
# is the accuracy of a program that says *interphase* to everything?

# %% tags=["nbval-ignore-output"]
rare = replace(clear, clumps=0.02, blobs=0.02)  # most nuclei are finely speckled
drawn = [dt.synthesize_series(sections=5, seed=n, appearance=rare) for n in range(3000, 3040)]
quiet = [one for one in drawn if (one.nuclei["state"] == "condensed").mean() < 0.2]
few = dt.NucleusCropDataset(quiet)
del drawn, quiet  # the crops are kept, the pictures are not needed any more
model = dt.load_classifier("states")
true = few.classes == 1
called = classification.predict_logits(model, few.crops).argmax(axis=1) == 1
answers = {"classifier": called, "always interphase": np.zeros_like(called)}
print(f"{len(few)} crops of nuclei, {100 * true.mean():.0f} % of them condensed")
for name, answer in answers.items():
    print(f"{name:18} accuracy {(answer == true).mean():.2f}")

# %% [markdown]
# The lazy program finds nothing at all, and accuracy hardly holds it against it. **Accuracy** is a
# share of all nuclei, so the common state decides it nearly alone. A **confusion matrix** hides
# nothing: a row for each true state, a column for each answer. *Look along the lower row:* of the
# condensed nuclei, how many were found? Then *look down the right column:* of those that were
# *called* condensed, how many are? That is the precision of lesson 4. Where a state is rare it can
# be low although both rows look good.

# %%
# alt: Two confusion matrices of 2 by 2. The classifier has most of its counts on the diagonal in
#   both rows. The program that always says interphase has everything in the left column.
_, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
for ax, (name, answer) in zip(axes, answers.items(), strict=True):
    _ = classification.plot_confusion(few.classes, answer.astype(int), ax).set_title(name)

# %% [markdown]
# *Figure 6. Who was taken for what: counts, and shares of each row. Right answers lie on the
# diagonal.*
#
# ## Exercise 7.1: a score that is not flattered
#
# `true` and `called` are arrays of True (condensed) and False (interphase), one value a nucleus;
# both states occur. Return the *balanced accuracy*: the share of right answers within each state,
# averaged over the two.

# %%
def balanced(true, called):
    return None  # your code


# %%
exercises.hint("7.1")


# %% tags=["solution"]
def balanced(true, called):
    return (called[true].mean() + (~called[~true]).mean()) / 2


# %%
exercises.check("7.1", balanced)

# %% tags=["nbval-ignore-output"]
for name, answer in answers.items():
    print(f"{name:18} balanced accuracy {dt.balanced_accuracy(true, answer):.2f}")
print(f"{called.sum()} called condensed, {(called & true).sum()} of them rightly: "
      f"precision {(called & true).sum() / called.sum():.2f}")
assert dt.balanced_accuracy(true, called) > 0.7

# %% [markdown]
# Balanced accuracy goes by rows. It does not see the right column: although both rows look good,
# little more than half of those that were called condensed are, for the few mistakes among the many
# interphase crops are not far from as many as all the condensed ones: compare the two numbers of
# the right column.
#
# ## What did it look at?
#
# A network that is right may be right for the wrong reason: perhaps condensed nuclei merely lie in
# another kind of cytoplasm. One way to ask is **occlusion**: cover a square of the crop, and see by
# how much the probability of *condensed* falls. Move the square over the whole crop, and there is a
# map. Where the fall is large, the network had its evidence.
#
# ## Exercise 7.2: cover a square
#
# Return a copy of `crop` (H, W) in which the square whose upper left corner is at `row`, `col`, and
# whose sides have `side` pixels, is covered. With what? Take one brightness for the whole square,
# computed from the whole crop, such that the patch is neither dark like a clump nor bright like
# resin: its mean.

# %%
def cover(crop, row, col, side):
    return None  # your code


# %%
exercises.hint("7.2")


# %% tags=["solution"]
def cover(crop, row, col, side):
    covered = crop.copy()
    covered[row : row + side, col : col + side] = crop.mean()
    return covered


# %%
exercises.check("7.2", cover)

# %% [markdown]
# The function below makes the map, with a patch of any brightness. We take one nucleus of each
# state about which the classifier is sure, and right. *Predict both maps:* where is the evidence
# for *condensed*, and where is the evidence for *interphase*?

# %%
def condensed_probability(crops, network=model):
    """Probability of *condensed* for crops (K, 1, 64, 64)."""
    logits = classification.predict_logits(network, crops)
    return classification.to_probability(logits, network.temperature)[:, 1]


def occlusion(crop, side, tone=None):
    """How much the probability of *condensed* falls when a square is covered, by its place."""
    tone = crop.mean() if tone is None else tone
    places, covered = range(0, 65 - side, 4), []
    for row in places:
        for col in places:
            copy = crop.copy()
            copy[row : row + side, col : col + side] = tone
            covered.append(copy)
    before = condensed_probability(crop[None, None])
    after = condensed_probability(np.stack(covered)[:, None])
    return (before - after).reshape(len(places), len(places))


said = condensed_probability(test.crops)
sure_and_right = {
    "condensed": np.flatnonzero((test.classes == 1) & (said > 0.85)),
    "interphase": np.flatnonzero((test.classes == 0) & (said < 0.15)),
}

# %% tags=["nbval-ignore-output"]
# alt: Two rows, a condensed and an interphase nucleus, with three maps each; a thin white circle
#   shows where the nucleus lies. Condensed: a small patch of mean brightness lights up the clump, a
#   large one most of the nucleus, a black one nearly nothing. Interphase: patches of mean
#   brightness change little, a black one turns the middle blue.
ways = {"mean, 12 pixels": (12, None), "mean, 24 pixels": (24, None), "black, 12": (12, 0.0)}
chosen = {"condensed": 2, "interphase": 6}  # the third and the seventh of them
figure, axes = plt.subplots(2, 4, figsize=(9.4, 4.8), layout="constrained")
for row, (state, which) in zip(axes, chosen.items(), strict=True):
    crop = test.crops[sure_and_right[state][which], 0]
    _ = dt.show_image(crop, row[0], title=state)
    for ax, (name, (side, tone)) in zip(row[1:], ways.items(), strict=True):
        fall = occlusion(crop, side, tone)
        low, high = side / 2 - 2, 64 - side / 2 + 2  # squares have their middles 4 pixels apart
        reach = (low, high, high, low)
        shown = ax.imshow(fall, cmap="cividis", vmin=-1, vmax=1, extent=reach)
        ax.set(title=name, xlim=(0, 64), ylim=(64, 0), xticks=[], yticks=[])
        _ = ax.add_patch(plt.Circle((32, 32), 16, fill=False, color="white", linewidth=0.8))
_ = figure.colorbar(shown, ax=axes, label="fall of the probability of condensed", shrink=0.8)
fooled = -fall.min()  # of the last map: black on the interphase nucleus
print(f"a black patch raises its probability of condensed by up to {fooled:.2f}")
assert fooled > 0.2

# %% [markdown]
# *Figure 7. What covering changes. Yellow: with the square here, less is left of* condensed. *Blue:
# it becomes more probable. Grey: nothing changes. White circle: about where the nucleus lies. No
# square has its middle in the white frame.*
#
# In the second column of the upper row the evidence lies on the dark clump, and the cytoplasm does
# not matter. That is reassuring. Now the limits, which the same figure shows:
#
# - **The map has the size of its patch.** With a large one most of the nucleus seems to matter,
#   since the square covers the clump from far off. Neither map is *the* right one.
# - **A patch says something, too.** In the last column black squares were used, as people often do.
#   On the condensed nucleus they seem to show that the clump does not matter: they cover it with
#   something just as dark. On the interphase nucleus they *make* a clump, and the map turns blue
#   where the network is only being fooled.
# - **A flat map may hide a large push.** On the interphase nucleus squares of mean brightness seem
#   to change nothing. Perhaps its evidence is everywhere, and no patch takes all of it away; or the
#   network is so sure that a large push does not show in the probability. The *logits* tell, in the
#   cell below.
# - **Where is not why.** The map says that the clump counts. It does not say whether darkness,
#   shape or size made it count.
#
# It is also one nucleus of each kind, *chosen because all of this shows in it*. Change the numbers
# behind `chosen` and look again, before you tell anybody what *the* network looks at: of the first
# ten interphase nuclei some are fooled by a black square, others hardly at all.
#
# Now the logits of that interphase nucleus, *condensed* minus *interphase*, before and after its
# middle is covered, and, to compare, a corner. *Predict:* do they move as little as the map says?

# %% tags=["nbval-ignore-output"]
covered = crop.copy()  # the interphase nucleus of the figure
covered[20:44, 20:44] = crop.mean()
corner = crop.copy()
corner[:24, :24] = crop.mean()
logits = classification.predict_logits(model, np.stack([crop, covered, corner])[:, None])
difference = logits[:, 1] - logits[:, 0]
for name, one in zip(("as it is", "middle covered", "corner covered"), difference, strict=True):
    probability = 1 / (1 + np.exp(-one / model.temperature))
    print(f"{name:14} logits {one:6.1f}, probability of condensed {probability:.3f}")
assert difference[1] > difference[0] + 2

# %% [markdown]
# A long way, at the flat end of the sigmoid, where a long way is a small step of probability. A
# corner of the same size moves them hardly at all, so the network does look at the middle. Where a
# network is very sure, draw maps of logits.
#
# (`model.temperature`, by which logits are divided, is explained in the next section.)
#
# ## Can the probability be believed?
#
# In lesson 4 a pixel's probability was *calibrated* when of all pixels with 0.8 eight in ten were
# nucleus. The same holds for states, and here it matters more: who adds up states adds up their
# errors. We ask the network that *you* trained above, on embryos that it has not seen. *Predict:*
# it has gone through the same hundred crops again and again. Too sure of itself, or not sure
# enough?
#
# ## Exercise 7.3: how far off, on average?
#
# Nuclei were sorted into bins by the probability of what was said. For each bin there is `count`,
# how many nuclei it holds, `claimed`, the mean probability in it, and `right`, the share of right
# answers; three arrays. Return the *expected calibration error*: the distance between claimed and
# right, averaged over all nuclei.

# %%
def calibration_error(count, claimed, right):
    return None  # your code


# %%
exercises.hint("7.3")


# %% tags=["solution"]
def calibration_error(count, claimed, right):
    return (count * abs(claimed - right)).sum() / count.sum()


# %%
exercises.check("7.3", calibration_error)

# %% [markdown]
# There is a simple cure. Logits that are too large make probabilities that are too sure, so divide
# all of them by one number, the **temperature**. No answer changes, only how sure it is. The number
# is chosen on nuclei that were not trained on. The ten embryos kept aside would do, but they have
# chosen the epoch, so the network looks a little too good on them. We divide the test embryos: one
# half becomes validation data and chooses the temperature, the other half stays the test.

# %% tags=["nbval-ignore-output"]
# alt: Share of right answers against confidence, with a dashed diagonal. Orange squares, as
#   trained: nearly all nuclei lie at the right end, and below the diagonal. Blue circles, divided
#   by the temperature: they are spread more, and nearer to it.
half = np.isin(test.embryo, np.unique(test.embryo)[::2])
logits = classification.predict_logits(own, test.crops)
temperature = classification.fit_temperature(logits[half], test.classes[half])
_, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
cured = "divided by the temperature"
looks = {1.0: ("as trained", "s", "--", "#D55E00"), temperature: (cured, "o", "-", "#0072B2")}
for divisor, (name, marker, line, colour) in looks.items():
    probability = classification.to_probability(logits[~half], divisor)
    sure = probability.max(axis=1)
    right = probability.argmax(axis=1) == test.classes[~half]
    look = {"marker": marker, "linestyle": line, "color": colour, "name": name}
    _ = dt.plot_reliability(right, sure, ax, bins=10, **look)
    error = dt.expected_calibration_error(right, sure)
    print(f"temperature {divisor:.1f}: expected calibration error {error:.2f}")
_ = ax.set(ylim=(0, 1.03))

# %% [markdown]
# *Figure 8. Reliability of the network that you trained, on test embryos that the temperature was
# not chosen by. Confidence is the probability of the state that was said. The area of a dot grows
# with the number of nuclei in its bin; those with few jump about. Below the diagonal: too sure.*
#
# Networks that have gone through the same crops again and again are mostly too sure, and a
# temperature above 1 takes that back. One number mends the average, not each bin: in the stored run
# the many on the right nearly keep what they promise, and the few on the left are still too sure.
# And it is honest only for nuclei like those on which it was chosen, among which the states are as
# frequent, too: the next cell asks that of the rare ones.
#
# What does one do with a nucleus about which the network is in doubt? One says so. Below a *limit*
# of probability its state is `unsure`. *Predict:* as the limit rises, what becomes of the precision
# of *condensed* among those that are left, and what is the price?

# %% tags=["nbval-ignore-output"]
probability = condensed_probability(few.crops)
sure = np.maximum(probability, 1 - probability)  # of the likelier state
print(f"limit of the shipped classifier: {model.limit:.2f}; {true.sum()} crops are condensed")
claimed, right = probability[called].mean(), true[called].mean()
print(f"called condensed: {claimed:.2f} claimed, {right:.2f} right; in all {probability.sum():.0f}")
print("limit  unsure  called condensed  of them right  condensed that keep a state")
for limit in sorted({0.5, 0.7, 0.9, 0.99, round(model.limit, 2)}):
    told = sure >= limit
    dividing = told & called  # said to be condensed, and surely
    print(f"{limit:5.2f}  {1 - told.mean():6.0%}  {dividing.sum():16}  "
          f"{(dividing & true).sum() / max(1, dividing.sum()):13.0%}  {(told & true).sum():27}")

# %% [markdown]
# First the line above the table. The shipped classifier was calibrated on drawings in which half of
# the nuclei are condensed; here one in ten is. So it claims far more of those that it calls
# condensed than is right, and its probabilities add up to nearly twice as many condensed nuclei as
# there are. No temperature mends that.
#
# Now the table. The precision rises, and nuclei go. Look at the last column, too: up to 0.9 few
# condensed ones go, mostly interphase nuclei do, and many of the wrongly called ones among them. At
# 0.99 it turns round: most of the condensed ones have no state any more, for this classifier is
# seldom as sure of *condensed*. An index of those that are left would be far too low.
#
# So saying *unsure* is cheap as long as the doubtful are few, and a bias where they are not. The
# unsure ones are left out of a fraction, and their number stands beside it.
#
# ## A mitotic index along a series
#
# Now the whole way, from pictures to a figure: a drawn embryo of forty nuclei in 24 sections. In
# each section the shipped models find the nuclei and tell their states. `link_sections` gives a
# nucleus one number through all its sections, as you did by hand in lesson 5.

# %% tags=["nbval-ignore-output"]
whole = replace(rare, zoom=0, magnification=(110, 110))  # most of the embryo in the frame
series = dt.synthesize_series(nuclei=40, sections=24, size=384, seed=4002, appearance=whole)
finder = dt.load_model("nuclei")
found = [dt.label_nuclei(dt.predict_probability(finder, image)) for image in series.images]
linked = list(link_sections(found))
tables = [dt.classify_nuclei(model, *both) for both in zip(series.images, linked, strict=True)]
calls = pd.concat([table.assign(section=number) for number, table in enumerate(tables)])
calls.head(4).round(2)

# %% [markdown]
# `label` is the number of a nucleus through all sections, `state_probability` is that of the
# likelier state. (The first sections hold no nucleus.)
#
# Never believe a row that you have not seen. *Look at the letters:* C is condensed, I interphase, a
# question mark unsure, and a star would mark what is wrong. Where would you have hesitated?

# %%
# alt: Three sections of the embryo with solid orange outlines round the nuclei and a letter beside
#   each: C, I, or a question mark. A wrong C or I has a star.
letters = {"condensed": "C", "interphase": "I", "unsure": "?"}
state_of = series.nuclei.set_index("id")["state"].replace("speckled", "interphase")
rows, cols = np.nonzero((series.labels > 0).any(axis=0))  # where nuclei are in any section
view = np.s_[max(rows.min() - 15, 0) : rows.max() + 15, max(cols.min() - 15, 0) : cols.max() + 15]
box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1}
style = {"color": "white", "va": "center", "bbox": box}
_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, section in zip(axes, (8, 13, 20), strict=True):
    labels, truly = linked[section][view], series.labels[section][view]
    seen = {"title": f"section {section}", "pixel_size_um": series.pixel_size_um}
    _ = dt.show_overlay(series.images[section][view], labels, ax, **seen)
    said_of = tables[section].set_index("label")["state"]
    for nucleus in dt.measure_nuclei(labels).itertuples():
        said = said_of[nucleus.label]
        # The true nucleus that most of its pixels lie on, or 0 where they lie on none.
        below = np.bincount(truly[labels == nucleus.label]).argmax()
        wrong = said != "unsure" and state_of.get(below) not in (said, "mixed")
        beside = nucleus.centroid_col + np.sqrt(nucleus.area_px / np.pi) + 4
        _ = ax.text(beside, nucleus.centroid_row, letters[said] + "*" * wrong, **style)

# %% [markdown]
# *Figure 9. Three sections with the calls: C condensed, I interphase, ? unsure. A star says that
# the call is not the true state, or that there is no nucleus at all.*
#
# Look at what a star stands beside: it may be no nucleus, but a bright granule that was taken for
# one. A classifier that knows two states gives one of the two to whatever it is handed, so
# what is made up is counted as well. And what was not found has no letter.
#
# ### An interval for a fraction
#
# One condensed nucleus of four is a fraction of 0.25, and so are 250 of 1,000; nobody would trust
# them alike. A **confidence interval** says how far: if you counted so many nuclei again and again,
# 95 of 100 such intervals would hold the true fraction. **Wilson's interval** (1927) does well with
# few nuclei, where the one of the textbooks, fraction +- 2 standard errors, fails. *Predict:* ten
# nuclei, *none* condensed. From where to where may the true fraction lie?

# %%
for condensed, counted in ((0, 10), (1, 4), (25, 100), (250, 1000)):
    share = condensed / counted
    error = 1.96 * np.sqrt(share * (1 - share) / counted)
    low, high = classification.wilson_interval(condensed, counted)
    print(f"{condensed:3} of {counted:4}: textbook {share - error:5.2f} to {share + error:.2f}, "
          f"Wilson {low:.2f} to {high:.2f}")

# %% [markdown]
# The textbook's is sure that nothing divides after ten nuclei, and that a fraction can be below
# zero. Wilson's leaves open what ten nuclei leave open. `mitotic_index` gives it with the fraction,
# for each section:

# %%
# alt: Fraction condensed against the section. Orange dots with long bars, found, jump about; most
#   bars reach over a third of the scale. Blue squares, true, lie within all of them.
by_section = [dt.mitotic_index(table) for table in tables]
truth = []
for labels in series.labels:
    states = state_of[np.unique(labels[labels > 0])]
    truth.append((states == "condensed").mean() if len(states) else np.nan)
index = np.array([list(one) for one in by_section])  # a row a section: index, low, high
bars = np.abs(index[:, 1:] - index[:, :1]).T
_, ax = plt.subplots(figsize=(7.4, 3.4), layout="constrained")
look = {"fmt": "o", "color": "#D55E00", "capsize": 3, "label": "found, Wilson 95 %"}
ax.errorbar(range(24), index[:, 0], bars, **look)
ax.plot(truth, "s--", color="#0072B2", label="true", markerfacecolor="none")
ax.set(ylim=(-0.05, 1.2), yticks=np.linspace(0, 1, 6), xticks=range(0, 24, 3))
ax.set(xlabel="section", ylabel="fraction condensed")
_ = ax.legend(ncols=2)

# %% [markdown]
# *Figure 10. The course along the series, as found (orange dots, with Wilson's interval) and as it
# is (blue squares). Sections in which no nucleus has a state have no dot.*
#
# Is there a wave of division in the middle of the embryo? None was drawn: in our drawings the state
# of a nucleus does not depend on its place. Neighbouring sections cut the same few nuclei, so one
# condensed nucleus lifts several squares in a row; and of so few, one more or less makes the true
# line jump. A section has a handful of nuclei, and the bars are so long that nearly any course fits
# through them. The ups and downs of single sections are mostly chance, so do not tell stories about
# them. Should one add up all sections, then? Careful.
#
# ## Exercise 7.4: count each nucleus once
#
# A table has a row for each *cut*: `ids` is the number of its nucleus, and `states` what was said,
# "condensed", "interphase" or "unsure"; two arrays. The rows stand in the order of the sections, so
# the cuts of a nucleus need not follow each other. All cuts of a nucleus say the same here. Return
# two numbers: how many *nuclei* are condensed, and how many have a state at all, condensed or
# interphase. An unsure one belongs to neither number.

# %%
def count_condensed(ids, states):
    return None  # your code


# %%
exercises.hint("7.4")


# %% tags=["solution"]
def count_condensed(ids, states):
    told = states != "unsure"
    condensed = np.unique(ids[states == "condensed"])
    return len(condensed), len(np.unique(ids[told]))


# %%
exercises.check("7.4", count_condensed)

# %% [markdown]
# In our table the cuts of a nucleus need not agree. We let them vote: the mean of their
# probabilities is the nucleus's. (The command weighs each cut with its area; we leave that out to
# keep the cell short.) And as in lesson 5, what is seen in one section only is left out.
# *Predict:* is the interval by nuclei wider or narrower than that by cuts? Which do you believe?

# %% tags=["nbval-ignore-output"]
votes = calls.groupby("label")["condensed_probability"].agg(["mean", "size"])
votes = votes[votes["size"] >= 2].reset_index()
nuclei = classification.states_table(votes["label"], votes["mean"], model.limit)
shown = series.nuclei[series.nuclei["sections"] > 0]
for name, states in (("cuts", calls), ("nuclei", nuclei)):
    one = dt.mitotic_index(states)
    print(f"{name:7} {one.condensed:3} of {one.condensed + one.interphase:3} condensed: "
          f"{one.index:.2f} ({one.low:.2f} to {one.high:.2f}), {one.unsure} unsure")
print(f"truth   {(shown['state'] == 'condensed').mean():.2f} of {len(shown)} nuclei")

# %% [markdown]
# Counting cuts promises more than there is: each nucleus was asked several times, and that is no
# news about the embryo. So its interval is too narrow. And the fractions may differ as well, for
# large nuclei are cut more often than small ones, and have more votes. Which of the two lies nearer
# to the truth is chance in one embryo, and depends on wrong and unsure calls; what is decided here
# is the width of the interval.
#
# But look at the *unsure* ones. Who are they? Here we can ask the truth.

# %% tags=["nbval-ignore-output"]
stack = np.stack(linked)
votes["state"] = nuclei["state"]
votes["true"] = [
    state_of.get(np.bincount(series.labels[stack == label]).argmax(), "no nucleus")
    for label in votes["label"]
]
pd.crosstab(votes["true"], votes["state"])

# %% [markdown]
# Few are unsure, and yet they matter: of the condensed nuclei, which are few themselves, they take
# a large part away. So give the range as well, from none of the unsure ones condensed to all of
# them.
#
# What is this an interval *of*? Not of this embryo: nearly all its nuclei were counted, and the
# fraction that was found differs from the true one by unsure and wrong calls, not by the luck of a
# draw. It says how far a fraction of so few nuclei may lie from that of many embryos like this one,
# if all nuclei were independent. They are not (cells of a lineage divide in step, so forty nuclei
# of one embryo are not forty opinions). And it knows nothing of nuclei that were not found, nor of
# granules that were taken for nuclei (the rule of two sections takes most of them out), and nothing
# of **wrong calls**. How much do those matter? We take the shares of right answers from the
# confusion matrix, in which every nucleus has a state, and ask what such a classifier would say on
# average. *Predict* what it says where truly one in a hundred is condensed.

# %% tags=["nbval-ignore-output"]
sensitivity, specificity = called[true].mean(), (~called[~true]).mean()
print(f"found of the condensed {sensitivity:.2f}, left alone of the others {specificity:.2f}")
for share in (0.01, 0.05, 0.2, 0.5, 0.9):
    expected = share * sensitivity + (1 - share) * (1 - specificity)
    print(f"truly {share:.2f}: the classifier says {expected:.2f} on average")

# %% [markdown]
# A condensed nucleus that is missed pulls the index down, an interphase one that is called
# condensed pulls it up, and which of the two wins depends on the share itself. Where hardly any
# nucleus divides, the index is made of mistakes: a small part of the many interphase nuclei is more
# than all the condensed ones. So where few divide, an index says *few at most*, and not how few.
# (Saying *unsure* helps here: fewer interphase nuclei are called condensed.) Compare embryos that
# were measured alike, look at every nucleus that was called condensed where they are few, and say
# with the number how good the classifier was, and on what.
#
# ## What to take along
#
# - A stage keeps what its old task rewarded; an earlier one may hold what yours needs. Test whether
#   the start helps: it may not.
# - Toss coins for labels: whatever predicts them leaks. Split by embryo.
# - Of a rare state report balanced accuracy and the confusion matrix, read along its rows and down
#   its columns, never accuracy alone.
# - A map shows where the evidence was for *this* patch. It depends on what you cover with.
# - Calibrate on nuclei among which the state is as frequent as among yours: where it is rarer, sums
#   come out too high. Count the unsure ones beside the rest.
# - An index comes with its interval, in nuclei and not in cuts. From one embryo it knows nothing of
#   how embryos differ.
#
# ## Checkpoint
#
# **1.** A paper reports an accuracy of 0.97 for mitotic nuclei, which are 3 % of all. What do you
# ask?
#
# <details><summary>Answer</summary>For the confusion matrix: a program that never says mitotic has
# an accuracy of 0.97 as well.</details>
#
# **2.** Your classifier scores 0.95, and still 0.9 when it is taught coins. What has happened?
#
# <details><summary>Answer</summary>Test crops have twins among the training crops: neighbouring
# sections of the same nuclei. Split by embryo, and measure again.</details>
#
# **3.** The occlusion map of an interphase nucleus is flat. Did the network look at nothing?
#
# <details><summary>Answer</summary>Not necessarily. Its evidence may be spread, so that no single
# patch takes it away, or the network is so sure that a large change of the logits hardly shows in
# the probability. Draw the map of logits.</details>
#
# **4.** Embryo A has 8 condensed nuclei of 40. Embryo B was treated, and has 4 of 40. Does the
# treatment make cells divide less?
#
# <details><summary>Answer</summary>So few nuclei cannot show it: by chance alone a difference as
# large comes in about one of three such pairs (Fisher's exact test, p = 0.35; that intervals
# overlap is no test). And there is one embryo of each. Nuclei of one embryo divide in step, so the
# embryo is the unit: treat and count several.</details>
#
# **5.** You use a classifier that was taught as many condensed as interphase nuclei on embryos in
# which one in fifty is condensed. In which direction is the index wrong?
#
# <details><summary>Answer</summary>Too high: it expects every second nucleus to be condensed, and
# the few mistakes among the many interphase nuclei outnumber the condensed ones.</details>
#
# Next: your own pictures. `devotools segment --classify` finds and classifies the nuclei of a
# folder ([the command](../docs/the-command.md)): in a series saved as one multi-page TIFF it counts
# each nucleus once, in single pictures it counts cuts. [CONTRIBUTING](../CONTRIBUTING.md) is the
# way into the project. Or [lesson 6, label and fine-tune](06_label_and_fine_tune.ipynb), if your
# pictures are of another kind.
#
# **Further reading:** Arai and others, [Reduction in chromosome mobility accompanies nuclear
# organization during early embryogenesis in Caenorhabditis
# elegans](https://www.nature.com/articles/s41598-017-03483-5), 2017, on when nucleoli and dense
# chromatin first appear; Brodersen and others, [The balanced accuracy and its posterior
# distribution](https://doi.org/10.1109/ICPR.2010.764), 2010; Zeiler and Fergus, [Visualizing and
# understanding convolutional networks](https://arxiv.org/abs/1311.2901), 2013, where occlusion maps
# come from, and Adebayo and others, [Sanity checks for saliency
# maps](https://arxiv.org/abs/1810.03292), 2018, on how such maps mislead; Guo and others, [On
# calibration of modern neural networks](https://arxiv.org/abs/1706.04599), 2017; Wilson, [Probable
# inference, the law of succession, and statistical
# inference](https://doi.org/10.1080/01621459.1927.10502953), 1927, and Brown, Cai and DasGupta,
# [Interval estimation for a binomial proportion](https://doi.org/10.1214/ss/1009213286), 2001;
# Kapoor and Narayanan, [Leakage and the reproducibility crisis in ML-based
# science](https://arxiv.org/abs/2207.07048), 2022.

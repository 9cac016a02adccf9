# %% [markdown]
# # 6. Label and fine-tune
#
# Sooner or later a model meets pictures that it was not made for: another stain, another
# microscope, another animal. In this lesson you watch that happen, label a handful of sections,
# and go on training from the shipped model, which is called **fine-tuning**. Then you ask what a
# biologist with a deadline asks: how many labels are enough, and what does the model lose?
#
# **What you will learn**
#
# - to recognise a *shift*, and to try the cheap remedies before the dear one;
# - to label so that it is worth learning from, and why a mask is never a JPEG;
# - to fine-tune on a handful, with training, validation and test embryos kept apart;
# - to read from scores with their spread how many labels are enough;
# - to measure what was *forgotten*, and what ragged masks cost.
#
# **What you need:** lesson 3 (training) and lesson 4 (IoU). The trained model is there already.
# **Time:** 35 minutes to read, 3 minutes to run. **Memory:** 1.5 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import io
import json
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

import devotools as dt
from devotools import exercises, ui

# %% [markdown]
# ## A stain that the model has never seen
#
# In the micrographs of this course nuclei are *brighter* than the cytoplasm, which is full of
# ribosomes and granules and takes up more of the usual stains. There are stains that do the
# opposite: osmium ammine, for one, darkens DNA and little else. We **make up** such a preparation:
# drawn embryos, as before, in which the nuclei are darkened by more than half. It is no copy of a
# real stain, only a plain case of a *shift*: pictures unlike those that a model learned from.

# %%
def stain(image, labels, strength):
    """Darken the nuclei of a drawn section; strength 0 leaves it as it is, 1 makes them black."""
    taken_up = gaussian_filter((labels > 0).astype(np.float32), 1)  # 1 inside, soft at the edge
    return image * (1 - strength * taken_up)


# %% [markdown]
# We draw twenty embryos and write them twice, once as they are, once stained. Each embryo takes
# up a little more or less of the stain. Sections without a nucleus are left out.

# %%
base = Path(tempfile.mkdtemp())
dt.synthesize_dataset(base / "ordinary", embryos=20, sections=3, seed=26)
shutil.copytree(base / "ordinary", base / "stained")
for pair in dt.read_dataset(base / "stained"):
    strength = np.random.default_rng(int(pair.embryo[-2:])).uniform(0.65, 0.85)
    stained = stain(dt.read_image(pair.image), dt.read_labels(pair.labels), strength)
    dt.write_image(pair.image, stained)


def sections_of(kind):
    """Training, validation and test sections with nuclei; the same embryos for both kinds."""
    pairs = [pair for pair in dt.read_dataset(base / kind) if dt.read_mask(pair.mask).any()]
    return dt.split_by_embryo(pairs, val=0.15, test=0.35, seed=1)


ordinary, new = sections_of("ordinary"), sections_of("stained")
for side in ("train", "val", "test"):
    pairs = getattr(new, side)
    print(f"{side:5} {len(pairs):2} sections of {len({p.embryo for p in pairs}):2} embryos")

# %% [markdown]
# *Look at the two rows:* the same sections, before and after the stain. You would still find the
# nuclei, and quickly. *Predict:* will the model?

# %%
# alt: Two rows of three sections. Above, ordinary ones, with nuclei brighter than the cytoplasm.
#   Below, the same sections stained, with the same nuclei now darker than the cytoplasm.
some = [1, 10, 13]
_, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for row, split in zip(axes, (ordinary, new), strict=True):
    for ax, number in zip(row, some, strict=True):
        pair = split.test[number]
        _ = dt.show_image(dt.read_image(pair.image), ax, title=f"{pair.embryo}, {pair.section}")
axes[0, 0].set_title("ordinary: " + axes[0, 0].get_title())
_ = axes[1, 0].set_title("stained: " + axes[1, 0].get_title())

# %% [markdown]
# *Figure 1. Three test sections as they are (above) and with the made-up stain (below). Only the
# nuclei differ.*

# %% tags=["nbval-ignore-output"]
model = dt.load_model("nuclei")
before = {"ordinary": dt.evaluate(model, ordinary.test), "stained": dt.evaluate(model, new.test)}
for kind, scores in before.items():
    print(f"{kind:9} IoU {scores.iou:.2f}, F1 {scores.f1:.2f}")
assert before["stained"].iou < 0.5 * before["ordinary"].iou, "there is no shift to mend"

# %% [markdown]
# It falls from useful to useless. *Look at what it marks, if anything (solid orange: predicted,
# dashed blue: true):*

# %%
# alt: The three stained sections. Dashed blue outlines, the true nuclei, are nearly all without
#   the solid orange outline of a prediction; if anything is outlined in orange, it is bright.
def show_predictions(network, axes):
    """The chosen stained test sections: prediction and truth."""
    for ax, number in zip(axes, some, strict=True):
        pair = new.test[number]
        image = dt.read_image(pair.image)
        found = dt.label_nuclei(dt.predict_probability(network, image))
        true = dt.read_labels(pair.labels)
        iou = dt.iou_score(true > 0, found > 0)
        _ = dt.show_overlay(image, found, ax, true=true, title=f"IoU {iou:.2f}")


_, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
show_predictions(model, axes)

# %% [markdown]
# *Figure 2. The shipped model on stained sections. Where nothing is orange, nothing was found: it
# has learned that a nucleus is bright, and no dark disc counts as one.*
#
# ### First the cheap remedies
#
# Labelling takes hours. Ask first whether something cheap would do: another `--nucleus-size` if
# the magnification differs (lesson 5), or undoing what was done to the picture. Had the film been
# scanned as a *negative*, turning the picture round, `1 - image`, would be the whole repair.
# *Predict:* would turning it round help here, where dark nuclei would become bright?

# %% tags=["nbval-ignore-output"]
turned, answers = [], []
for pair in new.test:
    found = dt.label_nuclei(dt.predict_probability(model, 1 - dt.read_image(pair.image)))
    turned.append(dt.iou_score(dt.read_mask(pair.mask), found > 0))
    answers.append(found)
print(f"stained, turned round: IoU {np.mean(turned):.2f}")

# %% [markdown]
# A surprise worth having: a minus sign repairs much of it, and costs no label. But look behind the
# mean, at the section where it does best and the one where it does worst.

# %% tags=["nbval-ignore-output"]
# alt: Two stained sections turned round, black resin about a bright embryo. Left, solid orange
#   outlines lie on the dashed blue ones of the true nuclei. Right, they do not: nuclei are missed,
#   and other things are outlined.
has_nuclei = [k for k, pair in enumerate(new.test) if dt.read_mask(pair.mask).any()]
_, axes = plt.subplots(1, 2, figsize=(7, 3.8), layout="constrained")
for ax, pick, word in zip(axes, (max, min), ("best", "worst"), strict=True):
    place = pick(has_nuclei, key=lambda k: turned[k])
    picture, true = 1 - dt.read_image(new.test[place].image), dt.read_labels(new.test[place].labels)
    title = f"{word}: IoU {turned[place]:.2f}"
    _ = dt.show_overlay(picture, answers[place], ax, true=true, title=title)

# %% [markdown]
# *Figure 3. Stained sections turned round (solid orange: found; dashed blue: true). The network
# grew up with bright resin round a darker embryo, and now the resin is black: where it errs, it may
# take much of a bright embryo for one nucleus.* Keep the mean in mind: hours of labelling must do
# better than a minus sign.
#
# ## Label by hand
#
# Any editor will do that writes a number for each nucleus: [napari](https://napari.org) with its
# labels layer, or [Fiji](https://fiji.sc) with its ROI manager. `devotools import --images DIR
# --masks DIR --out DIR` pairs, checks and converts what they save. Put the pictures of each embryo
# into a sub-folder of its own, and its masks too: then it knows the embryos. What matters is *how*
# one labels:
#
# - **Write the rule down first.** What counts? Ours: everything inside the nuclear envelope. A
#   nucleus at the border counts, cut there. One that the knife only grazed, so that no outline
#   can be followed all round, does not.
# - **Always the same side of the line.** Outlines that are now inside, now outside, cost
#   IoU; outlines that are *always* too large are worse, for the network learns that.
# - **All nuclei of a section, or leave the section out.** A nucleus that you forgot is taught
#   as *no nucleus*.
# - **Many embryos, few sections of each.** Neighbours teach the same thing twice (lesson 1).
# - **Label one section twice**, a day apart, and compare. If you do not agree with yourself, do not
#   expect a model to agree with you much better.
# - **Save as PNG or TIFF, never as JPEG.** See for yourself:

# %%
def through_file(kind, **options):
    """The mask, as 0 and 255 in a file of this kind, and what comes back."""
    file = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file, format=kind, **options)
    return np.asarray(Image.open(file))


mask = dt.read_mask(new.train[4].mask)
lossless, grey = through_file("PNG"), through_file("JPEG", quality=75)
for name, kept in (("PNG, above 0", lossless > 0), ("JPEG, above 0", grey > 0)):
    print(f"{name:14} {kept.sum():5} pixels of nucleus, IoU {dt.iou_score(mask, kept):.2f}")
assert len(np.unique(grey)) > 20, "JPEG invents values"

# %% [markdown]
# No hand has slipped here: the mask was perfect, and the file format alone has spoilt it. *Look at
# the middle panel:* what are the faint squares?

# %%
# alt: Three close-ups of a mask. Left, a clean white nucleus on black. Middle, the faint values
#   that JPEG left around it, in squares, made bright. Right, all values above zero taken for
#   nucleus: it has grown a ragged rim.
row, column = (int(c) for c in np.argwhere(mask).mean(axis=0))
corner = (slice(max(row - 40, 0), row + 40), slice(max(column - 40, 0), column + 40))
_, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
_ = dt.show_image(mask[corner], axes[0], title="clean mask")
_ = dt.show_image(np.clip(grey[corner] / 32, 0, 1), axes[1], title="from JPEG, 8 times brighter")
_ = dt.show_image(grey[corner] > 0, axes[2], title="everything above 0")

# %% [markdown]
# *Figure 4. A mask through a JPEG file. JPEG packs squares of 8 x 8 pixels, and leaves faint waves
# in each square that an outline crosses. In 2020 every value above 0 became nucleus.*
#
# `devotools` never writes a mask as JPEG, and refuses to read one unless you ask for it (`devotools
# import --clean`). But if JPEG is all that you have:
#
# ## Exercise 6.1: rescue a mask
#
# `grey` is a mask of 0 and 255, (H, W) uint8, that has been through a JPEG file. Give back a mask
# of True and False: cut half-way between the two.

# %%
def rescue(grey):
    return None  # your code


# %%
exercises.hint("6.1")


# %% tags=["solution"]
def rescue(grey):
    return grey > 127


# %%
exercises.check("6.1", rescue)

# %% [markdown]
# ### Draw here
#
# The annotator below is made for this. Each stroke is on the disk when you lift the pen, as PNG and
# TIFF, in the layout that `devotools train` reads. `embryo=` names the embryo of these pictures, so
# label one embryo after the other. (Here they go into the lesson's temporary folder; for labels to
# keep, name one of your own.) Begin inside a nucleus to enlarge it; begin beside it for a new one.
# *Try:* label one section twice, into two folders, and compare: `dt.iou_score(dt.read_mask(a),
# dt.read_mask(b))` of the two masks. Later give `model=` your tuned model, and correct its
# proposals instead of drawing from nothing.

# %%
to_label = base / "to_label"
to_label.mkdir(exist_ok=True)
for pair in new.train[:3]:
    shutil.copy(pair.image, to_label)
dt.annotate(to_label, base / "mine", embryo="E1")

# %% [markdown]
# ![The annotator: buttons for the tools above a section with numbered outlines, one of them just
# painted with the brush](../docs/images/annotator.png)
#
# *The annotator on an ordinary drawn section. [How to use it, and its keys](../docs/the-app.md).*

# %% [markdown]
# ## A handful of labels
#
# We take the ready set: one section of each of eight training embryos, labelled with the care that
# the rules ask for (they are drawn, so the truth is known). On disk it is the layout that
# `devotools train` reads, and that annotator and `devotools import` write: `images/`, `masks/`,
# perhaps `labels/`, and a `manifest.csv` that names the embryo of each section, where you have
# said it (`embryo=`, sub-folders, or `--embryo`).

# %%
handful = list({pair.embryo: pair for pair in new.train}.values())[:8]  # one section an embryo
print((base / "stained" / "manifest.csv").read_text().splitlines()[:3])
print("labelled:", ", ".join(f"{p.embryo[-2:]}/{p.section}" for p in handful))
nuclei = sum(len(np.unique(dt.read_labels(pair.labels))) - 1 for pair in handful)
print(f"{len(handful)} sections with {nuclei} nuclei to outline")

# %% [markdown]
# ## Exercise 6.2: what may be used for testing?
#
# Sections are named by embryo and number, as `("A", 3)`. Given all `sections` and those that are
# `labelled` for training, return the list of those that may be used for testing, in the same order.

# %%
def usable_for_test(sections, labelled):
    return None  # your code


# %%
exercises.hint("6.2")


# %% tags=["solution"]
def usable_for_test(sections, labelled):
    known = {embryo for embryo, _ in labelled}
    return [(embryo, number) for embryo, number in sections if embryo not in known]


# %%
exercises.check("6.2", usable_for_test)

# %% [markdown]
# ## Fine-tune
#
# **Fine-tuning** is the training of lesson 3 with another start: not random numbers, but the
# shipped weights. They know outlines, granules and shells; only *bright* must become *dark*. So
# there are few steps. Mostly they are shorter, too, so that little is lost: `devotools train --init
# nuclei` takes a learning rate of 5e-4 where a random start takes 2e-3, and lets *batch
# normalisation* keep the means and spreads that it has, for those of a handful of crops are chance.
# But *bright* has to be turned round, and with short steps a minute does not get there; so we take
# 2e-3, and all of the network may change.
#
# Eight sections make an epoch of two batches, and validating after every two would take longer than
# training. So each section stands in the list eight times; it is cut and turned differently each
# time. The command takes each section once an epoch, and validates after each; so with a handful it
# needs more epochs, and more minutes. For your own labels it would be, from training to use (leave
# out `--learning-rate` where your nuclei are still brighter than the cytoplasm):
#
# ```bash
# devotools train --data my_labels --out mine.safetensors --init nuclei --batch-size 4 \
#     --epochs 48 --learning-rate 2e-3
# devotools evaluate --data labels_of_other_embryos --model mine.safetensors
# devotools segment my_micrographs --model mine.safetensors --out results
# ```
#
# (`my_labels` must hold two embryos at least: the command keeps a fifth of them, one or more, to
# validate, and learns from the others. Batch normalisation keeps its means and spreads there all
# the same. So the scores may differ from those below.)
#
# *Predict:* the IoU on the stained test embryos, after a minute of training on eight sections. Will
# it beat the minus sign?

# %% tags=["nbval-ignore-output"]
dt.seed_everything(0)
tuned = dt.load_model("nuclei")
learn_from = dt.NucleusDataset(handful * 8, dt.train_transform(256, seed=0))
choose_by = dt.NucleusDataset(new.val, dt.eval_transform(tuned.working_side))
history = dt.fit(
    tuned,
    dt.make_loader(learn_from, batch_size=4, shuffle=True, seed=0),
    dt.make_loader(choose_by, batch_size=2, shuffle=False),
    dt.TrainConfig(epochs=6, learning_rate=2e-3, device="cpu"),
)
print(f"validation IoU after each epoch: {[round(iou, 2) for iou in history.val_iou]}")

# %% tags=["nbval-ignore-output"]
after = {"ordinary": dt.evaluate(tuned, ordinary.test), "stained": dt.evaluate(tuned, new.test)}
print(f"stained   IoU {before['stained'].iou:.2f} -> {after['stained'].iou:.2f}")
print(f"turned round, without a label  {np.mean(turned):.2f}")
gain = after["stained"].iou - before["stained"].iou
assert gain > 0.25, "eight labels should have mended much of it"

# %% tags=["nbval-ignore-output"]
# alt: Two rows with the three stained test sections. Above, before fine-tuning, hardly any true
#   nucleus is found. Below, after it, solid orange outlines lie on many dashed blue ones; some
#   nuclei are missed, and some outlines lie where no nucleus is.
_, axes = plt.subplots(2, 3, figsize=(9, 6.8), layout="constrained")
show_predictions(model, axes[0])
show_predictions(tuned, axes[1])
axes[0, 0].set_title("before: " + axes[0, 0].get_title())
_ = axes[1, 0].set_title("after: " + axes[1, 0].get_title())

# %% [markdown]
# *Figure 5. The same test sections before (above) and after (below) fine-tuning on eight sections
# of other embryos. Solid orange: predicted; dashed blue: true.*
#
# A minute has turned *bright* into *dark*, and it is no more than a beginning: count the mistakes.
# Label bars, granules and shadows are dark as well, and some are taken for nuclei now; and many
# outlines cover only a part of their nucleus. Did it beat the minus sign? In the run that is stored
# here it did not. But another eight embryos, another seed, even another kind of processor, may say
# otherwise, so we shall ask several runs.
#
# Validation sections are labelled too, so the bill is not eight sections but eight and those. With
# fewer one can fix the number of epochs beforehand and do without; never validate on the test
# embryos.
#
# ## How many are enough?
#
# One run says little: another eight embryos, another seed, another score. The following was
# measured beforehand (`python benchmarks/fine_tuning.py`, the same stain): for each number of
# labels several runs, each with *other* training embryos and another seed, all for the same number
# of steps and scored on the same test embryos. Each run has four more labelled sections, by which
# its epoch is chosen: add four to each number of labels. (Those are 30 other embryos than ours, so
# the numbers are not those from above: the minus sign is worth less there.)

# %%
stored = files("devotools") / "data" / "fine_tuning.json"
results = json.loads(stored.read_text(encoding="utf-8"))
arms = {(arm["name"], arm["labels"]): arm["scores"] for arm in results["arms"]}
print(results["settings"]["seeds"], "runs a row,", results["settings"]["steps"], "steps a run")
print(f"{'start':22} labels  IoU on stained test embryos")
for (name, labels), scores in arms.items():
    if name in ("fine-tuned", "random start"):
        iou = scores["stained iou"]
        print(f"{name:22} {labels:6}  {iou['mean']:.2f} +- {iou['sd']:.2f}")
negative = results["shipped model, turned round"]
print(f"{'turned round':22} {0:6}  {negative['stained iou']:.2f}")

# %% [markdown]
# *Look at three things:* how far the first point lies above the dotted line (no label at all), how
# the bars (the spread over runs) compare with the steps between points, and how many labels the
# minus sign is worth.

# %%
# alt: IoU against the number of labelled sections, from 1 to 32. The line of the fine-tuned model
#   begins at 0.4, is about 0.5 at 2 and 4, about 0.6 at 8 and 16, and lower again at 32; its bars
#   stay long. Crosses for a random start lie below it. Horizontal lines mark the shipped model on
#   stained sections, at the bottom, on the same turned round, just below the line's beginning, and
#   on ordinary ones, at the top.
_, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, style in {"fine-tuned": "o-", "random start": "x--"}.items():
    points = [(labels, s["stained iou"]) for (arm, labels), s in arms.items() if arm == name]
    counts, ious = [labels for labels, _ in points], [iou for _, iou in points]
    colour = "#0072B2" if name == "fine-tuned" else "#D55E00"
    means, spread = [iou["mean"] for iou in ious], [iou["sd"] for iou in ious]
    ax.errorbar(counts, means, spread, fmt=style, color=colour, capsize=4, label=name)
shipped = results["shipped model"]
for level, line, what in (
    (shipped["ordinary iou"], "-.", "shipped model, ordinary"),
    (negative["stained iou"], "--", "shipped model, stained, turned round"),
    (shipped["stained iou"], ":", "shipped model, stained"),
):
    ax.axhline(level, color="black", linestyle=line, linewidth=1, label=what)
ax.set_xscale("log", base=2)
ax.set_xticks([1, 2, 4, 8, 16, 32], labels=["1", "2", "4", "8", "16", "32"])
ax.set(xlabel="sections to learn from, each of another embryo (and 4 to validate)")
ax.set(ylabel="IoU", ylim=(-0.05, 1.15))
_ = ax.legend(loc="upper left", ncols=2, fontsize="small")

# %% [markdown]
# *Figure 6. What a handful of labels gives. Points are means over runs, bars their standard
# deviation; black lines need no label. The lowest is where one starts, the highest what the shipped
# model scores on the same embryos without the stain.*
#
# The very first label gives most, from nothing to 0.4: on those embryos one section (and four to
# validate) already does a little more than the minus sign, and after eight the line rises no more;
# at 32 it is even lower. More labels do no harm by themselves: all runs have the same number of
# steps, so each of 32 sections is met a quarter as often as each of 8, and the runs scatter by as
# much as the line falls. Do see how long the bars are: which embryos were labelled, and which seed,
# matters as much as whether there were 8 labels or 32. A random start with the same steps gets no
# further than a single label brought the shipped model, with eight labels as with 32: perhaps it
# learns *dark and round*, but in so few steps not what an embryo is. This is why a **pre-trained**
# model is worth sharing. (No start was trained to its end here: a random one may catch up, in
# hours. And 32 labels do not reach the uppermost line: a hundred steps are few.)
#
# And if one does both, turns the pictures round *and* fine-tunes on the same eight?

# %%
for name in ("fine-tuned", "turned round"):
    iou = arms[name, 8]["stained iou"]
    print(f"8 labels, {name:12} IoU {iou['mean']:.2f} +- {iou['sd']:.2f}")

# %% [markdown]
# On the average that is better than eight, or than 32 labels without the minus sign, for free; the
# spread is wide, so take it as a hint, not as a law. We shall meet the two again, under what is
# forgotten.
#
# Does it matter where the eight sections come from? Here are eight of one embryo beside eight of
# eight:

# %%
for name in ("fine-tuned", "all of one embryo"):
    iou = arms[name, 8]["stained iou"]
    where = "eight embryos" if name == "fine-tuned" else "one embryo"
    print(f"8 sections of {where:14} IoU {iou['mean']:.2f} +- {iou['sd']:.2f}")

# %% [markdown]
# Lower on the average, by about as much as runs differ among themselves: a hint, in the direction
# that lesson 1 predicts.
#
# ## Exercise 6.3: how many labels are enough?
#
# The spread tells by how much *single* runs differ. A mean of several runs is known better: its
# **standard error** is the spread divided by the square root of the number of runs. A table has a
# row for each number of labels: `labels`, the mean score on training pictures `train`, on test
# embryos `test`, and the standard `error` of the test score. Return the *smallest* number of labels
# whose mean test score is at least the best mean minus the error of that best one. All four are
# lists of the same length, from few labels to many.

# %%
def enough(labels, train, test, error):
    return None  # your code


# %%
exercises.hint("6.3")


# %% tags=["solution"]
def enough(labels, train, test, error):
    best = np.argmax(test)
    bar = test[best] - error[best]
    return labels[np.argmax(np.array(test) >= bar)]  # argmax finds the first True


# %%
exercises.check("6.3", enough)

# %% [markdown]
# With your function, what does the rule say of the stored runs? *Predict it from Figure 6.*

# %%
counts = [labels for name, labels in arms if name == "fine-tuned"]
test = [arms["fine-tuned", labels]["stained iou"] for labels in counts]
means = [iou["mean"] for iou in test]
errors = [iou["sd"] / np.sqrt(len(iou["seeds"])) for iou in test]
said = enough(counts, means, means, errors)  # the training scores: not asked
print("labels that are enough:", "solve exercise 6.3 first" if said is None else said)

# %% [markdown]
# Eight, where the line bends for the eye as well. (The spread of single runs in place of the error
# of a mean lays the bar lower: not here, but often, fewer labels would then seem enough.) That
# does not prove that more labels are no better. It means that three runs cannot tell: with more of
# them the error of the means shrinks, and smaller differences come out.
#
# ## What was forgotten
#
# The tuned model knows the stain now. *Predict:* what does it do on the ordinary sections, on
# which it was good this morning?

# %% tags=["nbval-ignore-output"]
for kind in ("stained", "ordinary"):
    print(f"{kind:9} IoU {before[kind].iou:.2f} -> {after[kind].iou:.2f}")
lost = before["ordinary"].iou - after["ordinary"].iou
assert lost > 0.05, "it should have forgotten something"

# %% [markdown]
# Nobody asked it to remember, so much is gone: it looks for dark things now. (One run; those that
# are stored, in Figure 7, differ widely.) This is called *catastrophic forgetting*. If you will
# never meet ordinary pictures again, you need not care. If you will, there are remedies, measured
# beforehand as well: **mix** ordinary sections with the new ones (here as many as there are new);
# make the steps **smaller**; or bring the new pictures **nearer** to the old ones before you
# fine-tune, here by turning them round. *Look at the upper right corner*, where one would like to
# be.

# %%
# alt: IoU on stained against IoU on ordinary test sections, a marker with bars for each way to
#   fine-tune. The shipped model and the smaller rate lie right and low, plain fine-tuning high and
#   left. Mixing lies high and right, and turning round, in the middle, is the highest.
ways = {
    "fine-tuned": ("o", "#0072B2", "fine-tuned on 8"),
    "ordinary ones mixed in": ("s", "#009E73", "8 and 8 ordinary ones"),
    "a tenth of the rate": ("^", "#E69F00", "8, a tenth of the rate"),
    "turned round": ("v", "#CC79A7", "8, all turned round first"),
}
_, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
ax.plot(shipped["ordinary iou"], shipped["stained iou"], "kD", label="shipped model")
for name, (marker, colour, label) in ways.items():
    x, y = (arms[name, 8][f"{kind} iou"] for kind in ("ordinary", "stained"))
    style = {"color": colour, "capsize": 3, "label": label}
    ax.errorbar(x["mean"], y["mean"], y["sd"], x["sd"], fmt=marker, **style)
    print(f"{label:26} ordinary {x['mean']:.2f}, stained {y['mean']:.2f}")
ax.set(xlabel="IoU, ordinary", ylabel="IoU, stained", xlim=(0, 1), ylim=(-0.05, 1))
_ = ax.legend(loc="lower left", fontsize="small")

# %% [markdown]
# *Figure 7. What is gained (upwards) and what is forgotten (to the left). Bars: standard
# deviation over runs. "Turned round first" are all stained sections, those of training and of test;
# ordinary ones stay as they are.*
#
# Mixing keeps most of the old. It may pay with some of the new, for half of the crops are ordinary
# now; but the bars are longer than that difference, and three runs cannot tell. A rate that is a
# tenth forgets less than the full rate, though no less than mixing, and *learns* next to nothing in
# so few steps. Turning round first gains most of the new and keeps much of the old: what is near to
# what the model knows bends it less. That is the other half of the cheap remedy's worth. And the
# simplest way to forget nothing is to keep both files, and use each for its own pictures.
#
# ## Why six ragged masks were not enough
#
# In 2020 there were no labels. The student painted masks over micrographs with a small drawing
# tool, saved them as JPEG, and planned at least fifty pictures from each by augmentation. When a
# prototype of our model was fine-tuned on three of six such masks and tested on the other three,
# we saw no gain. (Those micrographs are not ours to give away, so you cannot repeat it.) The
# reasons can be measured on drawings, one by one.
#
# ### The ruler is bent
#
# `add_label_noise` spoils a mask as those were: brushed circles, a little aside, then JPEG and
# `> 0`. *Predict* before you move the slider: does twice the strength cost twice as much?

# %%
several = [dt.read_labels(pair.labels) > 0 for pair in new.test]
mask = several[some[1]]
ui.explore_label_noise(mask)

# %%
# alt: Three panels with the clean mask's outlines dashed in blue over the spoilt mask in white, at
#   strengths 0.1, 0.5 and 1. The spoilt nuclei have ragged rims that reach over the outlines nearly
#   everywhere; at strength 1 some are shifted aside.
_, axes = plt.subplots(1, 3, figsize=(9, 3.5), layout="constrained")
for ax, strength in zip(axes, (0.1, 0.5, 1.0), strict=True):
    noisy = dt.add_label_noise(mask, seed=0, strength=strength)
    title = f"strength {strength}: IoU {dt.iou_score(mask, noisy):.2f}"
    _ = dt.show_overlay(noisy, ax=ax, true=mask, title=title)

# %% [markdown]
# *Figure 8. The same mask, spoilt more and more. White: spoilt; dashed blue: clean.*
#
# No: most of the cost comes with the faintest strength. Every nucleus has become a disc of a round
# brush, and of its soft edge all that is above 0 counts. Then the squares of JPEG come, and at last
# the shapes go, and the IoU tells little of it.
#
# Now suppose a model that makes *no mistake at all*. What would it score against ragged masks?

# %%
ragged = [dt.add_label_noise(clean, seed=k) for k, clean in enumerate(several)]
best = np.mean([dt.iou_score(r, clean) for r, clean in zip(ragged, several, strict=True)])
print(f"the truth itself, scored against ragged masks: IoU {best:.2f}")

# %% [markdown]
# That is the **ceiling** of whoever is right: a model without a mistake scores no more. Worse, a
# bent ruler may prefer a bent model, one that makes the same mistakes. The stored runs tell.
# *Predict:* two models have learned from the same eight stained sections, one with clean masks, one
# with ragged ones. Which is better, and which one would you *choose* if ragged masks were all you
# had to test with?

# %%
print("eight stained sections  tested on clean masks  on ragged masks")
for name, learned in (("fine-tuned", "clean masks"), ("ragged masks", "ragged masks")):
    scores = arms[name, 8]
    clean, bent = scores["stained iou"], scores["stained iou against ragged masks"]
    told = [f"{iou['mean']:.2f} +- {iou['sd']:.2f}" for iou in (clean, bent)]
    print(f"learned from {learned:12} {told[0]:>19} {told[1]:>16}")

# %% [markdown]
# The one that learned from ragged masks is somewhat worse, and *looks* better: it has learned the
# rims as well. (On ragged masks the spread over runs is twice the difference. But runs of one seed
# share their embryos, and in each of the three pairs it was worse on clean masks and better on
# ragged ones.) Where training and test masks share a mistake, the score cannot see it.
#
# ## Exercise 6.4: the ceiling
#
# `clean` is a true mask, and `ragged` a list of masks that several people made of it. What IoU has
# a model without a mistake, on average, when it is scored against `ragged`?

# %%
def ceiling(clean, ragged):
    return None  # your code


# %%
exercises.hint("6.4")


# %% tags=["solution"]
def ceiling(clean, ragged):
    return np.mean([dt.iou_score(mask, clean) for mask in ragged])


# %%
exercises.check("6.4", ceiling)

# %% [markdown]
# ### Three pictures are a small jury
#
# The score on three test pictures depends on *which* three. We draw three of our ordinary test
# sections, again and again, and look at the mean IoU of the *same*, untouched model.

# %% tags=["nbval-ignore-output"]
ious = np.array([row["iou"] for row in before["ordinary"].per_image])
rng = np.random.default_rng(0)
means = [rng.choice(ious, 3, replace=False).mean() for _ in range(1000)]
low, high = np.percentile(means, (5, 95))
print(f"all {len(ious)} sections: {ious.mean():.2f}; three of them: {low:.2f} to {high:.2f}")

# %% [markdown]
# Nine times out of ten the jury of three says something in this range, about one and the same
# model. If two models are tested on *different* pictures, a gain that is smaller than the range
# cannot be seen with three. Test both on the *same* pictures, and look at the differences picture
# by picture: the hard pictures are then hard for both, and for two models that are alike the
# differences vary less than the scores.
#
# ### No shift, no gain
#
# And the model was good on such pictures already. Here are stored runs on six *ordinary* sections,
# with clean and with ragged masks, beside the shipped model. *Look at both columns.*

# %%
print("ordinary test embryos    tested on clean masks  on ragged masks")
print(f"{'shipped model':25} {shipped['ordinary iou']:20.2f}", end="")
print(f" {shipped['ordinary iou against ragged masks']:16.2f}")
for name in ("no shift, clean masks", "no shift, ragged masks"):
    scores = arms[name, 6]
    clean, bent = scores["ordinary iou"], scores["ordinary iou against ragged masks"]
    told = [f"{iou['mean']:.2f} +- {iou['sd']:.2f}" for iou in (clean, bent)]
    print(f"6, {name:22} {told[0]:>20} {told[1]:>16}")

# %% [markdown]
# Six clean masks teach nothing that tens of thousands of drawn embryos have not taught already,
# though these runs learned gently, as the command does (a rate of 5e-4, batch normalisation as it
# was): the mean is a little lower, but by no more than such runs differ among themselves, which is
# not to be told from no change. Six ragged ones make it worse, for their error is not random: the
# masks are too large on the whole, and that is learned. Scored against ragged masks the damage is a
# *success*. And fifty augmented copies of one picture are fifty views of *one embryo*: the leftmost
# point of Figure 6.
#
# ## What to take along
#
# - Measure the shift first, look at what goes wrong, and try the cheap remedies.
# - Label by a written rule, whole sections, many embryos, lossless files.
# - From a pre-trained model a handful of labels and a hundred steps go far, from random numbers
#   they do not.
# - How many are enough: the fewest whose mean is within the standard error of the best.
# - Test on the old pictures too. What is not rehearsed is forgotten.
# - Ragged masks bend the ruler: they bound what can be learned *and* what can be measured.
#
# ## Checkpoint
#
# **1.** Your lab changes its microscope, and the model finds half as many nuclei. What do you do
# before you label anything?
#
# <details><summary>Answer</summary>Look at overlays of some sections. Check magnification
# (<code>--nucleus-size</code>), contrast, negatives. Then label a few sections for a test, and
# score the model on them; only then label to train.</details>
#
# **2.** You have time for twelve sections. All of one embryo, or one of each of twelve?
#
# <details><summary>Answer</summary>One of each of twelve, if you have them: an embryo's sections
# share stain, light and nuclei. And you can set whole embryos aside for the test.</details>
#
# **3.** A colleague reports an IoU of 0.85 after fine-tuning, on sections next to those that he
# labelled. What do you ask for?
#
# <details><summary>Answer</summary>The score on embryos of which nothing was learned; the spread
# over runs; and the score before.</details>
#
# **4.** Two people's masks of the same sections agree with an IoU of 0.7. A model scores 0.72
# against the first one's. Should you train longer?
#
# <details><summary>Answer</summary>No: it agrees with one of them as well as the other does.
# Agree on a rule first, and label again.</details>
#
# **5.** After fine-tuning, the ordinary sections are worse. Name two remedies, and one case in
# which you need none.
#
# <details><summary>Answer</summary>Mix ordinary sections in; bring the new pictures nearer to
# the old, as by turning them round; or keep both models. If you never meet ordinary pictures again,
# none is needed. (Smaller steps forget less too, but hardly learn.)</details>
#
# Next: [lesson 7, classify nuclei](07_classify_nuclei.ipynb). With pictures of your own, go back to
# [lesson 5](05_segment_your_images.ipynb), which shows the way through the package and the command.
#
# **Further reading:** Pachitariu and Stringer, [Cellpose 2.0: how to train your own
# model](https://www.nature.com/articles/s41592-022-01663-4), 2022, on how few labels a pre-trained
# model needs; Yosinski and others, [How transferable are features in deep neural
# networks?](https://arxiv.org/abs/1411.1792), 2014; Vorontsov and Kadoury, [Label noise in
# segmentation networks: mitigation must deal with bias](https://arxiv.org/abs/2107.02189), 2021;
# [The Feulgen reaction at the electron microscopy
# level](https://www.ejh.it/ejh/article/view/3989), 2024, on stains that blacken DNA; the [labels
# layer](https://napari.org/stable/howtos/layers/labels.html) of napari; and Mayukh Deb's post on
# [drawing the masks of 2020](https://mayukhdeb.github.io/blog/post/gsoc-2020-june-14).

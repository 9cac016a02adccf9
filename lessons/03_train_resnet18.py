# %% [markdown]
# # 3. Train a ResNet18
#
# Now a network learns. Its *weights* are the millions of numbers in its formula; its *loss* is one
# number that says how bad an answer is; to train is to change the weights so that the loss falls.
# You take a network apart to see what it is made of, compute its loss by hand on a picture of 16
# pixels, check that it *can* learn at all, and then train it for real, here, on the processor of
# this machine: once from random numbers, once from weights that know nuclei.
#
# **What you will learn**
#
# - what ResNet18 and a feature pyramid do, with the shape of every tensor;
# - what cross-entropy and Dice punish, computed by hand;
# - why one trains on a single batch first;
# - to train with a validation set, and to read the curves;
# - what a pre-trained start is worth, and when.
#
# **What you need:** lessons 1 and 2, and that a *convolution* slides a small filter over a
# picture. **Time:** 40 minutes to read, 3 minutes to run. **Memory:** 1.4 GB.
# **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import devotools as dt
from devotools import exercises
from devotools.train import validate

dt.seed_everything(0)

# %% [markdown]
# ## The network
#
# **ResNet18** begins with one layer of filters and a *pooling* (of neighbouring places only the
# strongest answer is kept). They make the picture a quarter as high and as wide, and describe each
# place by 64 numbers, its *features*. (Such arrays of any number of dimensions are *tensors* in
# PyTorch.) Then come four **stages**, all together the *encoder*: the first keeps that size, each
# further one halves height and width and doubles the features. The way leads from *where* to
# *what*. (Of the 18 layers that give the name the last, which names a whole picture, is left out
# here.)
#
# *Look at the shapes:* what becomes of 128 x 128 pixels?

# %%
model = dt.ResNet18FPN()  # random weights
picture = torch.zeros(1, 1, 128, 128)  # (N, channels, H, W)
with torch.no_grad():  # only look: nothing is learned here
    stages = model.encode(picture)
    levels = model.pyramid(stages)
    logits = model(picture)
print("picture      ", tuple(picture.shape))
for name in stages:
    print(f"stage {name}      ", tuple(stages[name].shape), "-> pyramid", tuple(levels[name].shape))
print("logits       ", tuple(logits.shape))

# %% [markdown]
# Stage 4 knows most about *what* it sees, but has only 4 x 4 places to say it. The **feature
# pyramid** carries that knowledge back down: each level is enlarged and added to the finer one
# below (so all get the same number of features, 64). The four are added up at the size of the
# finest, 32 x 32; two last layers make one number of each 64, and this is enlarged four times. So
# at the end stands one number for each pixel, a **logit**: above 0 means *rather nucleus*. The
# **sigmoid**, `1 / (1 + exp(-logit))`, makes a probability of it, and `torch.logit` goes back.

# %%
millions = sum(weights.numel() for weights in model.parameters()) / 1e6
print(f"{millions:.1f} million numbers to learn")

# %% [markdown]
# ## Exercise 3.1: how coarse is stage 4?
#
# Without the pyramid the answer would come from stage 4 alone. How many pixels of the 128 x 128
# picture share one place of stage 4? (A nucleus is about 20 pixels wide.)

# %%
pixels_per_place = None  # one number: height times width

# %% tags=["solution"]
side = 128 // stages["4"].shape[-1]  # 32
pixels_per_place = side * side

# %%
exercises.check("3.1", pixels_per_place)

# %%
exercises.hint("3.1")

# %% [markdown]
# ## A residual block
#
# A stage is made of **residual blocks**, the trick that made deep networks trainable: a block adds
# what it computes to its own input, so that it need only learn a *correction*. Let us check that
# on the first block of stage 1, by hand:

# %%
block = model.encoder.layer1[0].eval()
features = torch.rand(1, 64, 8, 8)
with torch.no_grad():
    correction = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(features)))))
    by_hand = torch.relu(features + correction)
    print("input + correction is the block's answer:", torch.allclose(by_hand, block(features)))
_ = block.train()  # back from eval(), in which batch norm (bn1, bn2) does not look at the batch

# %% [markdown]
# ## The loss, by hand
#
# Four by four pixels, one nucleus of four, and a network that finds three of them and one that
# is not there. With probability `p` for the right answer, **cross-entropy** costs `-log(p)`.

# %%
true = torch.zeros(1, 1, 4, 4)
true[..., 1:3, 1:3] = 1  # the nucleus
probability = torch.full((1, 1, 4, 4), 0.1)
probability[..., 1:3, 1:3] = 0.9
probability[..., 2, 2] = 0.1  # a pixel missed
probability[..., 0, 0] = 0.9  # a pixel made up
logits = torch.logit(probability)
print("mask", true[0, 0].int().numpy(), "probability", probability[0, 0].numpy(), sep="\n")

by_hand = -(14 * np.log(0.9) + 2 * np.log(0.1)) / 16  # 14 pixels right, 2 wrong
by_torch = torch.nn.functional.binary_cross_entropy_with_logits(logits, true)
print(f"cross-entropy: {by_hand:.4f} by hand, {by_torch:.4f} by PyTorch")

# %% [markdown]
# ## Exercise 3.2: cross-entropy in one line
#
# Write it for any picture: `probability` and `mask` are NumPy arrays of the same shape, the mask
# holds 0 and 1. Return the mean cost of a pixel. (`np.where(condition, a, b)` takes `a` where the
# condition is true, and `b` elsewhere.)


# %%
def cross_entropy(probability, mask):
    return None  # your code


# %% tags=["solution"]
def cross_entropy(probability, mask):
    right = np.where(mask == 1, probability, 1 - probability)  # given to what is true
    return -np.log(right).mean()


# %%
exercises.check("3.2", cross_entropy)

# %%
exercises.hint("3.2")

# %% [markdown]
# ## Overlap counts
#
# **Soft Dice** looks at the overlap instead: twice the probability that lies on the nucleus, over
# all probability plus all nucleus. The loss is one minus that. (The added 1 above and below the
# line keeps an empty picture from dividing by zero.)

# %%
overlap = 3 * 0.9 + 0.1  # on the nucleus: three pixels found, one missed
total = (4 * 0.9 + 12 * 0.1) + 4  # all probability (3 found + 1 made up, 12 low) and 4 true pixels
by_hand = 1 - (2 * overlap + 1) / (total + 1)
print(f"Dice loss:     {by_hand:.4f} by hand, {dt.soft_dice_loss(logits, true):.4f} by devotools")

# %% [markdown]
# ## Exercise 3.3: the soft Dice loss
#
# Now for any `probability` and `mask`. Do not forget the 1 above and below the line.


# %%
def dice_loss(probability, mask):
    return None  # your code


# %% tags=["solution"]
def dice_loss(probability, mask):
    overlap = (probability * mask).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + mask.sum() + 1)


# %%
exercises.check("3.3", dice_loss)

# %%
exercises.hint("3.3")

# %% [markdown]
# ## Which loss?
#
# Nuclei are rare: here 3 % of the pixels. One network answers 0.1 everywhere, so it finds nothing.
# Another finds three quarters of the nucleus, and makes up as many pixels as it misses. A third
# finds all of it, and no more. *Predict:* of the way from the first to the third, how much has the
# second gone: by cross-entropy, by Dice?

# %%
rare = torch.zeros(1, 1, 100, 100)
rare[..., :15, :20] = 1
nothing = torch.full((1, 1, 100, 100), 0.1)
most = nothing.clone()
most[..., :15, 5:25] = 0.9  # 225 pixels right, 75 missed, 75 made up
whole = torch.where(rare > 0, 0.9, 0.1)
for name, answer in (("nothing", nothing), ("three quarters", most), ("all of it", whole)):
    logits = torch.logit(answer)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, rare)
    dice = dt.soft_dice_loss(logits, rare)
    print(f"{name:14} cross-entropy {entropy:.2f}, Dice loss {dice:.2f}")

# %% [markdown]
# By Dice the second network has gone three quarters of the way, by cross-entropy half: there each
# pixel made up undoes one that was found. And in plain numbers cross-entropy is small for all
# three, since most pixels are background and nearly right there, while by Dice finding nothing is
# almost as bad as can be. (Even the best has a high Dice loss: the low probability that it gives to
# each of 9,700 background pixels adds up.) We use their sum: one gives a steady slope from the
# first step, the other cares about the nuclei.
#
# That was an argument, not a measurement. In a short training of 600 steps, from random weights and
# with two seeds each, cross-entropy *alone* reached a higher IoU (a score of overlap, see *Train*
# below) than the sum and found the nuclei about as well (`benchmarks/ablations.py`; the table is
# `benchmarks/results/ablations.md`). So believe no argument about losses, ours included: let the
# validation of your own task decide.

# %% [markdown]
# ## One batch first
#
# Before hours of training, ask for the least: can the network learn *eight pictures by heart*?
# If not, something is broken, and more data will not help. Learning goes by **gradients**: for each
# of the millions of weights, in which direction, and how steeply, does the loss fall?
#
# The pictures are drawn with most of the clutter switched off (no label bar, dirt, folds of the
# section, hairs, frame or second embryo; eggshells, scratches of the knife, patches of another
# tone, crumbs and now and then a black rod stay), so that two minutes are enough. The shipped model
# learned with all of it.

# %%
clear = dt.Appearance().without("label_bar", "dirt", "folds", "hairs", "second_embryo", "frame")
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=24, sections=6, size=160, seed=3, appearance=clear)
split = dt.split_by_embryo(dt.read_dataset(folder), val=0.2, test=0.2, seed=0)
print({side: len(getattr(split, side)) for side in ("train", "val", "test")}, "sections")

# %%
size = 128
train_set = dt.NucleusDataset(split.train, dt.train_transform(size, seed=0))
images, masks = next(iter(dt.make_loader(train_set, batch_size=8, shuffle=True)))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)  # lr, the learning rate: step length
losses = []
for _step in range(40):
    loss = dt.segmentation_loss(model(images), masks)  # one number for the batch
    optimizer.zero_grad()  # forget the gradients of the step before
    loss.backward()  # for each weight: its gradient
    optimizer.step()  # move each weight a little, downhill
    losses.append(loss.item())
assert losses[-1] < 0.7 * losses[0], "the network cannot learn even one batch: look for a bug"

# %%
# alt: The loss of a single batch, a line that falls steadily over 40 steps.
_, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
ax.plot(losses, color="#0072B2")
_ = ax.set(xlabel="step", ylabel="loss", title="One batch, again and again", ylim=(0, None))

# %% [markdown]
# *Figure 1. The loss on one batch that is shown again and again. It falls, and falls still: not yet
# by heart, which takes some hundred steps, but gradients reach the weights, and the steps go
# downhill. It does not show that image and mask belong together: wrong masks are learned by heart
# as well, so look at them (lesson 2). And it says nothing about other pictures.*

# %% [markdown]
# ## Train
#
# Now with all training sections, and with a **validation set** of other embryos. After each pass
# over the data (an *epoch*) the network is judged on it, and `fit` keeps the weights that did
# best. The score is **IoU**: the pixels that prediction and truth share, over all pixels in
# either; 1 is perfect (lesson 4). Whole embryos are on one side, as in lesson 1. For training the
# longest side of a picture first becomes 128 to about 280 pixels, then a piece of 128 x 128 is cut
# out of it. Validation shows whole pictures with a longest side of 192, near the middle of that.

# %%
def loaders():
    """Training and validation batches, the same each time this is called."""
    learn = dt.NucleusDataset(split.train, dt.train_transform(size, seed=0))
    choose = dt.NucleusDataset(split.val, dt.eval_transform(192))
    return (
        dt.make_loader(learn, batch_size=8, shuffle=True, seed=0),
        dt.make_loader(choose, batch_size=4, shuffle=False),
    )


# %% tags=["nbval-ignore-output"]
optimizer = loss = None  # they held on to hundreds of megabytes of the first try
dt.seed_everything(0)
model = dt.ResNet18FPN()
history = dt.fit(model, *loaders(), dt.TrainConfig(epochs=15, device="cpu"))
print(f"validation IoU {history.best_iou:.2f} in epoch {history.best_epoch}")

# %% tags=["nbval-ignore-output"]
# alt: Two panels. Left, training and validation loss falling over the epochs. Right, the
#   validation IoU rising, with a star at the epoch whose weights were kept.
assert history.best_iou > 0.25, "it should have learned something by now"
_ = dt.plot_history(history)

# %% [markdown]
# *Figure 2. Loss and validation score. Read them together:*
#
# - both losses fall: it learns;
# - the training loss falls, the validation *loss* rises: it learns by heart (**overfitting**): more
#   augmentation, more embryos, or stop earlier;
# - both stay high: it cannot, or may not yet: train longer, or with another learning rate.
#
# Which of the three do you see above? It should be the first, though the curves level off: `fit`
# lets the learning rate rise, then fall to almost nothing, so the last epochs only polish. A longer
# plan (`epochs=60`) may go further.
#
# That validation lies *below* training is no sign of quality. Chance has put easier embryos there,
# with larger nuclei; *A head start* has a number for it. Besides, pictures for training are cut,
# bent and blurred, those for validation whole and unchanged, and the training loss is the mean over
# an epoch, validation comes at its end, when the weights are better. So compare validation with
# validation.

# %% [markdown]
# ## Exercise 3.4: which weights to keep?
#
# Another network, on other data, gave these figures in eight epochs. Whose weights would you keep?
# The first epoch is number 1.

# %%
train_loss = [0.90, 0.78, 0.71, 0.66, 0.61, 0.56, 0.52, 0.48]
val_iou = [0.21, 0.38, 0.49, 0.55, 0.58, 0.57, 0.54, 0.51]
keep = None  # a whole number, computed from the two lists

# %% tags=["solution"]
keep = int(np.argmax(val_iou)) + 1

# %%
exercises.check("3.4", keep, train_loss, val_iou)

# %%
exercises.hint("3.4")

# %% [markdown]
# ## A head start
#
# The model that comes with devotools is this same network. It learned with the same loss and the
# same augmentation for about two hours, from tens of thousands of other drawn embryos, with all the
# clutter; then for half an hour from whole sections, not from crops, and with 50 in place of the 1
# that Dice adds, so that nuclei made up in an empty section cost more. What if we begin with *its*
# weights instead of random numbers? It need not learn what a nucleus is, only what is special here,
# so a small learning rate will do, a tenth of the usual one.
#
# *Predict:* where will its curve begin, before it has seen a single one of our embryos? How much
# will three epochs add? Will the other one reach it?

# %% tags=["nbval-ignore-output"]
starts = {"random": history}
pretrained = dt.load_model("nuclei")
_, before, _ = validate(pretrained, loaders()[1], torch.device("cpu"))
whole = dt.NucleusDataset(split.train, dt.eval_transform(192))
unchanged = dt.make_loader(whole, batch_size=4, shuffle=False)
_, of_training, _ = validate(pretrained, unchanged, torch.device("cpu"))
print(f"shipped weights  before training {before:.2f}, on training sections {of_training:.2f}")
gentle = dt.TrainConfig(epochs=3, learning_rate=2e-4, device="cpu")
starts["shipped weights"] = dt.fit(pretrained, *loaders(), gentle)

with_internet = False  # True downloads 45 MB once: an encoder that has seen a million photographs
if with_internet:
    imagenet = dt.ResNet18FPN(weights="imagenet")
    starts["ImageNet"] = dt.fit(imagenet, *loaders(), dt.TrainConfig(epochs=15, device="cpu"))
for name, run in starts.items():
    print(f"{name:16} first epoch {run.val_iou[0]:.2f}, best {run.best_iou:.2f}")

# %% tags=["nbval-ignore-output"]
# alt: Validation IoU against the epoch. The start from shipped weights, orange squares, lies high
#   from the first epoch, hardly higher than an orange star at epoch 0, before any training; the
#   random start, blue circles, climbs towards it.
assert starts["shipped weights"].val_iou[0] > history.val_iou[0] + 0.1, "where is the head start?"
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
looks = (("o-", "#0072B2"), ("s--", "#D55E00"), ("^:", "#009E73"))
for (name, run), (style, colour) in zip(starts.items(), looks, strict=False):
    ax.plot(range(1, len(run.val_iou) + 1), run.val_iou, style, color=colour, label=name)
ax.plot(0, before, "*", color="#D55E00", markersize=12, label="the same, before training")
ax.set(xlabel="epoch", ylabel="validation IoU", ylim=(0, 1), xticks=range(0, 16, 3))
_ = ax.legend(loc="lower right")

# %% [markdown]
# *Figure 3. The same network, data and loss, from two starts.*
#
# The shipped weights begin where a random start does not arrive in 15 epochs. (They have seen
# neither side, and score lower on our training sections than on those for validation: these are the
# easier ones.) Training adds little to them: our embryos are drawn by the same program, and only
# smaller than they are used to, 192 pixels instead of 448. Here the start is all. Lesson 6 has
# pictures that *are* new, and there training goes on from such a start.
#
# **Why does pre-training help, and when?** The first layers of any vision network find edges and
# spots, so even weights that have only seen photographs of dogs and cars (*ImageNet*) save the
# network that work. The nearer the old task is to the new one, the more layers can be kept: the
# shipped weights already know nuclei. The gain is largest with little data and little time, and
# shrinks as both grow (He and others, 2018, found that with enough of both a random start catches
# up). *Used as it is*, a model fails when the new pictures differ in what matters, a stain in which
# nuclei are dark for example. As a start it is worth much even there: lesson 6 measures both.

# %% [markdown]
# ## Look at it
#
# *Predict:* on three sections of test embryos, that nobody has used so far, will the network that
# started from random numbers find the nuclei? Its outlines are solid orange, the true ones dashed
# blue.

# %% tags=["nbval-ignore-output"]
# alt: Three sections of test embryos. Solid orange outlines, the prediction, lie on most of the
#   dashed blue outlines, the true nuclei, not always well; some lie where there is no nucleus.
model.working_side = 192  # bring pictures to the size at which it was judged
_, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
with_nuclei = [pair for pair in split.test if dt.read_mask(pair.mask).any()]
for ax, pair in zip(axes, with_nuclei[1::7], strict=False):
    image = dt.read_image(pair.image)
    found = dt.label_nuclei(dt.predict_probability(model, image))
    _ = dt.show_overlay(image, found, ax, true=dt.read_mask(pair.mask), title=pair.name)

# %% [markdown]
# *Figure 4. Prediction (solid orange) and truth (dashed blue) on embryos that the network has
# never seen, after a minute or so of training from random numbers.*
#
# It finds most of them, some with a rather bad outline, and it takes bright granules for nuclei as
# well. Lesson 4 has scores for both kinds of mistake.

# %% [markdown]
# ## What to take along
#
# - Stages go from *where* to *what*; the pyramid brings both together.
# - Cross-entropy counts pixels, Dice overlap. Which one to use, or both, a validation decides.
# - Overfit one batch first. Then train, validate on other embryos, keep the best.
# - A start from weights that know a similar task saves most of the time; it is worth most when
#   there is little data.
#
# ## Checkpoint
#
# 1. Why does a residual block add its input to what it computes?
#    <details><summary>Answer</summary>So that it need only learn a correction. A block that has
#    nothing to add can answer zero, and pass on what came in.</details>
# 2. Training loss 0.2 and falling, validation IoU falling as well: what is it, and what do you do?
#    <details><summary>Answer</summary>Overfitting: the network learns its pictures by heart. Keep
#    the weights of the best validation epoch; get more embryos or more augmentation.</details>
# 3. The loss of a single batch, shown a hundred times, does not fall. Would more data help?
#    <details><summary>Answer</summary>No. Something is broken: no gradient flows, the weights are
#    never updated, or the learning rate is far off.</details>
# 4. A network answers 0.1 everywhere and its cross-entropy looks good. Why?
#    <details><summary>Answer</summary>Nearly all pixels are background, and 0.1 is nearly right
#    there. The overlap with the nuclei is small: Dice shows it.</details>
#
# Next: [lesson 4, evaluate](04_evaluate.ipynb).
#
# **Further reading:** He and others, [Deep residual learning for image
# recognition](https://arxiv.org/abs/1512.03385), 2015; Lin and others, [Feature pyramid networks
# for object detection](https://arxiv.org/abs/1612.03144), 2016; Milletari and others,
# [V-Net](https://arxiv.org/abs/1606.04797), 2016, for the Dice loss; He and others, [Rethinking
# ImageNet pre-training](https://arxiv.org/abs/1811.08883), 2018.

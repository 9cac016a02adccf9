# %% [markdown]
# # 2. Augment image and mask
#
# A network that sees each picture once a round soon knows them by heart. *Augmentation* shows it a
# slightly different picture each time: turned, zoomed, bent, brighter. For *segmentation* (saying
# of each pixel whether it is nucleus) one rule comes first: what happens to the image must happen
# to the mask.
#
# **What you will learn**
#
# - to send image and mask through one pipeline together, and to see when they have parted;
# - to move masks without inventing values between 0 and 1;
# - to tell changes of geometry from changes of light, and to leave out those that teach nonsense;
# - to write a PyTorch `Dataset` that does this, and to choose seeds that make it repeatable.
#
# **What you need:** lesson 1's words *image* and *mask*, and NumPy slices such as `picture[2:5]`. A
# Python class is read, none is written.
# **Time:** 30 minutes to read, 1 minute to run. **Memory:** 1.1 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import copy
import os
import tempfile
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it asks the network for a newer version
import albumentations as A
import cv2
import matplotlib.pyplot as plt
import numpy as np

import devotools as dt
from devotools import exercises, ui

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=3, sections=4, size=256, seed=13)
pairs = dt.read_dataset(folder)
pair = pairs[9]
image = dt.read_image(pair.image)  # (256, 256) float32 in [0, 1]
mask = dt.read_mask(pair.mask).astype(np.uint8)  # (256, 256), 0 or 1
print(pair.name, image.shape, mask.shape, f"{100 * mask.mean():.1f} % nucleus")

# %% [markdown]
# ## One call for both
#
# [Albumentations](https://albumentations.ai) is a library of such changes. A *pipeline* of it takes
# image and mask in **one call**, draws its random numbers once, and gives both back. *Look at the
# outlines:* they should stay on the nuclei whatever happens.

# %%
# alt: Four versions of one section, turned, zoomed and bent in different ways. In each the dashed
#   blue outlines of the mask still lie on the nuclei.
transform = dt.train_transform(192, seed=0)
versions = [transform(image=image, mask=mask) for _ in range(4)]
_ = dt.show_batch(
    np.stack([version["image"] for version in versions]),
    np.stack([version["mask"] for version in versions]),
)

# %% [markdown]
# *Figure 1. One section, four times through the pipeline. Every picture is new to the network,
# and every mask is still right.*
#
# What the library does is no magic. The simplest change of all you can write yourself.
#
# ## Exercise 2.1: the flip
#
# Flip image and mask from left to right, *both*, with NumPy alone. On the tiny picture below the
# first column must become the last, and its mask with it.

# %%
tiny_image = np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.3]])
tiny_mask = np.array([[1, 0, 0], [1, 1, 0]])


def flip(image, mask):
    return None  # your code: return the flipped image, and the flipped mask


# %% tags=["solution"]
def flip(image, mask):
    return image[:, ::-1], mask[:, ::-1]


# %%
exercises.check("2.1", flip)

# %%
exercises.hint("2.1")

# %% [markdown]
# ## What if they part?
#
# *Predict:* we turn the image, and forget to turn the mask. The mask is a perfect mask, only of
# another picture. Which Dice score (1 is perfect) has it against the right one?

# %%
# alt: Two panels with the same turned section. Left, the mask was turned as well and the outlines
#   lie on the nuclei. Right, the mask was not turned and the outlines lie anywhere.
turned_image, turned_mask = np.rot90(image), np.rot90(mask)
_, axes = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
_ = dt.show_overlay(turned_image, ax=axes[0], true=turned_mask, title="mask turned too")
_ = dt.show_overlay(turned_image, ax=axes[1], true=mask, title="mask forgotten")
print(f"Dice of the forgotten mask: {dt.dice_score(turned_mask, mask):.2f} (1 is perfect)")

# %% [markdown]
# *Figure 2. The same picture with the right mask and with a forgotten one. A good third of the
# overlap is the nucleus near the middle, which the turn hardly moves. The rest is chance: a nucleus
# has come to lie where another one was.*
#
# Nothing crashes. The network is simply taught, picture after picture, that nuclei are somewhere
# else. Two separate pipelines, one for images and one for masks, do exactly this as soon as they
# choose at random.
#
# How much turning does it take? Here the image is turned a little further each time, and its mask
# stays behind. *Predict:* after how many degrees is a quarter of the score gone?

# %%
# alt: The Dice score of a mask that stays behind while the image turns: a line that begins at 1,
#   falls steeply within the first 30 degrees, and then goes up and down without coming back.
angles = np.arange(0, 181, 5)
dice = []
for angle in angles:
    turn = A.Compose([A.Affine(rotate=(int(angle), int(angle)), p=1)], strict=True)
    right = turn(image=image, mask=mask)["mask"]
    dice.append(dt.dice_score(right, mask))  # against the one that stayed behind
print("degrees", *(f"{angle:5}" for angle in angles[:15:2]))
print("Dice   ", *(f"{score:5.2f}" for score in dice[:15:2]))
_, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
ax.plot(angles, dice, "o-", color="#0072B2", markersize=4)
_ = ax.set(xlabel="image turned by (degrees)", ylabel="Dice of the old mask", ylim=(0, 1.02))

# %% [markdown]
# *Figure 3. The score of a mask that stays behind while the image is turned. Where the line rises
# again, a nucleus has come to lie where another one was: the network is taught the wrong nucleus.*
#
# In a running notebook you can do it by hand. *Try this:* take the tick away from "the mask goes
# along", turn and zoom, and watch the outlines and the score. Then move brightness and noise alone:
# why does the score not change? (Without a running notebook, figures 2 and 3 show some of it.)

# %%
ui.explore_augmentation(image, mask)

# %% [markdown]
# Brightness and noise leave every nucleus in its place. Only what moves pixels can part image and
# mask.
#
# ## Exercise 2.2: the crop
#
# Training shows small pieces of a picture. Complete the function: it cuts a piece out of image
# *and* mask. The first row of the piece is `top`, its first column is `left`; it is `height` rows
# high and `width` columns wide.

# %%
def crop(image, mask, top, left, height, width):
    return None  # your code: return the piece of the image, and the piece of the mask


# %% tags=["solution"]
def crop(image, mask, top, left, height, width):
    rows, columns = slice(top, top + height), slice(left, left + width)
    return image[rows, columns], mask[rows, columns]


# %%
exercises.check("2.2", crop)

# %%
exercises.hint("2.2")

# %% [markdown]
# ## A mask is not a photograph
#
# To turn a picture by 30 degrees, values between pixels must be guessed: *interpolation*. For
# brightness a blend of the neighbours (*linear*) is fine. For a mask it is not: between 0 and 1
# lies 0.5, and half a nucleus does not exist. Masks take the value of the *nearest* pixel.
#
# *Predict:* which values has the mask after each way of turning it? (Rounded to one decimal.)

# %%
# alt: Two enlarged pieces of a turned mask. Left, taken from the nearest pixel: black and white
#   only. Right, linear: the outline has grey steps between black and white.
ways = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR}
turned = {}
for name, way in ways.items():
    turn = A.Compose([A.Affine(rotate=(30, 30), mask_interpolation=way, p=1)], strict=True)
    turned[name] = turn(image=image, mask=mask.astype(np.float32))["mask"]
    print(f"{name:8}", *np.unique(turned[name].round(1)))
row, column = np.argwhere(turned["nearest"] == 1)[0]
piece = (slice(max(row - 8, 0), row + 42), slice(max(column - 25, 0), column + 25))
_, axes = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
for ax, (name, result) in zip(axes, turned.items(), strict=True):
    _ = dt.show_image(result[piece], ax, title=name)

# %% [markdown]
# *Figure 4. The edge of a nucleus in the mask, turned by 30 degrees in both ways. Nearest keeps two
# values; linear invents all that lie between them.*
#
# ### The masks of 2020
#
# The project that this course grew from saved its masks as JPEG. JPEG is made for photographs: it
# cuts a picture in squares of 8 x 8 pixels, stores soft waves of each and drops the fine ones. So
# in every square that a sharp edge crosses, ripples come back on both sides of it. Then *every*
# value above zero was taken for nucleus. Let us do the same with ours.
#
# *Predict:* does the mask become larger or smaller?

# %%
# alt: Three enlarged pictures of the same piece of a mask. The mask, black and white with a smooth
#   edge; after JPEG, made brighter, with grey spots round the edge; and everything above zero, a
#   nucleus with a ragged edge and crumbs round it.
_, file = cv2.imencode(".jpg", 255 * mask, [cv2.IMWRITE_JPEG_QUALITY, 75])
jpeg = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)  # 0 to 255
ragged, mended = jpeg > 0, jpeg > 127
row, column = np.argwhere(mask)[0]
piece = (slice(max(row - 20, 0), row + 40), slice(max(column - 30, 0), column + 30))
brighter = np.clip(jpeg / 32, 0, 1)
panels = {"the mask": mask > 0, "after JPEG, 8 times brighter": brighter, "above zero": ragged}
_, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for ax, (title, picture) in zip(axes, panels.items(), strict=True):
    _ = dt.show_image(picture[piece], ax, title=title)
for title, picture in (("all above zero", ragged), ("all above half", mended)):
    grown = picture.sum() / mask.sum()
    print(f"{title}: {grown:.2f} times the area, Dice {dt.dice_score(mask, picture):.2f}")

# %% [markdown]
# *Figure 5. A piece of a mask, the same after it was saved as JPEG (made brighter, or nobody would
# see the faint ripples), and what becomes of it when every value above zero counts as nucleus. The
# specks fill whole squares of 8 x 8 pixels. There are ripples inside the nucleus too, but brighter
# they are all white.*
#
# That is one reason why the masks of 2020 are ragged. The threshold at half of the maximum saves
# nearly everything; better still, save masks as PNG or TIFF, which return what they were given.
# `dt.read_mask` refuses a mask with more than two values, and says this.
#
# ## Exercise 2.3: enlarge a mask
#
# Complete the function: it makes a mask twice as high and twice as wide, so that each pixel becomes
# a square of 2 x 2 pixels. What comes out is a mask again.

# %%
def enlarge(mask):
    return None  # your code


# %% tags=["solution"]
def enlarge(mask):
    return mask.repeat(2, axis=0).repeat(2, axis=1)


# %%
exercises.check("2.3", enlarge)

# %%
exercises.hint("2.3")

# %% [markdown]
# ## Geometry and light
#
# `train_transform` has two halves. *Geometry* moves pixels and goes to both: zoom
# (`LongestMaxSize`), a white border where the picture is too small (`PadIfNeeded`), crop
# (`RandomCrop`), the four turns and four flips of a square (`D4`), a free turn of up to 45 degrees
# with a slight zoom and slant (`Affine`), a gentle bend (`GridDistortion`). *Light* changes
# brightness, contrast, sharpness and noise and goes to the image alone; `OneOf` picks one of
# several ways to blur or sharpen.

# %%
for number, step in enumerate(transform.transforms, start=1):
    kind = "geometry" if isinstance(step, A.DualTransform) else "light"
    print(f"{number:2} {type(step).__name__:26} {kind:9} chance {step.p:.2f}")

# %% [markdown]
# ### What to leave out
#
# Each step is a claim about the world: *this change does not change where the nuclei are.* A
# section has no up and down, so all turns are right. A face does: for portraits they would be
# wrong. And what would be wrong for us? Here are four changes of light. *Look, and ask of each:*
# could you still draw the outlines, if you saw only the picture?

# %%
# alt: Four versions of a section with the same dashed blue outlines. Gamma darkens it, and the
#   nuclei stay visible. Inverted, they are dark on bright. Strongly blurred, they are hardly
#   visible. With a black patch, some outlines lie on the patch, and nothing is to be seen there.
patched = image.copy()
patched[90:170, 90:170] = 0
changed = {
    "gamma 1.5": image**1.5,
    "inverted": 1 - image,
    "blur, 20 pixels": cv2.GaussianBlur(image, (0, 0), 20),
    "a patch": patched,
}
_ = dt.show_batch(np.stack(list(changed.values())), np.stack([mask] * 4), titles=list(changed))

# %% [markdown]
# *Figure 6. Four changes of light; the dashed outlines are the mask, which is the same in all.*
#
# We can put a number to it: how much brighter are the nuclei than a rim of 5 pixels
# round them?

# %%
rim = (cv2.dilate(mask, np.ones((11, 11), np.uint8)) - mask).astype(bool)  # 5 pixels more, less it
nuclei = mask.astype(bool)
for name, picture in {"as it is": image, **changed}.items():
    contrast = picture[nuclei].mean() - picture[rim].mean()
    print(f"{name:15} brighter by {contrast:5.2f}")
hidden = mask[90:170, 90:170].sum() / mask.sum()
print(f"the patch hides {100 * hidden:.0f} % of the nucleus pixels")

# %% [markdown]
# - *Gamma* bends the scale of brightness, as another film would. Nuclei stay brighter: allowed.
# - *Inverted*, nuclei are darker than their surroundings. None of our micrographs looks like this:
#   the network would have to learn two worlds, of which we have one. (Another stain can turn
#   pictures round like this: lesson 6.)
# - *Blurred* by 20 pixels, nuclei no longer stand out from their rim. A little blur is another
#   microscope; this much teaches the network to guess.
# - *The patch* hides nuclei that the mask still claims. For large objects it is a popular change,
#   because a network must then use what is left of them. Ours are small: one vanishes whole, and of
#   another a third is left. (The mean contrast does not tell, for half of the nucleus pixels
#   lie outside the patch. So we also ask how much it hides.)
#
# The rule: **if you cannot draw the mask from the changed picture, the network cannot either.**
# And one more: only training pictures are augmented. Validation and test pictures stay as they are
# (`dt.eval_transform` changes nothing but the size), or each look would give another score.

# %% [markdown]
# ## A dataset
#
# **PyTorch**, the library in which our networks are written, asks a `Dataset` two things: how many
# items there are (`len(dataset)`, answered by `__len__`), and for item number `index`
# (`dataset[index]`, answered by `__getitem__`; `self` is the dataset itself). Ours reads the pair,
# stretches the picture's contrast to a common range (pictures from different films and detectors
# differ in it), sends both through the transform in one call, and adds an axis for the *channel* (a
# grey picture has one, a colour picture three). This is all of it, in short:

# %%
class SmallDataset:
    """What devotools.NucleusDataset does, without its checks."""

    def __init__(self, pairs, transform):
        self.pairs, self.transform = pairs, transform

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image = dt.stretch_contrast(dt.read_image(self.pairs[index].image))  # (H, W)
        mask = dt.read_mask(self.pairs[index].mask).astype(np.uint8)  # (H, W)
        both = self.transform(image=image, mask=mask)  # one call!
        return both["image"][None], both["mask"][None].astype(np.float32)  # (1, H, W) each


small_image, small_mask = SmallDataset(pairs, dt.train_transform(128, seed=5))[0]
real_image, real_mask = dt.NucleusDataset(pairs, dt.train_transform(128, seed=5))[0]
print("the same:", np.array_equal(small_image, real_image), np.array_equal(small_mask, real_mask))

# %% [markdown]
# A *loader* collects items into *batches*. With the same seeds it gives the same batches again,
# which is what makes an experiment repeatable:

# %%
# alt: Eight square pieces of sections in two rows, each with dashed blue outlines on its nuclei.
def first_batch(seed):
    dataset = dt.NucleusDataset(pairs, dt.train_transform(128, seed=seed))
    return next(iter(dt.make_loader(dataset, batch_size=8, shuffle=True, seed=seed)))


images, masks = first_batch(seed=3)
again, _ = first_batch(seed=3)
other, _ = first_batch(seed=4)
print("batch", tuple(images.shape), "values in the masks:", masks.unique().tolist())
print("same seed, same batch:", bool((images == again).all()))
print("other seed, same batch:", bool((images == other).all()))
_ = dt.show_batch(images, masks)

# %% [markdown]
# *Figure 7. A batch as the network will see it: crops at many magnifications, with their masks.*
#
# ## Two traps with seeds
#
# A *seed* fixes the random choices of a program. The first trap: whose choices? *Predict:* we seed
# NumPy, as many scripts do. Do two pipelines now draw the same pictures?

# %%
def eight_versions(transform):
    """Eight versions of one section, as one array."""
    return np.stack([transform(image=image, mask=mask)["image"] for _ in range(8)])


np.random.seed(0)
first = eight_versions(dt.train_transform(64))
np.random.seed(0)
second = eight_versions(dt.train_transform(64))
print("np.random.seed(0) before each:   same pictures:", np.array_equal(first, second))
first = eight_versions(dt.train_transform(64, seed=0))
second = eight_versions(dt.train_transform(64, seed=0))
print("seed=0 given to each pipeline:   same pictures:", np.array_equal(first, second))

# %% [markdown]
# Albumentations keeps its own random numbers; only the pipeline's own seed counts.
#
# The second trap comes with speed. A loader may have several *workers*, processes that prepare
# pictures side by side. Each worker gets a **copy** of the dataset, and with it a copy of the
# pipeline and its random numbers. *Predict:* two workers draw four versions each of one section, in
# three *epochs* (rounds through the data), for which the workers are started anew. How many
# different pictures do we get, out of 24?
#
# We need no processes to see it: a copy is a copy.

# %%
def different_pictures(own_seed):
    """Two workers, three epochs, four versions each: how many pictures are different?"""
    transform = dt.train_transform(64, seed=0)  # in the main process
    seen = []
    for epoch in range(3):
        for worker in range(2):
            copied = copy.deepcopy(transform)  # what a worker gets when it is started
            if own_seed:
                copied.set_random_seed(1000 * epoch + worker)  # a seed of its own
            seen += [copied(image=image, mask=mask)["image"] for _ in range(4)]
    return len({picture.tobytes() for picture in seen}), len(seen)


for own_seed, name in ((False, "copies as they are:      "), (True, "each copy seeded anew:   ")):
    different, of = different_pictures(own_seed)
    print(f"{name} {different:2} different pictures of {of}")

# %% [markdown]
# Without help, both workers make the same choices, and make them again in every epoch: six times
# the same four versions. Nothing crashes here either; the training is only poorer than you believe.
# The cure is to give every worker a seed of its own in every epoch. `NucleusDataset` has
# it built in: the seeds come from the loader's seed, so they differ *and* can be repeated.
#
# ## Exercise 2.4: how exactly must a mask lie?
#
# A small investigation. Image and mask may part by very little: a scan that is shifted, an outline
# drawn on another magnification. How far may a mask be off?
#
# Complete the function: it gets a mask and returns by how many whole columns, at most, it can be
# moved to the right so that its Dice with the mask where it was is still **at least 0.8**. (In the
# masks of the check there is room on all sides. `np.roll(mask, 3, axis=1)` moves a mask by three
# columns; what leaves it on the right comes in again on the left, so stop at the first shift that
# is too far.)

# %%
def largest_shift(mask):
    return None  # your code


# %% tags=["solution"]
def largest_shift(mask):
    step = 0
    while dt.dice_score(mask, np.roll(mask, step + 1, axis=1)) >= 0.8:
        step += 1
    return step


# %%
exercises.check("2.4", largest_shift)

# %%
exercises.hint("2.4")

# %% [markdown]
# Now ask the nuclei of our section, one by one. *Predict first:* which allow more, the small ones
# or the large ones?

# %%
labels = dt.read_labels(pair.labels)
sizes = dt.measure_nuclei(labels).sort_values("area_px")
for number, area in zip(sizes["label"], sizes["area_px"], strict=True):
    alone = np.pad(labels == number, 40)  # room on all sides
    answer = largest_shift(alone)
    result = "not yet: solve the exercise first" if answer is None else f"{answer} columns"
    wide = area / (labels == number).any(axis=1).sum()  # mean of its rows
    print(f"nucleus of {area:4} pixels, {wide:4.1f} columns wide on average: {result}")

# %% [markdown]
# What counts is how wide a nucleus is in the direction of the shift, so two of nearly the same area
# may differ. What you see is a limit on every score of this course: when the outlines of two
# careful people differ by a pixel or two, small nuclei lose most.
#
# ## What to take along
#
# - One pipeline, one call, image and mask together.
# - Masks from the nearest pixel, and never as JPEG, so that they stay masks.
# - Only changes after which you could still draw the mask yourself; only on training pictures.
# - Seed the pipeline and the loader; NumPy's seed reaches neither. With workers the loader's seed
#   decides: from it each worker's copy of the pipeline gets a seed of its own.
#
# ## Checkpoint
#
# 1. A colleague turns the images with one pipeline and the masks with another, both with
#    `seed=0`, and the first has a step of noise at its beginning. Is that safe?
#    <details><summary>Answer</summary>No. The step of noise may use up random numbers, and from
#    there on the two pipelines choose differently. One call for both cannot part.</details>
# 2. After a rotation a mask holds the values 0, 0.2, 0.7 and 1. What went wrong?
#    <details><summary>Answer</summary>It was interpolated like a photograph. Masks take the value
#    of the nearest pixel.</details>
# 3. Would you turn pictures upside down for a network that reads handwritten digits?
#    <details><summary>Answer</summary>No: a 6 becomes a 9, and the answer is no longer true. For
#    sections of an embryo there is no up and down.</details>
# 4. With four workers a training is faster, and the result is worse than with none. What do you
#    check first?
#    <details><summary>Answer</summary>Whether the workers make the same random choices: compare
#    the pictures that two of them prepare from one section.</details>
#
# Next: [lesson 3, train a ResNet18](03_train_resnet18.ipynb).
#
# **Further reading:** Buslaev and others, [Albumentations: fast and flexible image
# augmentations](https://www.mdpi.com/2078-2489/11/2/125), 2020; the library's own pages on
# [masks](https://albumentations.ai/docs/3-basic-usage/semantic-segmentation/) and on
# [seeds](https://albumentations.ai/docs/4-advanced-guides/reproducibility); [Using PyTorch + NumPy?
# You're making a mistake](https://tanelp.github.io/posts/a-bug-that-plagues-thousands-of-open-source-ml-projects/),
# on workers that repeat each other; and the 2020 project's
# [blog post of 14 June](https://mayukhdeb.github.io/blog/post/gsoc-2020-june-14), which made at
# least 50 pictures out of one.

# %% [markdown]
# # 2. Augment image and mask
#
# A network that sees each picture once a round soon knows them by heart. **Augmentation** shows
# it a slightly different picture each time: turned, zoomed, bent, brighter. For segmentation one
# rule comes first: *what happens to the image must happen to the mask.*
#
# **What you will learn**
#
# - to send image and mask through one albumentations pipeline together;
# - what goes wrong when they part, and when a mask is interpolated;
# - which changes are geometry, which are light, and which to leave out;
# - how a `torch.utils.data.Dataset` puts this to work, and how seeds make it repeatable.
#
# **What you need:** lesson 1's words *image* and *mask*. **Time:** 20 minutes to read, under
# 1 minute to run. **Internet:** not needed.

# %%
import tempfile
from pathlib import Path

import albumentations as A
import cv2
import matplotlib.pyplot as plt
import numpy as np

import devotools as dt

# %%
folder = Path(tempfile.mkdtemp()) / "drawn"
dt.synthesize_dataset(folder, embryos=3, sections=4, size=256, seed=11)
pairs = dt.read_dataset(folder)
pair = pairs[2]
image = dt.read_image(pair.image)  # (256, 256) float32 in [0, 1]
mask = dt.read_mask(pair.mask).astype(np.uint8)  # (256, 256), 0 or 1
print(pair.name, image.shape, mask.shape, f"{100 * mask.mean():.1f} % nucleus")

# %% [markdown]
# ## One call for both
#
# [Albumentations](https://albumentations.ai) is a library of such changes. A pipeline of it takes
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
# *Figure 2. The same picture with the right mask and with a forgotten one. What little overlap
# there may be is chance.*
#
# Nothing crashes. The network is simply taught, picture after picture, that nuclei are somewhere
# else. Two separate pipelines with random choices do exactly this.

# %% [markdown]
# ## A mask is not a photograph
#
# To turn a picture by 30 degrees, values between pixels must be guessed. For brightness a blend
# of the neighbours (**linear**) is fine. For a mask it is not: between 0 and 1 lies 0.5, and
# *half a nucleus* does not exist. Masks take the value of the **nearest** pixel.
#
# *Predict:* how many different values has the mask after each way of turning it?

# %%
# alt: Two enlarged corners of a turned mask. Left, taken from the nearest pixel: black and white
#   only. Right, linear: the outline has grey steps between black and white.
ways = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR}
_, axes = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
for ax, (name, way) in zip(axes, ways.items(), strict=True):
    turn = A.Compose([A.Affine(rotate=(30, 30), mask_interpolation=way, p=1)], strict=True)
    result = turn(image=image, mask=mask.astype(np.float32))["mask"]
    print(f"{name:8} {len(np.unique(result)):3} different values")
    row, column = np.argwhere(result == 1)[0]
    corner = result[max(row - 5, 0) : row + 25, max(column - 15, 0) : column + 15]
    _ = dt.show_image(corner, ax, title=name)

# %% [markdown]
# *Figure 3. The edge of a nucleus in the mask, turned by 30 degrees in both ways. Nearest keeps two
# values; linear invents hundreds between them.*
#
# The masks of 2020 were saved as JPEG, which blends as well, and then *every* value above zero
# was taken for nucleus. That is one reason why they look ragged.

# %% [markdown]
# ## Geometry and light
#
# `train_transform` has two halves. **Geometry** moves pixels and goes to both: zoom, crop, the four
# turns and four flips of a square (*D4*), a slight slant (*Affine*), a gentle bend
# (*GridDistortion*). **Light** changes brightness, contrast and sharpness and goes to the image
# alone; *OneOf* picks one of several ways to blur or sharpen.

# %%
for number, step in enumerate(transform.transforms, start=1):
    kind = "geometry" if isinstance(step, A.DualTransform) else "light"
    print(f"{number:2} {type(step).__name__:26} {kind:9} chance {step.p:.2f}")

# %% [markdown]
# Each step is a claim about the world: *this change does not change where the nuclei are.*
# A section has no up and down, so all turns are right. A face does: for portraits they would be
# wrong. And what would be wrong for us? Turning black into white, for one: a nucleus is
# *brighter* than the cytoplasm around it.

# %% [markdown]
# ## A dataset
#
# PyTorch asks a `Dataset` two things: how many items there are, and for item number `index`.
# Ours reads the pair, stretches the picture's contrast to a common range (pictures from different
# films and detectors differ in it), sends both through the transform in one call, and adds the axis
# for the channel. This is all of it, in short:

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
# A loader collects items into batches. With the same seeds it gives the same batches again,
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
# *Figure 4. A batch as the network will see it: crops at many magnifications, with their masks.*
#
# A trap: albumentations ignores `numpy.random.seed`. Only the pipeline's own seed counts, and a
# loader with several worker processes would copy that seed into each, so that all of them make
# *the same* random choices. `NucleusDataset` gives each worker a seed of its own.

# %% [markdown]
# ## Exercise: write the flip
#
# Flip image and mask from left to right, *both*, with NumPy alone. On the tiny picture below the
# first column must become the last, and its mask with it.

# %%
tiny_image = np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.3]])
tiny_mask = np.array([[1, 0, 0], [1, 1, 0]])


def flip(image, mask):
    return image, mask  # your code


# %% tags=["solution"]
def flip(image, mask):
    return image[:, ::-1], mask[:, ::-1]


# %%
flipped_image, flipped_mask = flip(tiny_image, tiny_mask)
image_done = np.array_equal(flipped_image, [[0.1, 0.5, 0.9], [0.3, 0.7, 0.2]])
mask_done = np.array_equal(flipped_mask, [[0, 0, 1], [0, 1, 1]])
upside_down = np.array_equal(np.asarray(flipped_image)[:, 0], [0.2, 0.9])
if image_done and mask_done:
    print("solved")
elif upside_down:
    print("not yet: that is upside down; the first axis counts rows, the second columns")
elif image_done or mask_done:
    print("not yet: only one of the two was flipped, and they have parted")
else:
    print("not yet: the second axis counts the columns, from left to right")

# %% [markdown]
# ## What to take along
#
# - One pipeline, one call, image and mask together.
# - Masks from the nearest pixel, so that they stay masks.
# - Only changes under which the answer stays true.
# - Seed the pipeline and the loader; nothing else will.
#
# Next: [lesson 3, train a ResNet18](03_train_resnet18.ipynb).
#
# **Further reading:** Buslaev and others, [Albumentations: fast and flexible image
# augmentations](https://www.mdpi.com/2078-2489/11/2/125), 2020.

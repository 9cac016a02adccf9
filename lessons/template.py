# %% [markdown]
# # 8. A title of two or three words
#
# Say in two or three sentences what this is about, and why a biologist should care. Name the one
# question that is answered at the end. (This is the template of a lesson: copy it to
# `lessons/08_your_name.py`, and follow `docs/add-a-lesson.md`.)
#
# **What you will learn**
#
# - to do one thing, in words that a student would use;
# - to do a second thing;
# - to notice when it goes wrong.
#
# **What you need:** lesson 1's *mask* and *labels*.
# **Time:** 30 minutes to read, 1 minute to run. **Memory:** 1.0 GB. **Internet:** not needed.
#
# Words in *italics* or **bold** that are new are explained in the [glossary](../docs/glossary.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import devotools as dt
from devotools import exercises

# %% [markdown]
# ## First look, then compute
#
# Say what comes, and ask for a guess. *Predict:* how many nuclei will the section show?

# %%
# alt: A section of a drawn embryo in grey; its nuclei are outlined in solid orange.
series = dt.synthesize_series(sections=3, size=128, seed=7)
image, labels = series.images[1], series.labels[1]  # (128, 128) each
_, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
dt.show_overlay(image, labels, ax)

# %% [markdown]
# *Figure 1. What is to be seen, for those who see it and for those who do not.*
#
# *Predict:* is it the same number in the mask?

# %%
print("nuclei:", len(np.unique(labels[labels > 0])))

# %% [markdown]
# ## Exercise 1.1: a short name
#
# The task in a few sentences: what comes in, what should come out. (This one is lesson 1's; yours
# is 8.1 and stands in `devotools/exercises/lesson_08.py`.)


# %%
def lazy_accuracy(mask):
    return None  # your code


# %% tags=["solution"]
def lazy_accuracy(mask):
    return 1 - mask.mean()


# %%
exercises.check("1.1", lazy_accuracy)

# %%
exercises.hint("1.1")

# %% [markdown]
# ## Where it goes wrong
#
# Show a failure, and how one notices it. *Before you run the next cell:* will it be 0, 1 or NaN?

# %%
empty = np.zeros((4, 4), bool)
print("IoU of two empty masks:", dt.iou_score(empty, empty))

# %% [markdown]
# ## What to take along
#
# - One sentence on the first thing.
# - One on the second.
# - One on what to distrust.
#
# ## Checkpoint
#
# 1. A question that nobody can answer by running a cell?
#    <details><summary>Answer</summary>Its answer, with the reason.</details>
# 2. One that turns the lesson round?
#    <details><summary>Answer</summary>Its answer, with the reason.</details>
# 3. One from a reader's own pictures?
#    <details><summary>Answer</summary>Its answer, with the reason.</details>
#
# Next: your own pictures, or [lesson 1, explore the embryo](01_explore_the_embryo.ipynb) again.
#
# **Further reading:** a paper, with authors and year, such as He and others, [Deep residual
# learning](https://arxiv.org/abs/1512.03385), 2015; and a page, such as
# [WormAtlas](https://www.wormatlas.org).

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Classifying CIFAR-10 with a pretrained network, in two phases
#
# A course project fine-tuned an ImageNet ResNet-50 on CIFAR-10 and reached 48.9 %, because its
# pixels were scaled twice. This notebook repeats the project's ten steps with clearsight:
#
# 1. Setup
# 2. Data
# 3. Split and audit
# 4. Augmentation
# 5. Model and preprocessing
# 6. Phase 1: train the head
# 7. Phase 2: fine-tune the backbone
# 8. Evaluation
# 9. Where the model looks
# 10. Export and predict
#
# It runs EfficientNet-Lite0 rather than ResNet-50. Its ImageNet weights come as a small Python
# package, so no model hub is needed, and it has about a seventh of ResNet-50's parameters, so the
# notebook takes minutes on two CPU cores. The recipe `course-notebook` runs ResNet-50.

# %% [markdown]
# ## 1. Setup
#
# The first cell installs clearsight where it is missing, as on Colab. The extra `offline` contains
# the pretrained weights.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("clearsight") is None:
    project = ".." if Path("../pyproject.toml").is_file() else "clearsight"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", f"{project}[offline]"], check=True
    )

# %%
import os
import warnings

from IPython.display import display

import clearsight

warnings.filterwarnings("ignore", message="IProgress not found")  # no widgets are used

SMALL = os.environ.get("BUDGET") == "small"  # for testing this notebook
RUN = Path("runs/notebook-small" if SMALL else "runs/notebook")
PREVIEW = Path("runs/notebook-preview")  # figures drawn before the run

# %% [markdown]
# ## 2. Data
#
# `load_images` searches the data folders for CIFAR-10 and downloads it if it is not there. The
# recipe is `transfer`, limited to 10,000 of the 50,000 training images, as in the course project.

# %%
changes = {"data.subset": 10_000, "data.validation": 0.2, "phases.1.epochs": 3}
if SMALL:
    changes |= {"data.subset": 600, "model.size": 64, "phases.1.epochs": 1}
config = clearsight.load_recipe("transfer", changes)
images = clearsight.load_images("cifar10")
images

# %% [markdown]
# ## 3. Split and audit
#
# The validation images are for choices, the test images only for the final measurement. The split
# depends on the content of the images, so it is the same on every machine.

# %%
parts = clearsight.split(images, config.data)
parts

# %% [markdown]
# An audit of the whole data set reports what would spoil an evaluation: images that appear in two
# parts, damaged files, rare classes.

# %%
report = clearsight.audit("cifar10", out=PREVIEW)
display(report, report.figures)

# %% [markdown]
# ## 4. Augmentation
#
# Epochs alternate between each image and its mirror image. The frozen layers see only these two
# views, so their outputs are computed once and cached.

# %%
clearsight.draw_augmentation(PREVIEW, config, images, parts)

# %% [markdown]
# ## 5. Model and preprocessing
#
# The network takes raw pixels from 0 to 255. Its first layer upsamples them and scales them as its
# weights expect, and nothing else touches the pixels. The course project scaled them in two places.

# %%
print(config.model)

# %% [markdown]
# A pre-flight check runs before training. With the course project's mistake reproduced, it refuses
# to train and names the cause:

# %%
mistake = changes | {"model.preprocess": "double-scaled"}
try:
    clearsight.train("transfer", data=images, overrides=mistake, out="runs/notebook-mistake")
except clearsight.ClearsightError as error:
    print(error)

# %% [markdown]
# ## 6. Phase 1: train the head
#
# One call trains both phases. A cell that is stopped leaves a run that `resume` continues after its
# last complete epoch; a finished run is left as it is.

# %%
if RUN.exists():
    run = clearsight.resume(RUN, data=images)
else:
    run = clearsight.train(config, data=images, out=RUN)
run.figure("phase1_training_curves")

# %% [markdown]
# ## 7. Phase 2: fine-tune the backbone
#
# The last four stages train as well, with smaller learning rates for earlier layers. Batch norms
# keep their ImageNet statistics.

# %%
run.figure("phase2_training_curves")

# %% [markdown]
# ## 8. Evaluation
#
# An accuracy is reported with its 95 % interval and the number of test images.

# %%
display(run, run.figure("confusion_matrix"))

# %% [markdown]
# ## 9. Where the model looks
#
# Heatmaps mark the pixels that speak for a class: three correct predictions, three wrong ones, and
# the most frequent confusions. Each figure says whether its maps passed their test.

# %%
run.figure("heatmap_samples", "heatmap_confusions")

# %% [markdown]
# ## 10. Export and predict
#
# The bundle contains the weights, an ONNX graph that was verified against them on the test images,
# and a model card. Predicting with it does not need PyTorch.

# %%
model = clearsight.load(run.bundle if run.bundle.is_dir() else clearsight.export(run, data=images))
display(model, model.predict(images.images[parts.test[:4]]))
print("they are:", ", ".join(images.classes[k] for k in images.labels[parts.test[:4]]))

# %% [markdown]
# [Why 49 %](../docs/why-49-percent.md) explains what the course project concluded from its 48.9 %,
# and what a controlled experiment shows.

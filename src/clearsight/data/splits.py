"""Train, validation and test: stratified, seeded, and written as a manifest of content ids.

A split depends on ids, labels and seed only: files renamed, reordered or stored in another format
give the same one. Every image has a rank, the SHA-256 of seed and content; a part takes the lowest
ranks of each class. Where near duplicates are kept together, the split depends on the pixels too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from clearsight.config.schema import DataConfig
from clearsight.data.groups import exact_groups, find_near, joined, near_groups
from clearsight.data.images import ImageSet, fitted_ids
from clearsight.data.manifests import check_manifest
from clearsight.data.names import PARTS, listed
from clearsight.data.stratify import different_images, draw_subset, grouped_folds, ranked, split_off
from clearsight.errors import ConfigError, DataError
from clearsight.notebook import paragraphs, shown, table
from clearsight.progress import Progress
from clearsight.wording import counted

_FORMAT = 2
NEAR_TOGETHER = ", near duplicates kept together"
GROUPS_TOGETHER = ", groups kept together"
_FITTED_IDS_FORMAT = 1  # hashed the pixels after fitting; still read


@dataclass(frozen=True, kw_only=True, repr=False)
class Split:
    """Indices into an `ImageSet`: int64 arrays, disjoint, each ordered by rank.

    `sources` says of each part, in a phrase, whether it was given or how it was made; `notes` name
    the classes that some part has no images of, and tell of near duplicates kept together, a
    sentence each.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    sources: dict[str, str]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = (f"{part}: {len(getattr(self, part)):,}" for part in PARTS)
        return f"<Split {', '.join(counts)} images>"

    def _repr_html_(self) -> str:
        rows = [[part, f"{len(getattr(self, part)):,}", self.sources[part]] for part in PARTS]
        return table(["part", "images", "how it was made"], rows) + paragraphs(self.notes)


def split(
    images: ImageSet, config: DataConfig | None = None, progress: Progress | None = None
) -> Split:
    """Parts of `images` as `config` asks, the `data` of a recipe, by default with its defaults.

    Those that the source gives are respected.

    The training side is what the source puts into neither validation nor test.

    - test: given, else `test` × all images, from the training side. With `folds` it is one of them,
      and all images are on the training side, whatever part the source gives them
    - subset: so many of what is left of the training side
    - validation: given, else `validation` × the subset, or × the whole training side without one,
      so that 0.1 and 0.1 divide a flat folder 80/10/10
    - train: what is left

    Every class has its share of each, by largest remainders, and at least one image; a class with
    fewer different images than there are parts to make stays in train, and `Split.notes` names it.
    Duplicates stay on one side of a split made here, exact or near ones as `group` says; where they
    stand in the way, a part is smaller by as many. Those that the source puts on either side of its
    own split are left there.

    So do the groups that the source gives, together with the duplicates of their images. As they
    may be large and of several classes, a part takes those that bring it nearest to its share, and
    may become larger than it as well as smaller.

    Corrected labels move no image: parts are drawn by the labels that the source gives.

    Raises `DataError` where train lacks a class or no class is large enough to be in every part,
    `ConfigError` where there would be neither validation nor test.
    """
    progress, config = shown(progress), config or DataConfig()
    corrected, images = images, images.uncorrected()
    if config.folds is not None:  # they are made of all images
        images = replace(images, parts=np.full(len(images), "", images.parts.dtype))
    given = {part: bool((images.parts == part).any()) for part in PARTS}
    make_test = not given["test"] and (config.test > 0 or config.folds is not None)
    make_validation = not given["validation"] and config.validation > 0
    making = make_test or make_validation
    near, near_told = _duplicates(images, config, make_test, making, progress)
    groups = near if images.groups is None else joined(near, images.groups)
    order = ranked(images, groups, config.seed)
    parts = images.parts[order]
    validation, test = order[parts == "validation"], order[parts == "test"]
    train = order[(parts != "validation") & (parts != "test")]
    pool, how = len(train), f"stratified, seed {config.seed}" + NEAR_TOGETHER * bool(near_told)
    how += GROUPS_TOGETHER * (images.groups is not None)
    sources = {
        "train": "given" if given["train"] else "what is left",
        "validation": "given" if given["validation"] else "none",
        "test": "given" if given["test"] else "none",
    }
    if not len(train):
        raise DataError(
            f"{images.name}: all of its images are given for validation or test; "
            "add a part called train"
        )
    if not (len(test) or len(validation) or make_test or make_validation):
        raise ConfigError(
            f"data.validation and data.test: found 0 for both, and {images.name} has neither part "
            "of its own, so nothing could be measured; set one of them above 0"
        )
    made = make_test + make_validation
    large = different_images(images, groups, train) > made
    if config.folds is not None and config.fold is not None:
        dealt = grouped_folds(images.labels[train], groups[train], config.folds)
        if len(np.unique(dealt)) < config.folds:
            raise ConfigError(
                f"data.folds: found {config.folds}, but {images.name} has only "
                f"{counted(len(np.unique(groups)), 'different image or group')}; lower it"
            )
        test, train = train[dealt == config.fold - 1], train[dealt != config.fold - 1]
        sources["test"] = (
            f"fold {config.fold} of {config.folds} of all {len(images):,} images, {how}"
        )
    elif make_test:
        total = round(config.test * len(images))
        test, train = split_off(images, groups, train, total, large, "test", reserve=made)
        sources["test"] = f"split off: {config.test:g} of all {len(images):,} images, {how}"
    if config.subset is not None:
        drawn = draw_subset(images, train, config.subset)
        sources["train"] += f", {len(drawn):,} of {len(train):,} images drawn, {how}"
        train, pool = drawn, len(drawn)
    if make_validation:
        total = round(config.validation * pool)
        validation, train = split_off(images, groups, train, total, large, "validation", reserve=1)
        sources["validation"] = (
            f"split off: {config.validation:g} of {pool:,} training-side images, {how}"
        )
    result = Split(train=train, validation=validation, test=test, sources=sources)
    _check_train(corrected, result)
    told = (*near_told, *_told_of_groups(images, result, making))
    return replace(result, notes=(*_notes(corrected, result), *told))


def copies_of_training(images: ImageSet, train: np.ndarray, part: np.ndarray) -> np.ndarray:
    """int64: which of the images at `part` have the same pixels as one at `train`.

    `train` and `part` are indices into `images`, the result is indices into `part`.
    """
    contents = images.ids.astype("S64")  # an id without the `-2` of a copy
    return np.flatnonzero(np.isin(contents[part], contents[train]))


def manifest(images: ImageSet, split: Split, config: DataConfig) -> dict[str, Any]:
    """The split as JSON-able values: what a run keeps, and `from_manifest` reads.

    `parts` holds of each part `how`, and `ids`, `labels` and, where the source gives them,
    `weights` in order; `counts` the images of each
    class; `hash` is the SHA-256 over everything else but `size` and `fit`, which change no part.
    """
    return _manifest(images, split, config, _FORMAT, images.ids)


def has_hash(images: ImageSet, split: Split, config: DataConfig, recorded: str) -> bool:
    """Whether the split is the one whose manifest had the hash `recorded`, in any format."""
    if _manifest(images, split, config, _FORMAT, images.ids)["hash"] == recorded:
        return True
    old = _manifest(images, split, config, _FITTED_IDS_FORMAT, fitted_ids(images))
    return old["hash"] == recorded


def from_manifest(images: ImageSet, manifest: Mapping[str, Any]) -> Split:
    """The split that `manifest` describes, in `images`, in any order.

    A manifest of format 1 holds for the `data.size` and `data.fit` it was made with only. Raises
    `DataError` if the manifest was changed, or if images are missing or labelled otherwise.
    """
    check_manifest(manifest)
    is_known = manifest["format"] in (_FITTED_IDS_FORMAT, _FORMAT)
    if not is_known or manifest["hash"] != _hash(manifest):
        raise DataError(
            f"split manifest of {manifest['source']!r:.80}: its content doesn't fit its hash or is "
            f"not of format {_FORMAT}; take the run's own split.json, unchanged"
        )
    if tuple(manifest["classes"]) != images.classes:
        raise DataError(
            f"{images.name}: found the classes {listed(images.classes, 10)}, the split "
            f"manifest has {listed(manifest['classes'], 10)}; give the data set that the "
            "split was made of"
        )
    is_old = manifest["format"] == _FITTED_IDS_FORMAT
    known_ids = fitted_ids(images) if is_old else images.ids
    positions = {i.decode(): position for position, i in enumerate(known_ids.tolist())}
    parts = manifest["parts"]
    ids = [i for part in PARTS for i in parts[part]["ids"]]
    missing = sum(i not in positions for i in ids)
    if missing:
        raise DataError(
            f"{images.name}: {missing:,} of the {len(ids):,} images in the split manifest are "
            "missing; give the data set that the split was made of"
            + (f", with data.size {manifest['size']} and data.fit {manifest['fit']}" * is_old)
        )
    found = {part: np.array([positions[i] for i in parts[part]["ids"]], np.int64) for part in PARTS}
    changed = sum(
        int((images.labels[found[part]] != np.array(parts[part]["labels"], np.int64)).sum())
        for part in PARTS
    )
    if changed:
        raise DataError(
            f"{images.name}: {changed:,} of the {len(ids):,} images in the split manifest have "
            "another label now; make a new split"
        )
    result = Split(
        train=found["train"],
        validation=found["validation"],
        test=found["test"],
        sources={part: parts[part]["how"] for part in PARTS},
    )
    return replace(result, notes=_notes(images, result))


def with_weights(images: ImageSet, split: Split, manifest: Mapping[str, Any]) -> ImageSet:
    """The images with the weights that `manifest`, of which `split` was read, recorded of them.

    Their source may say otherwise by now, and weighs nothing that is in no part.
    """
    recorded = {part: manifest["parts"][part].get("weights") for part in PARTS}
    if None in recorded.values():
        return replace(images, weights=None)
    weights = np.zeros(len(images))
    for part, values in recorded.items():
        weights[getattr(split, part)] = values
    return replace(images, weights=weights)


def _manifest(
    images: ImageSet, split: Split, config: DataConfig, version: int, ids: np.ndarray
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format": version,
        "source": images.name,
        "size": images.size,
        "fit": images.fit,
        "seed": config.seed,
        "subset": config.subset,
        "fractions": {"validation": config.validation, "test": config.test},
        "classes": list(images.classes),
        "counts": {part: _counts(images, getattr(split, part)) for part in PARTS},
        "parts": {
            part: {
                "how": split.sources[part],
                "ids": [i.decode() for i in ids[getattr(split, part)].tolist()],
                "labels": images.labels[getattr(split, part)].tolist(),
                **_weights(images, getattr(split, part)),
            }
            for part in PARTS
        },
    }
    return {**content, "hash": _hash(content)}


def _weights(images: ImageSet, part: np.ndarray) -> dict[str, list[float]]:
    return {} if images.weights is None else {"weights": images.weights[part].tolist()}


def _duplicates(
    images: ImageSet, config: DataConfig, make_test: bool, making: bool, progress: Progress
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(int64 [N], equal for duplicates to keep together; of near ones kept so, a sentence)."""
    exact = exact_groups(images)
    wanted = config.group == "near" or (config.group == "auto" and make_test)
    if not (wanted and making):
        return exact, ()
    if find_near(images, progress).uniform:
        return exact, ()
    near = near_groups(images, progress)
    sizes = np.bincount(near[np.unique(exact, return_index=True)[1]])
    together = sizes[sizes > 1]
    if not len(together):
        return exact, ()
    return near, (
        f"{int(together.sum()):,} images are near duplicates, in {len(together):,} groups that are "
        "kept on one side of the split each; data.group exact does not",
    )


def _told_of_groups(images: ImageSet, split: Split, making: bool) -> tuple[str, ...]:
    """A sentence on the groups that the source gives, and one on those it divides itself."""
    if images.groups is None:
        return ()
    groups = {part: np.unique(images.groups[getattr(split, part)]) for part in PARTS}
    counts = np.bincount(images.groups[images.groups >= 0])
    counts = counts[counts > 0]
    notes = []
    if making and len(counts):
        least, most = counts.min(), counts.max()
        size = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        notes.append(
            f"{int(counts.sum()):,} images are in {counted(len(counts), 'group')} of {size}, each "
            "of which is kept on one side of the split"
        )
    for one, other in combinations(PARTS, 2):
        shared = np.intersect1d(groups[one], groups[other])
        if shared := int((shared >= 0).sum()):
            verb = "has" if shared == 1 else "have"
            notes.append(
                f"{counted(shared, 'group')} {verb} images in both {one} and {other}, as the data "
                "set divides them: accuracy may be overestimated"
            )
    return tuple(notes)


def _check_train(images: ImageSet, split: Split) -> None:
    if images.weights is not None and not images.weights[split.train].any():
        raise DataError(
            f"{images.name}: all {len(split.train):,} images in train have the weight 0; give "
            "those to learn from a weight above 0"
        )
    for name, count in _counts(images, split.train).items():
        if not count:
            total = int((images.labels == images.classes.index(name)).sum())
            raise DataError(
                f"{images.name}: class {name!r}, with {total:,} images in all, has none in "
                f"train ({split.sources['train']}); add images, remove the class, or change "
                "data.subset, data.validation or data.test"
            )


def _notes(images: ImageSet, split: Split) -> tuple[str, ...]:
    """Which classes are not measured, a sentence for each set of parts that lacks them."""
    measured = [part for part in PARTS[1:] if len(getattr(split, part))]
    counts = {part: _counts(images, getattr(split, part)) for part in PARTS}
    lacking: dict[str, list[str]] = {}
    for name in images.classes:
        parts = " and ".join(part for part in measured if not counts[part][name])
        if parts:
            lacking.setdefault(parts, []).append(f"{name!r} ({counts['train'][name]:,} in train)")
    return tuple(
        f"{len(names):,} of {len(images.classes):,} classes have no images in {parts} and are not "
        f"measured there: {listed(names)}"
        for parts, names in lacking.items()
    )


def _counts(images: ImageSet, part: np.ndarray) -> dict[str, int]:
    counts = np.bincount(images.labels[part], minlength=len(images.classes)).tolist()
    return dict(zip(images.classes, counts, strict=True))


def _hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over what a manifest of either format answers for."""
    left_out = {"hash"} if manifest["format"] == _FITTED_IDS_FORMAT else {"hash", "size", "fit"}
    content = {key: value for key, value in manifest.items() if key not in left_out}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

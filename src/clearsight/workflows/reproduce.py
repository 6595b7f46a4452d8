"""Running a recorded run or bundle again, and saying how close it came."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearsight.bundle.format import MANIFEST, read_bundle
from clearsight.config.parsing import parse
from clearsight.config.schema import Config
from clearsight.data.splits import has_hash, split
from clearsight.errors import BundleError, DataError, FileError, first_line
from clearsight.files import read_csv, read_json
from clearsight.ledger import HARDWARE, VERSIONS
from clearsight.progress import SILENT, Progress
from clearsight.runs import check_measured, open_run
from clearsight.training.checkpoint import WEIGHTS
from clearsight.wording import percent
from clearsight.workflows.evaluate import evaluate
from clearsight.workflows.loading import load_data
from clearsight.workflows.train import train

IDENTICAL, WITHIN, DIFFERENT = "identical", "within the interval", "different"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a run or a bundle says of how it came to be; `history` is None in a bundle."""

    config: Config
    split_hash: str
    evaluation: Mapping[str, Any]
    weights: str
    history: list[dict[str, Any]] | None
    environment: Mapping[str, Any]


def reproduce(
    source: Path | str,
    *,
    out: Path | str | None = None,
    data: str | None = None,
    data_dir: Path | str | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains anew by the recipe, data and seed recorded in `source`, a run folder or a bundle.

    `data` says where the data lie, if not where they were. Returns JSON-able values:

    - `result`: `identical` (weights, and history where recorded), `within the interval` (the new
      accuracy lies within the recorded 95 % interval), or `different`; `sentence` says it in words
    - `run`: the new run folder; `weights`, `history`: whether they are equal (history may be None)
    - `accuracy`: `recorded`, `found`; `environment`: what differs, as `name`, `recorded`, `found`

    Raises `DataError` where the data are not those recorded, `RunError` or `BundleError` where
    `source` says too little.
    """
    recorded = read_recorded(source)
    config = recorded.config
    if data is not None:
        config = replace(config, data=replace(config.data, source=data))
    images = load_data(config, data_dir, progress)
    # Before near duplicates were kept together, only exact ones were.
    groupings = (config.data, replace(config.data, group="exact"))
    made = [
        data
        for data in groupings
        if has_hash(images, split(images, data, progress), data, recorded.split_hash)
    ]
    if not made:
        raise DataError(
            f"reproduce {source}: the data here give another split than the recorded "
            f"{recorded.split_hash[:12]}…; name the data it was trained on with --data"
        )
    config = replace(config, data=made[0])
    run = train(config, data=images, out=out, progress=progress)
    evaluation = read_json(run.evaluation)
    if evaluation["tta"] != recorded.evaluation["tta"]:
        evaluation = evaluate(run, tta=recorded.evaluation["tta"], data=images, progress=SILENT)
    same_weights = weights_digest(run.weights / WEIGHTS) == recorded.weights
    same_history = None if recorded.history is None else read_csv(run.history) == recorded.history
    before, after = recorded.evaluation["accuracy"], evaluation["accuracy"]
    if same_weights and same_history is not False:
        result = IDENTICAL
    else:
        result = WITHIN if before["low"] <= after["value"] <= before["high"] else DIFFERENT
    return {
        "recorded": str(source),
        "run": str(run.path),
        "result": result,
        "weights": same_weights,
        "history": same_history,
        "part": evaluation["split"],
        "n": evaluation["n"],
        "accuracy": {"recorded": before, "found": after},
        "environment": differences(recorded.environment, read_json(run.environment)),
        "sentence": _sentence(result, before, after, evaluation["n"]),
    }


def read_recorded(source: Path | str) -> Recorded:
    """What a run folder or a bundle recorded. Raises `RunError`, `BundleError`."""
    if (Path(source) / MANIFEST).is_file():
        return _from_bundle(source)
    run = open_run(source)
    check_measured(run)
    config = run.config()
    if config.data.relabelled:  # its own copy: the file may have changed since
        config = replace(config, data=replace(config.data, relabelled=str(run.relabelled)))
    return Recorded(
        config=config,
        split_hash=read_json(run.split)["hash"],
        evaluation=read_json(run.evaluation),
        weights=weights_digest(run.weights / WEIGHTS),
        history=read_csv(run.history),
        environment=read_json(run.environment),
    )


def weights_digest(path: Path) -> str:
    """SHA-256 over the names, types, shapes and values of a safetensors file, in order of names.

    Unlike the file's own digest it is the same in a checkpoint and in a bundle. Raises `FileError`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path}: can't be read ({first_line(error)}); restore the file") from error
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Versions, hardware and code that differ, as far as they were recorded before."""
    pairs = {name: (before[name], after[name]) for name in (*VERSIONS, *HARDWARE) if name in before}
    if "git" in before:
        old, new = ((about["git"] or {}) for about in (before, after))
        for key in ("commit", "dirty"):
            pairs[f"git {key}"] = (old.get(key), new.get(key))
    return [
        {"name": name, "recorded": old, "found": new}
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _from_bundle(source: Path | str) -> Recorded:
    bundle = read_bundle(source)
    provenance = bundle.provenance
    if not {"config", "split_hash"} <= provenance.keys():
        raise BundleError(
            f"bundle {source}: its provenance has no recipe to run again; "
            "reproduce the run it was exported from, or export it anew"
        )
    environment = {**provenance["versions"], **provenance["hardware"], "git": provenance["git"]}
    return Recorded(
        config=parse(Config, provenance["config"], f"{MANIFEST} config"),
        split_hash=provenance["split_hash"],
        evaluation=bundle.metrics,
        weights=weights_digest(bundle.weights),
        history=None,
        environment=environment,
    )


def _sentence(result: str, before: Mapping[str, Any], after: Mapping[str, Any], n: int) -> str:
    found, was = percent(after["value"]), percent(before["value"])
    if result == IDENTICAL:
        return f"Identical: the same weights to the last bit, and accuracy {found} (n = {n:,})."
    span = f"{100 * before['low']:.2f} to {percent(before['high'])}, n = {n:,}"
    if result == WITHIN:
        return (
            f"Within the interval: accuracy {found}, recorded {was} ({span}); the weights differ."
        )
    return f"Not reproduced: accuracy {found} lies outside of the recorded {was} ({span})."

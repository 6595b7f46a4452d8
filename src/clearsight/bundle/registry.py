"""Named models in versions, in MLflow's model registry beside the tracked runs.

    runs/mlflow.db                     names, versions, aliases, and facts of each version as tags
    runs/registry/NAME/CHECKSUM/       the bundle of a version, as an MLflow model

A reference is `NAME@ALIAS` or `NAME@VERSION`. Which version is better is decided by validation
images; test figures are carried along and shown, no more.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.bundle.format import Bundle, read_bundle
from clearsight.bundle.mlflow_flavor import FOLDER, write_model
from clearsight.errors import RegistryError, UsageError
from clearsight.tracking.store import database, open_client, store_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RUNS = Path("runs")
STORE = "registry"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model: `tags` are the facts of its bundle, all text."""

    name: str
    number: int
    aliases: tuple[str, ...]
    created: int
    tags: dict[str, str]
    bundle: Path


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A version and its new alias; `verdict` says why, where it had to be better than another."""

    version: Version
    alias: str
    rival: Version | None
    verdict: str | None


def add_version(bundle: Path | str, name: str, runs: Path = RUNS) -> Version:
    """Copies a bundle into the registry as the next version of `name`.

    Raises `RegistryError` where the very same bundle is a version of `name` already.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name: found {name!r}, expected letters, digits, '.', '-' and '_'")
    read = read_bundle(bundle)
    checksum = read.checksum
    with _registry(runs) as client:
        known = [v for v in _search(client, runs) if v.name == name]
        for version in known:
            if version.tags["checksum"] == checksum:
                raise RegistryError(
                    f"{bundle}: is version {version.number} of {name} already; "
                    f"`clearsight registry promote {name} {version.number} --as ALIAS` uses it"
                )
        folder = runs / STORE / name / checksum[:16]
        if not folder.exists():
            write_model(read.path, folder)
        if not known and not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        created = client.create_model_version(
            name, source=str(folder.resolve()), tags=_facts(read) | {"checksum": checksum}
        )
        return _version(created, runs)


def list_versions(runs: Path = RUNS) -> list[Version]:
    """Every version, by name and number."""
    with _registry(runs) as client:
        return _search(client, runs)


def promote(
    name: str, number: int, alias: str, *, better_than: str | None = None, runs: Path = RUNS
) -> Promotion:
    """Gives version `number` of `name` the alias, which its former bearer loses.

    With `better_than`, an alias, only where the version is really better than its bearer on the
    validation images of both: McNemar's exact p below 0.05, and more images right. Raises
    `RegistryError` where it is not, or where either has no validation predictions.
    """
    if not _NAME.fullmatch(alias) or alias.isdigit():
        raise UsageError(f"--as: found {alias!r}, expected a word such as champion")
    with _registry(runs) as client:
        version = _find(client, f"{name}@{number}", runs)
        rival, words = None, None
        if better_than is not None:
            rival = _find(client, f"{name}@{better_than}", runs)
            words = _require_better(version, rival)
        client.set_registered_model_alias(name, alias, str(number))
        return Promotion(
            version=_find(client, f"{name}@{number}", runs), alias=alias, rival=rival, verdict=words
        )


def find_version(reference: str, runs: Path = RUNS) -> Version:
    """The version of `NAME@ALIAS` or `NAME@VERSION`. Raises `RegistryError` where there is none."""
    with _registry(runs) as client:
        return _find(client, reference, runs)


def is_reference(path: Path | str) -> bool:
    """Whether `path` is not that of a file but a reference into the registry."""
    name, at, alias = str(path).partition("@")
    plain = bool(at and _NAME.fullmatch(name) and _NAME.fullmatch(alias))
    return plain and not Path(path).exists()


def _require_better(version: Version, rival: Version) -> str:
    """The verdict in words. Raises `RegistryError` unless `version` is really the better one."""
    from clearsight.evaluation.compare import compare_predictions, verdict
    from clearsight.evaluation.predictions import read_predictions

    for each in (version, rival):
        if not read_bundle(each.bundle).validation.is_file():
            raise RegistryError(
                f"{each.name} version {each.number}: has no validation predictions to decide by; "
                "export a run that kept validation images"
            )
    new, old = (read_predictions(read_bundle(v.bundle).validation) for v in (version, rival))
    pair = compare_predictions(new, old)
    pair |= {"a": f"version {version.number}", "b": f"version {rival.number}"}
    words = f"On validation images: {verdict(pair)}"
    if not pair["real"] or pair["difference"]["value"] <= 0:
        raise RegistryError(
            f"{version.name} version {version.number}: is not better than version {rival.number}, "
            f"so it was not promoted. {words}"
        )
    return words


def _find(client: "MlflowClient", reference: str, runs: Path) -> Version:
    name, _, alias = reference.partition("@")
    versions = [version for version in _search(client, runs) if version.name == name]
    for version in versions:
        if alias == str(version.number) or alias in version.aliases:
            return version
    there = ", ".join("@".join((name, a)) for v in versions for a in (str(v.number), *v.aliases))
    raise RegistryError(
        f"{reference}: not in the registry of {runs}, which has "
        f"{there or f'no model {name}'}; `clearsight registry list` shows all"
    )


def _search(client: "MlflowClient", runs: Path) -> list[Version]:
    found = []
    for model in client.search_registered_models():
        aliases = model.aliases  # alias → number, which a search for versions leaves out
        for each in client.search_model_versions(f"name = '{model.name}'"):
            named = sorted(alias for alias, number in aliases.items() if number == each.version)
            found.append(_version(each, runs, tuple(named)))
    return sorted(found, key=lambda version: (version.name, version.number))


def _version(found: Any, runs: Path, aliases: tuple[str, ...] = ()) -> Version:
    folder = runs / STORE / found.name / found.tags["checksum"][:16]
    return Version(
        name=found.name, number=int(found.version), aliases=aliases,
        created=int(found.creation_timestamp), tags=dict(found.tags), bundle=folder / FOLDER,
    )  # fmt: skip


def _facts(bundle: Bundle) -> dict[str, str]:
    """The tags of a version: what it reached, by which recipe, on which data."""
    facts: dict[str, Any] = {"architecture": bundle.architecture}
    facts |= {key: bundle.metrics.get(key) for key in ("split", "n", "tta", "loss")}
    for metric in ("accuracy", "accuracy_without_tta"):
        for key, value in bundle.metrics.get(metric, {}).items():
            facts[f"{metric}.{key}"] = value
    for key in ("recipe", "recipe_hash", "data", "split_hash", "seed"):
        facts[key] = bundle.provenance.get(key)
    return {key: str(value) for key, value in facts.items() if value is not None}


@contextmanager
def _registry(runs: Path) -> Generator["MlflowClient"]:
    """MLflow's client on the local store; what it refuses becomes a `RegistryError`."""
    uri = store_uri(runs)
    if database(uri) is None:
        raise UsageError(
            f"registry: found MLFLOW_TRACKING_URI = {uri}, but the registry keeps bundles beside "
            "the runs; unset it for this command"
        )
    runs.mkdir(parents=True, exist_ok=True)
    client = open_client(uri)
    from mlflow.exceptions import MlflowException

    try:
        yield client
    except MlflowException as error:
        raise RegistryError(f"registry of {runs}: MLflow refused ({error.message})") from error

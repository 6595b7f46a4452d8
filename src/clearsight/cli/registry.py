"""The commands of the registry: add, list, promote, get."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from clearsight.cli import output
from clearsight.cli.options import Json
from clearsight.wording import percent

if TYPE_CHECKING:
    from clearsight.bundle.registry import Version

app = App(name="registry", help="Keep bundles as versions of named models.")

Name = Annotated[str, Parameter(help="name of the model")]
Runs = Annotated[Path, Parameter(help="where the run folders and the registry are")]


@app.command
def add(
    bundle: Annotated[Path, Parameter(help="a bundle folder")],
    name: Name,
    /,
    *,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Copy a bundle into the registry as the next version of a model."""
    from clearsight.bundle.registry import add_version

    _show([add_version(bundle, name, runs)], as_json=as_json)


@app.command(name="list")
def list_(*, runs: Runs = Path("runs"), as_json: Json = False) -> None:
    """List the versions of all models."""
    from clearsight.bundle.registry import list_versions

    _show(list_versions(runs), as_json=as_json)


@app.command
def promote(
    name: Name,
    version: Annotated[int, Parameter(help="number of the version")],
    /,
    *,
    alias: Annotated[str, Parameter("--as", help="the alias, such as champion")],
    if_better_than: Annotated[
        str | None,
        Parameter(help="only if significantly better on validation images than this alias"),
    ] = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Move an alias to a version."""
    from clearsight.bundle import registry as versions

    done = versions.promote(name, version, alias, better_than=if_better_than, runs=runs)
    if as_json:
        output.show_json({"version": _row(done.version), "verdict": done.verdict})
        return
    output.show_lines([f"{name}@{alias} is version {version}"])
    if done.verdict is not None and done.rival is not None:
        output.show_lines(
            [
                done.verdict,
                *(f"for information, {_measured(v)}" for v in (done.version, done.rival)),
            ]
        )


@app.command
def get(
    reference: Annotated[str, Parameter(help="NAME@ALIAS or NAME@VERSION")],
    /,
    *,
    out: Annotated[Path, Parameter(help="folder for the bundle; must not exist")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Copy the bundle of a version out of the registry."""
    from clearsight.bundle.format import check_out, copy_bundle, read_bundle
    from clearsight.bundle.registry import find_version
    from clearsight.errors import UsageError
    from clearsight.files import replacing

    if out.exists():
        raise UsageError(f"{out}: exists already; choose another --out")
    check_out(out)
    bundle = read_bundle(find_version(reference, runs).bundle)
    with replacing(out) as folder:
        copy_bundle(bundle, folder)
    output.show_path("bundle", out, as_json=as_json)


def bundle_folder(place: Path) -> Path:
    """`place`, or the bundle that it refers to as `NAME@ALIAS` in the registry of `runs`."""
    if "@" in str(place):
        from clearsight.bundle.registry import find_version, is_reference

        if is_reference(place):
            return find_version(str(place)).bundle
    return place


def _show(versions: "list[Version]", *, as_json: bool) -> None:
    if as_json:
        output.show_json({"versions": [_row(version) for version in versions]})
        return
    if not versions:
        output.show_lines(["no versions yet; `clearsight registry add BUNDLE NAME` makes one"])
        return
    output.show_table(
        ["name", "version", "aliases", "accuracy", "95 % interval", "n", "measured on", "recipe",
         "data", "added"],
        [
            [
                v.name, str(v.number), " ".join(v.aliases) or "–",
                _accuracy(v), output.interval(_ends(v)),
                v.tags.get("n", "–"), v.tags.get("split", "–"), v.tags.get("recipe", "–"),
                v.tags.get("data", "–"), _added(v),
            ]
            for v in versions
        ],
        optional=["n", "measured on", "data", "recipe", "added"],
    )  # fmt: skip


def _row(version: "Version") -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.number,
        "aliases": list(version.aliases),
        "added": _added(version),
        "bundle": str(version.bundle),
        "tags": version.tags,
    }


def _measured(version: "Version") -> str:
    ends = _ends(version)
    interval = f" (95 % interval {output.interval(ends)}, n = {version.tags['n']})" if ends else ""
    part = version.tags.get("split", "test")
    return f"{part} accuracy of version {version.number}: {_accuracy(version)}{interval}"


def _ends(version: "Version") -> dict[str, float]:
    """`low` and `high` of the accuracy's interval; empty where it was not measured."""
    tags = {end: version.tags.get(f"accuracy.{end}") for end in ("low", "high")}
    return {end: float(value) for end, value in tags.items() if value}


def _accuracy(version: "Version") -> str:
    value = version.tags.get("accuracy.value")
    return percent(float(value) if value else None)


def _added(version: "Version") -> str:
    return datetime.fromtimestamp(version.created / 1000, UTC).isoformat(timespec="seconds")

"""The commands on features: `embed` keeps them, `similar` searches by them."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clearsight.cli import output, registry
from clearsight.cli.encoding import one_line
from clearsight.cli.options import BundleFolder, DataDir, EngineName, Json, Strict, Truncated
from clearsight.cli.terminal import TerminalProgress
from clearsight.wording import counted

Images = Annotated[
    str,
    Parameter(help="a data set: a name or a path; or a folder of images without labels"),
]


def embed(
    bundle: BundleFolder,
    data: Images,
    /,
    *,
    out: Annotated[Path, Parameter(help="the parquet file to write")],
    engine: EngineName = "auto",
    data_dir: DataDir = None,
    truncated: Truncated = False,
    strict: Strict = False,
    as_json: Json = False,
) -> int:
    """Write the features of images to a parquet file, for search, clustering and the like.

    Files that can't be used are named on stderr, and the exit code is 1 at the end.
    """
    from clearsight.workflows.embed import embed

    errors: dict[str, str] = {}
    found = embed(
        registry.bundle_folder(bundle), data, out, engine=engine, data_dir=data_dir,
        truncated=truncated, on_error=None if strict else errors.__setitem__,
        progress=TerminalProgress(),
    )  # fmt: skip
    if as_json:
        output.show_json({**found, "errors": _listed(errors)})
    else:
        output.show_text(
            [
                f"features of {counted(found['n'], 'image')}, {found['dimensions']:,} numbers "
                f"each, in {found['features']}"
            ]
        )
    return _say(errors, as_json=as_json)


def similar(
    bundle: BundleFolder,
    image: Annotated[Path, Parameter(help="an image file")],
    data: Images,
    /,
    *,
    count: Annotated[int, Parameter(help="number of images to find")] = 11,
    out: Annotated[
        Path | None, Parameter(help="PNG file for a contact sheet of what was found")
    ] = None,
    engine: EngineName = "auto",
    data_dir: DataDir = None,
    truncated: Truncated = False,
    strict: Strict = False,
    as_json: Json = False,
) -> int:
    """Find the images that are most like one image, by the features of a bundle.

    Files that can't be used are named on stderr, and the exit code is 1 at the end.
    """
    from clearsight.workflows.embed import similar

    errors: dict[str, str] = {}
    found = similar(
        registry.bundle_folder(bundle), image, data, count=count, out=out, engine=engine,
        data_dir=data_dir, truncated=truncated,
        on_error=None if strict else errors.__setitem__, progress=TerminalProgress(),
    )  # fmt: skip
    if as_json:
        output.show_json({"similar": found, "errors": _listed(errors)})
    else:
        labelled = any(row["label"] is not None for row in found)
        output.show_table(
            ["similarity", *["label"] * labelled, "file"],
            [
                [f"{row['similarity']:.3f}", *[row["label"]] * labelled, row["file"] or row["id"]]
                for row in found
            ],
        )
        if out is not None:
            output.show_text([f"contact sheet {out}"])
    return _say(errors, as_json=as_json)


def _listed(errors: dict[str, str]) -> list[dict[str, str]]:
    return [{"file": file, "error": error} for file, error in errors.items()]


def _say(errors: dict[str, str], *, as_json: bool) -> int:
    """Names the files that could not be used on stderr; the exit code."""
    if not as_json:
        for file, error in errors.items():
            sys.stderr.write(f"error: {one_line(file)}: {error}\n")
    return output.say_unusable(len(errors))

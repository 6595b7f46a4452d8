"""The commands that share bundles on the Hugging Face hub: push, pull."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clearsight.cli import output
from clearsight.cli.options import Json
from clearsight.cli.registry import bundle_folder

Repository = Annotated[str, Parameter(help="the repository on the hub, OWNER/NAME")]


def push(
    bundle: Annotated[Path, Parameter(help="a bundle folder, or NAME@ALIAS of the registry")],
    repository: Repository,
    /,
    *,
    private: Annotated[
        bool,
        Parameter(help="a repository that only its owner sees", negative="", show_default=False),
    ] = False,
    revision: Annotated[str | None, Parameter(help="branch; default: main")] = None,
    as_json: Json = False,
) -> None:
    """Upload a bundle to the Hugging Face hub, for clearsight and, where it can, for timm.

    The token comes from HF_TOKEN, or from `hf auth login`.
    """
    from clearsight.bundle import hub
    from clearsight.bundle.hub_card import timm_name

    done = hub.push(bundle_folder(bundle), repository, private=private, revision=revision)
    if as_json:
        output.show_json(
            {"url": done.url, "private": done.private, "files": done.files,
             "not_timm": done.not_timm}
        )  # fmt: skip
        return
    output.show_table(
        ["uploaded", "bytes"], [[name, f"{size:,}"] for name, size in done.files.items()]
    )
    output.show_text(
        [
            f"{'private' if done.private else 'public'}  {done.url}",
            f'timm     timm.create_model("{timm_name(repository, revision)}", pretrained=True)'
            if done.not_timm is None
            else f"timm can't load it: {done.not_timm}",
        ]
    )


def pull(
    repository: Repository,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="folder for the bundle, which must not exist; default: NAME")
    ] = None,
    revision: Annotated[str | None, Parameter(help="branch, tag or commit; default: main")] = None,
    as_json: Json = False,
) -> None:
    """Download a bundle from the Hugging Face hub, and verify its checksums."""
    from clearsight.bundle import hub

    path = hub.pull(repository, out=out, revision=revision)
    output.show_path("bundle", path, as_json=as_json)

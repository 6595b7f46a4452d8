"""The command that serves a bundle."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clearsight.cli import registry
from clearsight.cli.options import BundleFolder
from clearsight.cli.terminal import TerminalProgress
from clearsight.errors import UsageError

PARTS = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    bundle: BundleFolder,
    /,
    *,
    host: Annotated[str, Parameter(help="address to listen at")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="port to listen at; 0: any free one")] = 8000,
    name: Annotated[
        tuple[str, ...],
        Parameter(
            help="a further host name by which the service is reached; may be repeated",
            show_default=False,
        ),
    ] = (),
    token_file: Annotated[
        Path | None,
        Parameter(help="file with the token that requests must bear; default: $CLEARSIGHT_TOKEN"),
    ] = None,
    without_token: Annotated[
        bool,
        Parameter(help="let other machines in without a token", show_default=False),
    ] = False,
    keep: Annotated[
        Path | None, Parameter(help="folder for images whose label a visitor corrects")
    ] = None,
    samples: Annotated[
        Path | None, Parameter(help="folder of images that the page offers to try")
    ] = None,
    openapi: Annotated[
        bool, Parameter(help="serve the API's description at /openapi.json", show_default=False)
    ] = False,
    max_bytes: Annotated[int, Parameter(help="bytes of a request, at most")] = 32 * 2**20,
    max_megapixels: Annotated[float, Parameter(help="megapixels of an image, at most")] = 64,
    max_images: Annotated[int, Parameter(help="images of a request, at most")] = 64,
    max_seconds: Annotated[float, Parameter(help="seconds of a request, at most")] = 30,
    queue: Annotated[
        int, Parameter(help="requests at work and images waiting, at most; then 503")
    ] = 64,
) -> None:
    """Serve a bundle: a page to try the model, and an HTTP API. Stop it with Ctrl-C.

    Only this machine can reach it, unless --host says otherwise.
    """
    if missing := [part for part in PARTS if find_spec(part) is None]:
        raise UsageError(
            f"serve: {', '.join(missing)} not installed; pip install 'clearsight[serve]'"
        )
    from clearsight.serve import settings as allowed
    from clearsight.serve.samples import check_samples

    token = allowed.read_token(token_file)
    allowed.check_bind(host, token, without_token=without_token)
    settings = allowed.Settings(
        body=max_bytes, megapixels=max_megapixels, images=max_images, seconds=max_seconds,
        queue=queue, token=token, loopback=allowed.is_loopback(host),
        hosts=tuple(each.lower() for each in name), keep=keep, samples=samples,
        openapi=openapi,
    )  # fmt: skip
    if keep is not None:
        allowed.check_keep(keep)
    if samples is not None:
        check_samples(samples)
    from clearsight.bundle.predict import load
    from clearsight.serve.server import serve

    predictor = load(registry.bundle_folder(bundle), engine="auto")
    serve(predictor, settings, host, port, TerminalProgress().say)

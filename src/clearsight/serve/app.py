"""The routes of the service."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

import clearsight
from clearsight.bundle.conversion.web import PAGE as SHARED
from clearsight.bundle.format import CARD
from clearsight.bundle.predict import Predictor, prediction
from clearsight.data.formats import IMAGE_SUFFIXES
from clearsight.errors import UsageError
from clearsight.serve.explaining import BusyError, Form
from clearsight.serve.guard import Admission, Guard
from clearsight.serve.keeping import MOST, KeptEnoughError, keep
from clearsight.serve.metrics import MEDIA_TYPE, Counted
from clearsight.serve.problems import ProblemError, overloaded, problem
from clearsight.serve.samples import Sample, find_samples
from clearsight.serve.samples import picture as picture_of
from clearsight.serve.service import Seen, Service
from clearsight.serve.settings import Settings

PAGE = Path(__file__).parent / "page"
FILES = {  # of the page, by their path
    "/": PAGE / "index.html",
    "/app.js": PAGE / "app.js",
    "/serve.css": PAGE / "serve.css",
    "/style.css": SHARED / "style.css",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_SEVERAL = {
    "schema": {
        "type": "object",
        "properties": {"files": {"type": "array", "items": _BINARY["schema"]}},
    }
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _SEVERAL, "image/*": _BINARY},
    }
}
_SUFFIXES = frozenset(IMAGE_SUFFIXES)

Class = Annotated[
    str | None, Query(alias="class", description="class to explain; default: the likeliest")
]


def create_app(predictor: Predictor, settings: Settings) -> ASGIApp:
    """The service of a loaded bundle, as an ASGI application behind its guard."""
    service = Service(predictor, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="clearsight", version=clearsight.__version__, lifespan=lifespan,
        openapi_url="/openapi.json" if settings.openapi else None,
        docs_url=None, redoc_url=None,  # their scripts lie at foreign addresses
    )  # fmt: skip
    _add_errors(app)
    _add_model(app, service)
    _add_answers(app, service)
    _add_feedback(app, service)
    _add_samples(app, service)
    _add_page(app)
    paths = [str(getattr(route, "path", "")) for route in app.routes]
    return Counted(Guard(Admission(app, settings.queue), settings), service.metrics, paths)


def _add_errors(app: FastAPI) -> None:
    """Every error is a problem in JSON."""

    @app.exception_handler(ProblemError)
    async def refused(_: Request, error: ProblemError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = error.errors()[0]
        return problem(422, f"{found['loc'][-1]}: {found['msg']}")

    @app.exception_handler(BusyError)
    async def busy(_: Request, __: BusyError) -> Response:
        return overloaded("enough heatmaps are waited for; try again in a second").response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return problem(400, "the client went away")  # nobody hears it

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> Response:
        return problem(500, "a bug in clearsight; the service's log has its traceback")


def _add_model(app: FastAPI, service: Service) -> None:
    about, card = _about(service), service.bundle.path / CARD

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        """What the model takes and tells apart, how right it is, and this service's limits."""
        return about

    @app.get("/v1/card", response_class=Response)
    async def model_card() -> Response:
        """The model card, as Markdown."""
        return FileResponse(card, media_type="text/markdown; charset=utf-8")

    @app.get("/v1/methods")
    async def methods() -> dict[str, str]:
        """The methods of heatmaps: their titles by name. The first call loads torch."""
        async with service.in_time():
            return await service.heatmaps.methods()

    @app.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        """Whether the model has computed its first image."""
        if not service.ready:
            raise overloaded("not ready")
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters, for Prometheus."""
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)


def _add_answers(app: FastAPI, service: Service) -> None:
    bundle = service.bundle

    @app.post("/v1/predict", openapi_extra=BODY)
    async def predict(
        request: Request,
        sure: float | None = None,
        coverage: float | None = None,
        familiar: bool = False,
        picture: bool = False,
    ) -> Response:
        """Classify images; those that can't be used have an `error` in their place."""
        asked = service.asked(sure, coverage, familiar=familiar)
        async with service.in_time():
            found = []
            for each, answers in await service.answers(await service.seen(request)):
                name = each.upload.name
                if answers is None or each.pixels is None:
                    found.append({"file": name, "error": each.error})
                    continue
                unlike = None if answers.unlike is None else float(answers.unlike)
                row = answers.probabilities
                said = prediction(name, row, unlike, bundle.classes, asked).to_dict()
                if picture:
                    said["picture"] = picture_of(each.pixels)
                found.append(said)
        return JSONResponse({"predictions": found})

    @app.post("/v1/embed", openapi_extra=BODY)
    async def embed(request: Request) -> Response:
        """What the network gives to its head, for search, clustering and the like."""
        if bundle.features is None:
            raise ProblemError(404, "this bundle's graph gives no features; export its run anew")
        async with service.in_time():
            found = [
                {"file": each.upload.name, "error": each.error}
                if answers is None or answers.features is None
                else {"file": each.upload.name, "features": answers.features.tolist()}
                for each, answers in await service.answers(await service.seen(request))
            ]
        return JSONResponse({"dimensions": bundle.features, "embeddings": found})

    @app.post("/v1/explain", openapi_extra=BODY)
    async def explain(
        request: Request,
        target: Class = None,
        method: str = "focused-gradients",
        form: Form = "overlay",
    ) -> Response:
        """Where the model looks for a class: a PNG over the image, as a layer, or a map in JSON."""
        if target is not None and target not in bundle.classes:
            raise ProblemError(422, f"class: found {target[:60]!r}, no class of this model")
        async with service.in_time():
            upload, pixels = await service.one(request)
            if target is None:
                ((_, answers),) = await service.answers([Seen(upload, pixels, None)])
                assert answers is not None
                target = bundle.classes[int(answers.probabilities.argmax())]
            k = bundle.classes.index(target)
            try:
                if form == "map":
                    found = await service.heatmaps.heatmap(pixels, k, method)
                    content = {"class": target, "method": method, "map": found.tolist()}
                    return JSONResponse(content)
                drawn = await service.heatmaps.picture(pixels, k, method, form)
            except UsageError as error:
                raise ProblemError(422, str(error)) from error
        return Response(drawn, media_type="image/png")


def _add_feedback(app: FastAPI, service: Service) -> None:
    bundle, settings = service.bundle, service.settings

    @app.post("/v1/feedback", openapi_extra=BODY)
    async def feedback(request: Request, label: str) -> dict[str, str]:
        """Keep an image under its right label, where the service was started with a folder."""
        if settings.keep is None:
            raise ProblemError(404, "nothing is kept here; `clearsight serve --keep DIR` does")
        if label not in bundle.classes:
            raise ProblemError(422, f"label: found {label[:60]!r}, no class of this model")
        async with service.in_time():
            upload, _ = await service.one(request)
            suffix = Path(upload.name or "").suffix.lower()
            suffix = suffix if suffix in _SUFFIXES else ".img"
            try:
                kept = await run_in_threadpool(keep, settings.keep, upload.content, suffix, label)
            except KeptEnoughError:
                raise ProblemError(409, f"{MOST:,} images are kept already") from None
        return {"file": kept}


def _add_samples(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @cache
    def samples() -> list[Sample]:
        if settings.samples is None:
            return []
        return find_samples(settings.samples, service.bundle, settings.megapixels)

    @app.get("/v1/samples")
    async def list_samples() -> list[dict[str, str]]:
        """Images to try: their names, and how the model sees them."""
        found = await run_in_threadpool(samples)
        return [{"file": each.name, "picture": each.picture} for each in found]

    @app.get("/v1/samples/{number}", response_class=Response)
    async def sample(number: int) -> Response:
        """The file of a sample, by its place in the list."""
        found = await run_in_threadpool(samples)
        if not 0 <= number < len(found) or not found[number].path.is_file():
            raise ProblemError(404, f"sample: found {number}, of {len(found):,}")
        return FileResponse(found[number].path, media_type="application/octet-stream")


def _add_page(app: FastAPI) -> None:
    for path, file in FILES.items():
        app.add_api_route(path, _sender(file), methods=["GET", "HEAD"], include_in_schema=False)


def _sender(file: Path) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return FileResponse(file)

    return send


def _about(service: Service) -> dict[str, Any]:
    bundle, settings = service.bundle, service.settings
    metrics = bundle.metrics
    accuracy = metrics.get("accuracy_without_tta") or metrics.get("accuracy")
    measured = accuracy and {
        "accuracy": accuracy, "split": metrics.get("split"), "n": metrics.get("n"),
    }  # fmt: skip
    return {
        "architecture": bundle.architecture,
        "checksum": bundle.checksum,
        "input": {"size": bundle.size, "fit": bundle.fit},
        "classes": list(bundle.classes),
        "features": bundle.features,
        "calibration": bundle.calibration,
        "measured": measured or None,
        "limits": {
            "bytes": settings.body,
            "megapixels": settings.megapixels,
            "images": settings.images,
            "seconds": settings.seconds,
        },
        "keeps": settings.keep is not None,
    }

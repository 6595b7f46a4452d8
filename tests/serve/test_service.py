"""The API as its clients use it, and what it refuses."""

import io
import struct
import threading
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from matplotlib import colormaps
from PIL import Image

from clearsight.bundle.engines import Answers
from clearsight.bundle.predict import Predictor, load
from clearsight.data.sources import load_images
from clearsight.errors import UsageError
from clearsight.serve.app import create_app
from clearsight.serve.settings import Settings, check_bind, read_token

BUNDLE = Path(__file__).parents[1] / "bundle" / "v2"
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load(BUNDLE)


@contextmanager
def client(predictor: Predictor, **settings: Any) -> Generator[TestClient]:
    app = create_app(predictor, Settings(**settings))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as found:
        yield found


@pytest.fixture(scope="module")
def api(predictor: Predictor) -> Generator[TestClient]:
    with client(predictor, body=100_000, megapixels=0.01, images=3) as found:
        yield found


def png(seed: int = 0, width: int = 40, height: int = 25) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes whose header says so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + parts


def problem(response: Any, status: int) -> str:
    """The detail of a problem of that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    return found["detail"]


def test_answers_are_those_of_the_bundle(
    api: TestClient, predictor: Predictor, tmp_path: Path
) -> None:
    names = [tmp_path / f"{k} ü.png" for k in range(3)]
    for k, name in enumerate(names):
        name.write_bytes(png(k))
    expected = [each.to_dict() for each in predictor.predict(names)]
    (one,) = api.post("/v1/predict", content=png(0)).json()["predictions"]
    assert one.keys() == expected[0].keys()
    assert one["file"] is None
    assert one["label"] == expected[0]["label"]
    files = [("any", (name.name, name.read_bytes())) for name in names]
    several = api.post("/v1/predict", files=files).json()["predictions"]
    assert [each["file"] for each in several] == [name.name for name in names]
    for found, wanted in zip(several, expected, strict=True):
        assert found["label"] == wanted["label"]
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)


def test_promises_are_those_of_the_bundle(api: TestClient) -> None:
    promise = api.get("/v1/model").json()["calibration"]["sure"][0]
    unsure = next(
        (seed, found)
        for seed in range(200)
        if (found := ask(api, png(seed)))["probability"] <= promise["probability"]
    )
    held = ask(api, png(unsure[0]), sure=promise["accuracy"], coverage=0.99)
    assert held["label"] is None
    assert held["reason"] == "unsure"
    assert len(held["prediction_set"]) >= 1
    wrong = api.post("/v1/predict?sure=0.97", content=png())
    assert problem(wrong, 422) == "sure: found 0.97, but this bundle promises 0.95"


def ask(api: TestClient, content: bytes, **options: Any) -> dict[str, Any]:
    return api.post("/v1/predict", params=options, content=content).json()["predictions"][0]


def test_the_picture_is_what_the_model_sees(api: TestClient) -> None:
    assert "picture" not in ask(api, png())
    address = ask(api, png(), picture=True)["picture"]
    assert address.startswith("data:image/png;base64,")


def test_features_are_those_of_the_bundle(api: TestClient, predictor: Predictor) -> None:
    found = api.post("/v1/embed", content=png(4)).json()
    (expected,) = predictor.features(Image.open(io.BytesIO(png(4))))
    assert found["dimensions"] == len(expected) == 16
    assert found["embeddings"][0]["features"] == pytest.approx(expected.tolist(), abs=1e-4)
    old = replace(predictor, bundle=replace(predictor.bundle, features=None))
    with client(old) as api_of_old:
        assert "gives no features" in problem(api_of_old.post("/v1/embed", content=png()), 404)


def test_heatmaps_are_those_of_explain(api: TestClient, predictor: Predictor) -> None:
    from clearsight.data.images import fit_image
    from clearsight.explanation.heatmaps import heatmaps
    from clearsight.explanation.methods import explainer

    image = fit_image(Image.open(io.BytesIO(png())), 32, predictor.bundle.fit)
    explain = explainer(predictor.bundle.classifier(), (32, 32, 3), method="grad-cam")
    expected = heatmaps(explain(image[None], np.array([3])))[0].numpy()
    asked = {"class": "3", "method": "grad-cam"}
    found = api.post("/v1/explain", params={**asked, "form": "map"}, content=png()).json()
    assert found["class"] == "3"
    np.testing.assert_allclose(found["map"], expected, atol=1e-5)
    layer = api.post("/v1/explain", params={**asked, "form": "layer"}, content=png())
    with Image.open(io.BytesIO(layer.content)) as picture:
        colours = 255 * colormaps["inferno"](expected)[..., :3]
        np.testing.assert_allclose(np.asarray(picture), colours, atol=2)
    likeliest = ask(api, png())["label"]
    assert api.post("/v1/explain?form=map", content=png()).json()["class"] == likeliest
    assert "grad-cam" in api.get("/v1/methods").json()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("method=magic", "method: found 'magic', expected one of"),
        ("class=cat", "class: found 'cat', no class"),
        ("form=jpeg", "form: "),
    ],
)
def test_an_explanation_that_is_not_there_is_refused(
    api: TestClient, query: str, said: str
) -> None:
    assert said in problem(api.post(f"/v1/explain?{query}", content=png()), 422)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "body: is empty"),
        (b"GIF89a", 422, "can't be decoded"),
        (b"just text", 422, "is no PNG, JPEG"),
        (png()[:300], 422, "image: "),
        (bomb(60_000, 60_000), 422, "60,000 × 60,000 pixels, over the limit"),
        (bomb(101, 100), 422, "over the limit of 0.01 megapixels"),
        (bomb(1, 5000), 422, "one side over 64 times the other"),
        (bytes(100_001), 413, "larger than the limit of 100,000 bytes"),
    ],
    ids=["empty", "header", "text", "truncated", "bomb", "megapixels", "thread", "large"],
)
def test_a_hostile_file_costs_its_sender_an_error_only(
    api: TestClient, content: bytes, status: int, said: str
) -> None:
    for path in ("/v1/predict", "/v1/embed", "/v1/explain"):
        assert said in problem(api.post(path, content=content), status)
    assert ask(api, png())["label"]


def test_a_large_body_without_a_length_is_cut_off(api: TestClient) -> None:
    def parts() -> Generator[bytes]:
        for _ in range(1000):
            yield bytes(1000)

    assert "larger than" in problem(api.post("/v1/predict", content=parts()), 413)


def test_one_good_picture_is_never_lost_for_a_bad_one(api: TestClient) -> None:
    files = [("f", ("bad.png", b"no image")), ("f", ("good.png", png()))]
    bad, good = api.post("/v1/predict", files=files).json()["predictions"]
    assert bad["file"] == "bad.png"
    assert bad["error"].startswith("is no PNG")
    assert good["label"]
    assert "(and 1 more" in problem(api.post("/v1/predict", files=[files[0]] * 2), 422)


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"hello", "multipart/form-data", 400, "boundary"),
        (b"hello", "multipart/form-data; boundary=x", 400, "body: "),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400, "has no file"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
            "multipart/form-data; boundary=x", 413, "Too many fields",
        ),
    ],
)  # fmt: skip
def test_a_malformed_form_is_refused(
    api: TestClient, content: bytes, kind: str, status: int, said: str
) -> None:
    found = api.post("/v1/predict", content=content, headers={"Content-Type": kind})
    assert said in problem(found, status)


def test_too_many_images_are_refused(api: TestClient) -> None:
    files = [("f", (f"{k}.png", png())) for k in range(4)]
    assert "1 to 3 files" in problem(api.post("/v1/predict", files=files), 413)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[", ""])
def test_another_host_is_refused(api: TestClient, host: str) -> None:
    assert "Host" in problem(api.get("/v1/model", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_loopback_is_accepted(api: TestClient, host: str) -> None:
    assert api.get("/v1/model", headers={"Host": host}).status_code == 200


def test_names_and_addresses_beyond_loopback(predictor: Predictor) -> None:
    with client(predictor, loopback=False, hosts=("model.example",)) as api:
        for host, status in (("model.example", 200), ("10.0.0.1:80", 200), ("evil.example", 400)):
            assert api.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:81", "http://[", "file://localhost"]
)
def test_another_origin_is_refused(api: TestClient, origin: str) -> None:
    found = api.post("/v1/predict", content=png(), headers={"Origin": origin})
    assert "Origin" in problem(found, 403)
    assert "access-control-allow-origin" not in found.headers


def test_the_own_origin_is_accepted(api: TestClient) -> None:
    headers = {"Origin": "http://localhost"}
    assert api.post("/v1/predict", content=png(), headers=headers).status_code == 200


def test_the_token_is_asked_for_by_the_api_alone(predictor: Predictor) -> None:
    with client(predictor, token=TOKEN) as api:
        for path in ("/", "/healthz", "/readyz", "/app.js"):
            assert api.get(path).status_code == 200
        for given in ("", "Bearer", "Bearer 0123456789abcdeF", f"Basic {TOKEN}", "Bearer ü"):
            headers = [(b"Authorization", given.encode())]
            for path in ("/v1/model", "/metrics"):
                found = api.get(path, headers=headers)
                problem(found, 401)
                assert found.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "bearer"):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert api.get("/v1/model", headers=headers).status_code == 200


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLEARSIGHT_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("CLEARSIGHT_TOKEN", "a" * 16)
    assert read_token(None) == "a" * 16
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN
    file.write_text("short\n")
    with pytest.raises(UsageError, match="shorter than 16"):
        read_token(file)


def test_nobody_else_is_let_in_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "model.example"):
        with pytest.raises(UsageError, match="no token"):
            check_bind(host, None, without_token=False)
        check_bind(host, TOKEN, without_token=False)
        check_bind(host, None, without_token=True)
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        check_bind(host, None, without_token=False)


def test_every_answer_has_the_headers_that_browsers_keep_to(api: TestClient) -> None:
    for path in ("/", "/v1/model", "/nothing"):
        headers = api.get(path).headers
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
    assert problem(api.get("/nothing"), 404) == "Not Found"
    problem(api.get("/v1/predict"), 405)


def test_the_description_is_served_on_request_only(api: TestClient, predictor: Predictor) -> None:
    problem(api.get("/openapi.json"), 404)
    with client(predictor, openapi=True) as open_api:
        assert "/v1/predict" in open_api.get("/openapi.json").json()["paths"]
        problem(open_api.get("/docs"), 404)


class Slow:
    """An engine that waits until it is let go, and remembers the sizes of its batches."""

    def __init__(self, predictor: Predictor) -> None:
        self.go, self.started, self.sizes = threading.Event(), threading.Semaphore(0), []
        self._run, self._warm = predictor.run, False

    def __call__(self, pixels: np.ndarray) -> Answers:
        if self._warm:
            self.sizes.append(len(pixels))
            self.started.release()
            assert self.go.wait(20)
        self._warm = True
        return self._run(pixels)


def in_background(api: TestClient, found: list[int]) -> threading.Thread:
    def ask_one() -> None:
        found.append(api.post("/v1/predict", content=png()).status_code)

    thread = threading.Thread(target=ask_one)
    thread.start()
    return thread


def test_what_comes_meanwhile_is_computed_together_and_a_full_queue_refuses(
    predictor: Predictor,
) -> None:
    slow, found = Slow(predictor), []
    with client(replace(predictor, run=slow), queue=5, images=5) as api:
        threads = [in_background(api, found)]
        assert slow.started.acquire(timeout=20)
        threads += [in_background(api, found) for _ in range(4)]
        while "clearsight_waiting_images 4.0" not in api.get("/metrics").text:
            pass
        refused = api.post("/v1/predict", content=png())
        assert "at work" in problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        slow.go.set()
        for thread in threads:
            thread.join()
    assert found == [200] * 5
    assert slow.sizes == [1, 4]


def test_images_of_a_request_find_room_together_or_not_at_all(predictor: Predictor) -> None:
    slow, found = Slow(predictor), []
    with client(replace(predictor, run=slow), queue=4, images=4) as api:
        threads = [in_background(api, found)]
        assert slow.started.acquire(timeout=20)
        threads.append(in_background(api, found))
        while "clearsight_waiting_images 1.0" not in api.get("/metrics").text:
            pass
        files = [("f", (f"{k}.png", png())) for k in range(4)]
        assert "queue" in problem(api.post("/v1/predict", files=files), 503)
        slow.go.set()
        for thread in threads:
            thread.join()
    assert found == [200, 200]
    assert slow.sizes == [1, 1]


def test_a_request_ends_when_its_time_is_over(predictor: Predictor) -> None:
    slow = Slow(predictor)
    with client(replace(predictor, run=slow), seconds=0.2) as api:
        assert "within 0.2 seconds" in problem(api.post("/v1/predict", content=png()), 503)
        slow.go.set()
        assert ask(api, png())["label"]


def test_an_engine_that_fails_costs_those_who_asked_only(predictor: Predictor) -> None:
    failing = iter([False, True, False])

    def run(pixels: np.ndarray) -> Answers:
        if next(failing):
            raise RuntimeError("no memory")
        return predictor.run(pixels)

    with client(replace(predictor, run=run)) as api:
        assert "bug" in problem(api.post("/v1/predict", content=png()), 500)
        assert ask(api, png())["label"]


def test_a_corrected_image_becomes_training_data(predictor: Predictor, tmp_path: Path) -> None:
    with client(predictor) as api:
        found = api.post("/v1/feedback?label=3", content=png())
        assert "nothing is kept" in problem(found, 404)
    folder = tmp_path / "kept"
    with client(predictor, keep=folder) as api:
        for k, (label, name) in enumerate((("3", "../../a.png"), ("5", "b.exe"), ("7", "c.PNG"))):
            files = {"f": (name, png(k))}
            assert api.post(f"/v1/feedback?label={label}", files=files).status_code == 200
        api.post("/v1/feedback?label=4", files={"f": ("a.png", png(0))})
        assert api.post("/v1/feedback?label=9", content=png(3)).status_code == 200
        problem(api.post("/v1/feedback?label=../x", content=png()), 422)
        problem(api.post("/v1/feedback?label=3", content=b"no image"), 422)
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}
    images = load_images(str(folder / "labels.csv"))
    assert sorted(images.classes[k] for k in images.labels) == ["4", "5", "7", "9"]


def test_samples_are_spread_over_a_folder(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    for k in range(50):
        (tmp_path / "class" / f"{k:02}.png").write_bytes(png(k))
    with client(predictor, samples=tmp_path) as api:
        found = api.get("/v1/samples").json()
        assert [each["file"] for each in found] == [f"class/{k:02}.png" for k in range(0, 48, 2)]
        assert api.get("/v1/samples/1").content == png(2)
        for wrong, status in (("24", 404), ("-1", 404), ("..%2F..", 404), ("x", 422)):
            problem(api.get(f"/v1/samples/{wrong}"), status)
    with client(predictor) as api:
        assert api.get("/v1/samples").json() == []


def test_metrics_count_requests_by_known_paths_only(api: TestClient) -> None:
    api.get("/some/made/up/path")
    text = api.get("/metrics").text
    assert "made" not in text
    assert 'clearsight_requests_total{path="other",status="404"}' in text


def test_damaged_bodies_never_cost_more_than_an_error(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    image = Image.open(io.BytesIO(png()))
    whole = []
    for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"):
        file = io.BytesIO()
        image.save(file, form)
        whole.append(file.getvalue())
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n'
    whole.append(head + png() + b"\r\n" + head + b"no image\r\n--x--\r\n")
    with client(predictor) as api:
        for k in range(40 * len(whole)):
            content = bytearray(whole[k % len(whole)])
            for _ in range(rng.integers(1, 8)):
                content[rng.integers(min(len(content), 300))] = rng.integers(256)
            cut = int(rng.integers(len(content))) if k % 3 == 0 else len(content)
            kinds = ("image/png", "multipart/form-data; boundary=x", "", "text/plain; charset=ü")
            kind = kinds[1 if k % len(whole) == len(whole) - 1 else k % 4]
            found = api.post(
                "/v1/predict",
                content=bytes(content[:cut]),
                headers=[(b"Content-Type", kind.encode())],
            )
            assert found.status_code in (200, 400, 413, 422), (k, found.text)
        assert ask(api, png())["label"]

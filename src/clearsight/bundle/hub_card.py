"""`README.md` of a bundle on the model hub: its card, with the metadata that the hub reads."""

import re

from huggingface_hub import EvalResult, ModelCardData

from clearsight.bundle.format import CARD, Bundle
from clearsight.files import read_text

LIBRARY = "clearsight"
_METADATA = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)

PULL = """\
```sh
clearsight pull {repository}{flag}
clearsight predict {name} image.png
```

or, in Python, `clearsight.load(clearsight.pull("{repository}"{argument}))`.
The files are in `bundle/`."""

TIMM = """\
```python
import timm, torch
from PIL import Image

model = timm.create_model("{name}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
logits = model(transform(Image.open("image.png").convert("RGB"))[None])
probabilities = (logits / {temperature!r}).softmax(1)
```

timm's model gives raw logits. {division}"""


def hub_card(
    bundle: Bundle, repository: str, not_timm: str | None, revision: str | None = None
) -> str:
    """Markdown under YAML; `not_timm`: why timm can't load the model, None where it can."""
    text = _METADATA.sub("", read_text(bundle.path / CARD))
    name = repository.partition("/")[2]
    sections = [
        text.strip(),
        "## From the Hugging Face hub",
        PULL.format(
            repository=repository,
            name=name,
            flag=f" --revision {revision}" if revision else "",
            argument=f', revision="{revision}"' if revision else "",
        ),
        "### With timm",
        f"timm can't load this model: {not_timm}."
        if not_timm is not None
        else _with_timm(bundle, timm_name(repository, revision)),
    ]
    front = _metadata(bundle, name, "timm" if not_timm is None else LIBRARY).to_yaml()
    return f"---\n{front}\n---\n\n" + "\n\n".join(sections) + "\n"


def timm_name(repository: str, revision: str | None) -> str:
    """By which `timm.create_model` knows the model."""
    return f"hf-hub:{repository}@{revision}" if revision else f"hf-hub:{repository}"


def _with_timm(bundle: Bundle, name: str) -> str:
    temperature = bundle.calibration["temperature"] if bundle.calibration else 1.0
    division = (
        "The temperature by which they are divided here is what makes them the bundle's "
        "calibrated probabilities."
        if bundle.calibration
        else "The bundle was not calibrated, so they are divided by 1."
    )
    text = TIMM.format(name=name, temperature=temperature, division=division)
    given = bundle.preprocessing["size"] or bundle.size
    text += (
        f" On an image of {given} × {given} px they are the bundle's but for rounding. Other "
        "images are resized and padded a little differently by timm, and their logits differ "
        "slightly."
    )
    if given != bundle.size:
        text += (
            f" The bundle reduces every image to {bundle.size} × {bundle.size} px before it "
            f"enlarges it to {given} px; timm does not, so reduce larger images yourself."
        )
    return text


def _metadata(bundle: Bundle, name: str, library: str) -> ModelCardData:
    tags = dict.fromkeys(["image-classification", LIBRARY, library, "onnx", bundle.architecture])
    data, metrics = bundle.provenance.get("data"), bundle.metrics
    accuracy = metrics.get("accuracy_without_tta", metrics.get("accuracy"))
    slug = re.sub(r"[^a-z0-9]+", "-", str(data or "").lower()).strip("-")
    results = None
    if accuracy is not None:
        results = [
            EvalResult(
                task_type="image-classification",
                dataset_type=slug or "unknown",
                dataset_name=str(data or "unknown"),
                dataset_split=metrics["split"],
                metric_type="accuracy",
                metric_name=f"accuracy (n = {metrics['n']}, one view)",
                metric_value=round(accuracy["value"], 6),
            )
        ]
    return ModelCardData(
        library_name=library,
        pipeline_tag="image-classification",
        tags=list(tags),
        datasets=[slug] if slug else None,
        metrics=["accuracy"] if results else None,
        model_name=name,
        eval_results=results,
    )

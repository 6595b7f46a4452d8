"""A new run that starts from trained weights: how right they are before training."""

from clearsight.evaluation.kept import before_training
from clearsight.evaluation.metrics import as_probabilities, predict_logits
from clearsight.files import write_json
from clearsight.models.classifier import Classifier
from clearsight.models.own import find_trained, told
from clearsight.progress import SILENT, Progress
from clearsight.workflows.loading import LoadedRun


def note_start(loaded: LoadedRun, model: Classifier, progress: Progress = SILENT) -> None:
    """Says what `model` kept of trained weights, and writes `start.json`; else does nothing.

    The file says how right the weights were, with the views of the recipe, on the measured images
    of classes that they knew. Nothing is chosen by it.
    """
    trained = find_trained(loaded.config.model.weights)
    if trained is None:
        return
    for sentence in told(trained, model, loaded.images.fit):
        progress.say(sentence)
    part, indices = loaded.measured()
    averaged, _ = predict_logits(
        trained.model, loaded.images.images[indices], tta=loaded.config.evaluation.tta,
        progress=progress, name=f"measuring {trained.source} on {part}",
    )  # fmt: skip
    found = before_training(
        as_probabilities(averaged, trained.model.temperature), trained.model.classes,
        loaded.images.labels[indices], model.classes,
    )  # fmt: skip
    if found is not None:
        write_json(loaded.run.start, {"source": trained.source, "part": part, **found})

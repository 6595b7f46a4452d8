"""clearsight trains, evaluates, explains and exports classifiers of small images.

The names in `__all__` are imported when they are first used, so that `import clearsight` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearsight.bundle.hub import pull, push
    from clearsight.bundle.predict import load
    from clearsight.config.recipes import load_recipe
    from clearsight.data.memory import from_arrays
    from clearsight.data.sources import load_images
    from clearsight.data.splits import split
    from clearsight.errors import ClearsightError
    from clearsight.estimator import ClearsightClassifier
    from clearsight.evaluation.compare import compare_runs as compare
    from clearsight.figures.run import draw_augmentation
    from clearsight.runs import Run
    from clearsight.workflows.audit import audit
    from clearsight.workflows.doubt import doubt
    from clearsight.workflows.embed import embed, similar
    from clearsight.workflows.evaluate import evaluate
    from clearsight.workflows.explain import explain
    from clearsight.workflows.export import export
    from clearsight.workflows.folds import cross_validate
    from clearsight.workflows.robustness import evaluate_corruptions
    from clearsight.workflows.train import resume, train

    __version__: str

__all__ = [
    "ClearsightClassifier",
    "ClearsightError",
    "Run",
    "__version__",
    "audit",
    "compare",
    "cross_validate",
    "doubt",
    "draw_augmentation",
    "embed",
    "evaluate",
    "evaluate_corruptions",
    "explain",
    "export",
    "from_arrays",
    "load",
    "load_images",
    "load_recipe",
    "pull",
    "push",
    "resume",
    "similar",
    "split",
    "train",
]

_HOMES = {
    "ClearsightClassifier": "clearsight.estimator:ClearsightClassifier",
    "ClearsightError": "clearsight.errors:ClearsightError",
    "Run": "clearsight.runs:Run",
    "audit": "clearsight.workflows.audit:audit",
    "compare": "clearsight.evaluation.compare:compare_runs",
    "cross_validate": "clearsight.workflows.folds:cross_validate",
    "doubt": "clearsight.workflows.doubt:doubt",
    "draw_augmentation": "clearsight.figures.run:draw_augmentation",
    "embed": "clearsight.workflows.embed:embed",
    "evaluate": "clearsight.workflows.evaluate:evaluate",
    "evaluate_corruptions": "clearsight.workflows.robustness:evaluate_corruptions",
    "explain": "clearsight.workflows.explain:explain",
    "export": "clearsight.workflows.export:export",
    "from_arrays": "clearsight.data.memory:from_arrays",
    "load": "clearsight.bundle.predict:load",
    "load_images": "clearsight.data.sources:load_images",
    "load_recipe": "clearsight.config.recipes:load_recipe",
    "pull": "clearsight.bundle.hub:pull",
    "push": "clearsight.bundle.hub:push",
    "resume": "clearsight.workflows.train:resume",
    "similar": "clearsight.workflows.embed:similar",
    "split": "clearsight.data.splits:split",
    "train": "clearsight.workflows.train:train",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("clearsight")
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'clearsight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

"""clearsight trains, judges, explains and ships classifiers of small images.

The names in `__all__` are imported when they are first used, so that `import clearsight` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearsight.bundle.predict import load
    from clearsight.config.recipes import load_recipe
    from clearsight.data.sources import load_images
    from clearsight.data.splits import split
    from clearsight.workflows.evaluate import evaluate
    from clearsight.workflows.explain import explain
    from clearsight.workflows.export import export
    from clearsight.workflows.train import train

    __version__: str

__all__ = [
    "__version__",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_images",
    "load_recipe",
    "split",
    "train",
]

_HOMES = {
    "evaluate": "clearsight.workflows.evaluate",
    "explain": "clearsight.workflows.explain",
    "export": "clearsight.workflows.export",
    "load": "clearsight.bundle.predict",
    "load_images": "clearsight.data.sources",
    "load_recipe": "clearsight.config.recipes",
    "split": "clearsight.data.splits",
    "train": "clearsight.workflows.train",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("clearsight")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'clearsight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

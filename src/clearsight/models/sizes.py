"""Images that a network can't take, said in one sentence."""

from clearsight.errors import ConfigError, first_line
from clearsight.models.classifier import Classifier

# What networks raise where maps or tokens do not fit: torch's own, and asserts of timm's.
NETWORK_ERRORS = (
    RuntimeError, ValueError, AssertionError, TypeError, IndexError, KeyError, ArithmeticError,
)  # fmt: skip


def too_small(model: Classifier, side: int, error: Exception) -> ConfigError:
    """The error for images of `side` px on which the network failed with `error`."""
    size = model.preprocess.size
    if size is None:
        return ConfigError(
            f"data.size: {model.name} can't take images of {side} px ({first_line(error)}); set a "
            "larger one"
        )
    return unfit_size(model.name, size, model.expects.size if model.expects else None, error)


def unfit_size(name: str, size: int, expected: int | None, error: Exception) -> ConfigError:
    """The error for `model.size`; `expected`: the side that the weights expect, in px."""
    remedy = f"set {expected}, which it was made for" if expected not in (None, size) else ""
    return ConfigError(
        f"model.size: {name} can't take {size} px ({first_line(error)}); "
        f"{remedy or 'set another one, or name another network'}"
    )

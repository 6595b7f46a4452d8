"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Json = Annotated[
    bool, Parameter("--json", help="print one JSON object instead of text", show_default=False)
]
DataDir = Annotated[
    Path | None, Parameter(help="folder to search for data before $CLEARSIGHT_DATA and ./data")
]
Truncated = Annotated[
    bool,
    Parameter(help="use damaged images as far as they can be decoded", show_default=False),
]
RunFolder = Annotated[Path, Parameter(help="a run folder; `clearsight runs` lists them")]
Strict = Annotated[
    bool, Parameter(help="stop at the first file that can't be used", show_default=False)
]
MovedData = Annotated[
    str | None,
    Parameter(help="where the run's data are now, if they were moved; their ids are checked"),
]
Sure = Annotated[
    float | None,
    Parameter(help="accuracy, such as 0.99, below which no label is given but `unsure`"),
]
Coverage = Annotated[
    float | None,
    Parameter(help="share of images, such as 0.9, whose set of classes holds the true one"),
]
Familiar = Annotated[
    bool,
    Parameter(
        help="no label but `unlike` for images that seem unlike those of the training; no "
        "guarantee",
        show_default=False,
    ),
]
EngineName = Annotated[
    Literal["auto", "onnx", "int8", "torch"],
    Parameter(help="auto: ONNX Runtime if installed; int8: the graph that export --int8 adds"),
]
BundleFolder = Annotated[Path, Parameter(help="a bundle folder, or NAME@ALIAS of the registry")]

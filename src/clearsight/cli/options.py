"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Json = Annotated[
    bool, Parameter("--json", help="print one JSON object instead of text", show_default=False)
]
DataDir = Annotated[
    Path | None, Parameter(help="look for data here, before $CLEARSIGHT_DATA and ./data")
]
Truncated = Annotated[
    bool,
    Parameter(help="use damaged images as far as they can be decoded", show_default=False),
]
RunFolder = Annotated[Path, Parameter(help="a run folder; `clearsight runs` lists them")]
MovedData = Annotated[
    str | None,
    Parameter(help="where the run's data lie, if not where they were; their ids are checked"),
]

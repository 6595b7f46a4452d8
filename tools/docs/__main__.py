"""`python -m tools.docs render` fills in the documents, `… check` finds what is no longer true."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from clearsight.errors import ClearsightError
from clearsight.ledger import RESULTS
from tools.docs.charts import draw_charts
from tools.docs.checks import check_documents
from tools.docs.commands import command_problem, generators
from tools.docs.markers import render_files

app = App(
    name="python -m tools.docs",
    help="Render and check what the documents take from results and code.",
    help_format="plaintext",
)
Documents = Annotated[
    tuple[Path, ...], Parameter(help="Markdown files; default: those here and in docs")
]
RECIPES = Path("src/clearsight/recipes")  # their headers state numbers
Results = Annotated[Path, Parameter(help="folder of the ledger")]


@app.command
def render(files: Documents = (), /, *, results: Results = RESULTS) -> int:
    """Write numbers and figures from the ledger, references from the code; print changed files."""
    pages = files or documents()
    changed = render_files(pages, results, generators(results)) + draw_charts(pages, results)
    sys.stdout.writelines(f"{path}\n" for path in changed)
    return 0


@app.command
def check(files: Documents = (), /, *, results: Results = RESULTS) -> int:
    """Fail where a number, figure, command, name or link is wrong; print each file and line."""
    problems = check_documents(
        files or [*documents(), *sorted(RECIPES.glob("*.toml"))],
        results=results,
        generators=generators(results),
        command_problem=command_problem,
    )
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def documents() -> list[Path]:
    """The Markdown files of the repository and of its `docs`."""
    return [*sorted(Path().glob("*.md")), *sorted(Path("docs").rglob("*.md"))]


def main(tokens: list[str] | None = None) -> int:
    """Runs one command; an error is one sentence on stderr."""
    try:
        return app(tokens, result_action="return_value")
    except ClearsightError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

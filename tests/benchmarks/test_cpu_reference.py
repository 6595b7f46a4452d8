"""benchmarks/cpu_reference.py: what is recorded of the runs, and what is refused."""

import json
from pathlib import Path
from types import ModuleType

import pytest

RUNS = {
    "ours": [
        {"seconds": 30.0, "accuracy": 0.94},
        {"seconds": 40.0, "accuracy": 0.942},
        {"seconds": 20.0, "accuracy": 0.938},
    ],
    "reference": [{"seconds": 100.0, "accuracy": 0.93}, {"seconds": 100.0, "accuracy": 0.94}],
    "reference tuned": [],
}


def test_ratios_are_of_pairs_and_accuracies_of_all_runs(cpu_reference: ModuleType) -> None:
    found = cpu_reference.results(RUNS, "airnet94")
    assert found["ratios"] == {"reference": [0.3, 0.4]}
    assert found["runs"] == RUNS
    assert found["table"]["rows"] == [
        ["`airnet94`", "30 s", "1", "94.00 ± 0.20 %", "3"],
        ["airbench94_muon on a CPU", "100 s", "0.35 (0.30–0.40)", "93.50 ± 0.71 %", "2"],
    ]


def test_a_result_is_continued_only_with_the_same_recipe_and_reference(
    cpu_reference: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    about = {"recipe": {"lr": 1}, "reference": {"script.py": "abc"}}
    assert not any(cpu_reference.earlier(path, about).values())
    path.write_text(json.dumps({**about, "runs": RUNS}))
    assert cpu_reference.earlier(path, about) == RUNS
    with pytest.raises(SystemExit, match="is of another recipe or reference"):
        cpu_reference.earlier(path, about | {"recipe": {"lr": 2}})


def test_another_version_of_the_reference_is_refused(
    cpu_reference: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "airbench94_muon.py").write_text("print('hello')\n")
    with pytest.raises(SystemExit, match="this script knows another version"):
        cpu_reference.run_reference(tmp_path, None)

"""benchmarks/probabilities.py: what the documents show of judged probabilities."""

from types import ModuleType

from clearsight.evaluation.probabilities import judge_probabilities
from tests.evaluation.test_probabilities import CALIBRATION, LABELS, LOGITS


def test_scores_and_promises_become_rows(probabilities: ModuleType) -> None:
    judged = judge_probabilities(LOGITS, LABELS, CALIBRATION)
    views = {key: judged[key] for key in ("temperature", "before", "after")}
    judged["tta"] = {"views": "flip", **views}
    found = {"pets": {"n": 5, "validation_images": 100, "probabilities": judged}}

    scores = probabilities.scores_table(found)
    assert [row[:4] for row in scores["rows"]] == [
        ["pets", "one", "5", "2.000"],
        ["pets", "flip", "5", "2.000"],
    ]
    before, after = judged["before"]["nll"]["value"], judged["after"]["nll"]
    said = f"{before:.3f} → {after['value']:.3f} ({after['low']:.3f}–{after['high']:.3f})"
    assert scores["rows"][0][-1] == said

    promised = probabilities.promises_table(found)
    assert [row[2:] for row in promised["rows"]] == [
        ["`--sure 0.9`", "66.67 % (20.77–93.85)", "answers for 60.0 % of 5"],
        ["`--sure 0.99`", "–", "answers for 0.0 % of 5"],
        ["`--coverage 0.9`", "80.00 % (37.55–96.38)", "1.40 classes a set, of 5"],
    ]
    assert all(len(row) == len(promised["head"]) for row in promised["rows"])

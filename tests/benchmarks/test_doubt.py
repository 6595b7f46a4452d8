"""benchmarks/doubt.py: what is compared with six views, and how it is told."""

from types import ModuleType

import numpy as np


def test_images_in_doubt_and_labels_are_counted_against_six_views(doubt: ModuleType) -> None:
    mirrored = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.3, 0.7]])
    six = np.array([[0.8, 0.2], [0.4, 0.6], [0.45, 0.55], [0.6, 0.4]])
    # By hand: the leads are ln 9, ln 1.5, ln 1.5 and ln 2.33, so under 0.5 nats two are in doubt.
    some = np.where(np.array([0, 1, 1, 0])[:, None], six, mirrored)
    probabilities = {0.0: mirrored, 0.5: some, doubt.ALL: six}
    seconds = {0.0: [2.0, 1.0, 3.0], 0.5: [4.0], doubt.ALL: [6.0]}
    found = doubt.summary(probabilities, np.array([0, 1, 1, 1]), seconds)
    assert [row["in_doubt"] for row in found.values()] == [0, 0.5, 1]
    assert [row["other_labels"] for row in found.values()] == [2, 1, 0]
    assert [row["accuracy"] for row in found.values()] == [0.75, 1, 0.75]
    assert doubt.tabulated(found)["rows"] == [
        ["never (two views)", "0%", "2", "75.00%", "2.0 s"],
        ["under 0.5", "50%", "1", "100.00%", "4.0 s"],
        ["always (six views)", "100%", "0", "75.00%", "6.0 s"],
    ]

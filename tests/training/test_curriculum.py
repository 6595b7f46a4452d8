"""What a phase's steps show: smaller images first, and in time not those learnt best."""

import pytest
import torch

from clearsight.config.schema import PhaseConfig
from clearsight.training.curriculum import Curriculum


def curriculum(progress: float = 0.0, images: int = 10, **settings: object) -> Curriculum:
    made = Curriculum(PhaseConfig(**settings), images, torch.device("cpu"))  # ty: ignore
    made.progress = progress
    return made


def note(course: Curriculum, indices: list[int], losses: list[float]) -> None:
    """A step that saw these images with these losses: their logits are log probabilities."""
    right = -torch.tensor(losses, dtype=torch.float64)
    logits = torch.stack([right, torch.log1p(-right.exp())], 1).float()
    course.note(torch.tensor(indices), logits, torch.zeros(len(losses), dtype=torch.int64), 0.0)


@pytest.mark.parametrize(("progress", "shrinks"), [(0.0, True), (0.59, True), (0.6, False)])
def test_images_are_shrunk_up_to_a_fraction_of_the_phase(progress: float, shrinks: bool) -> None:
    assert curriculum(progress, shrink=0.75, shrink_until=0.6).shrinks is shrinks
    assert not curriculum(progress).shrinks


def test_the_cost_ahead_counts_pixels() -> None:
    # Half of what is left is at 16 px, half at 32 px, which costs four times as much.
    assert curriculum(0.5, shrink=0.5, shrink_until=0.75).ahead == 2.5
    assert curriculum(0.5, shrink=0.5, shrink_until=1.0).ahead == 1.0
    assert curriculum(0.8, shrink=0.5, shrink_until=0.75).ahead == 1.0
    assert curriculum(0.5).ahead == 1.0


def test_what_was_learnt_best_is_left_out_and_comes_back() -> None:
    course = curriculum(0.5, skip=0.3)
    losses = [0.9, 0.1, 0.4, 0.2, 0.5, 0.3, 0.45, 0.8, 0.7, 1.0]
    note(course, list(range(10)), losses)
    assert course.losses.tolist() == pytest.approx(losses, abs=1e-4)
    kept = course.kept()
    assert kept is not None
    assert (~kept).nonzero().flatten().tolist() == [1, 3, 5]
    # Taken to have forgotten some of it, those three are behind others in the next epoch.
    again = course.kept()
    assert again is not None
    assert (~again).nonzero().flatten().tolist() == [2, 4, 6]
    third = course.kept()
    assert third is not None
    assert (~third).nonzero().flatten().tolist() == [1, 3, 8]


def test_with_smoothed_labels_what_is_predicted_too_surely_is_not_learnt_best() -> None:
    course = curriculum(0.5, images=2, skip=0.5)
    logits = torch.tensor([[2.2, 0.0], [9.0, 0.0]])  # p of the label 0.9, as it asks for, and 1
    course.note(torch.tensor([0, 1]), logits, torch.tensor([0, 0]), 0.2)
    kept = course.kept()
    assert kept is not None
    assert kept.tolist() == [False, True]


def test_nothing_is_left_out_too_early_or_unseen() -> None:
    course = curriculum(0.29, skip=0.5, skip_from=0.3)
    assert course.kept() is None
    course.progress = 0.3
    assert course.kept() is None
    note(course, [0, 1, 2, 3], [0.1] * 4)
    assert course.kept() is None  # four of ten images were seen, too few to leave out five
    note(course, [6], [0.1])
    kept = course.kept()
    assert kept is not None
    assert kept.nonzero().flatten().tolist() == [4, 5, 7, 8, 9]
    assert curriculum(0.9).kept() is None


def test_in_the_end_all_images_are_shown_again() -> None:
    course = curriculum(0.79, skip=0.5, skip_until=0.8)
    note(course, list(range(10)), [0.1] * 10)
    kept = course.kept()
    assert kept is not None
    assert kept.sum() == 5
    course.progress = 0.8
    assert course.kept() is None


def test_what_alternates_goes_by_how_often_an_image_was_shown() -> None:
    course = curriculum(skip=0.5)
    note(course, [3, 5], [0.1, 0.1])
    note(course, [5], [0.1])
    turn = course.turn(7, torch.tensor([2, 3, 5]))
    assert isinstance(turn, torch.Tensor)
    assert turn.tolist() == [0, 1, 2]
    assert curriculum().turn(7, torch.tensor([2, 3])) == 7

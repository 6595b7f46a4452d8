"""Selective backprop: epochs leave out the images with the lowest loss."""

import pytest
import torch

from clearsight.config.schema import PhaseConfig
from clearsight.training.selective_backprop import SelectiveBackprop

LOSSES = [0.9, 0.1, 0.4, 0.2, 0.5, 0.3, 0.45, 0.8, 0.7, 1.0]


def selection(fraction: float = 0.0, **settings: float) -> SelectiveBackprop:
    prefixed = {f"selective_backprop_{name}": value for name, value in settings.items()}
    phase = PhaseConfig(selective_backprop=fraction, **prefixed)  # ty: ignore
    return SelectiveBackprop(phase, 10, torch.device("cpu"))


def seen(fraction: float, indices: list[int], losses: list[float], **settings: float):
    made = selection(fraction, **settings)
    made.update(torch.tensor(indices), torch.tensor(losses))
    return made


def left_out(made: SelectiveBackprop, progress: float) -> list[int]:
    kept = made.kept(progress)
    return [] if kept is None else (~kept).nonzero().flatten().tolist()


def test_the_lowest_losses_are_left_out_and_come_back() -> None:
    made = seen(0.3, list(range(10)), LOSSES)
    found = []
    for _ in range(3):
        found.append(left_out(made, 0.5))
        made.leave_out(made.kept(0.5))
    # Left out once, an image counts as partly forgotten and is behind others in the next epoch.
    assert found == [[1, 3, 5], [2, 4, 6], [1, 3, 8]]


def test_asking_which_images_are_kept_changes_nothing() -> None:
    made = seen(0.3, list(range(10)), LOSSES)
    before = made.losses.clone()
    assert left_out(made, 0.5) == left_out(made, 0.5) == [1, 3, 5]
    assert torch.equal(made.losses, before)


def test_nothing_is_left_out_too_early_or_unseen() -> None:
    assert left_out(seen(0.5, list(range(10)), LOSSES), 0.29) == []  # from 0.3 on, by default
    assert left_out(selection(0.5), 0.3) == []
    four = seen(0.5, [0, 1, 2, 3], [0.1] * 4)
    assert left_out(four, 0.3) == []  # four of ten images were seen, too few to leave out five
    four.update(torch.tensor([6]), torch.tensor([0.1]))
    assert left_out(four, 0.3) == [0, 1, 2, 3, 6]
    assert left_out(seen(0.0, list(range(10)), LOSSES), 0.9) == []


def test_in_the_end_all_images_are_used_again() -> None:
    made = seen(0.5, list(range(10)), LOSSES, until=0.8)
    assert len(left_out(made, 0.79)) == 5
    assert left_out(made, 0.8) == []


def test_what_alternates_goes_by_how_often_an_image_was_shown() -> None:
    made = seen(0.5, [3, 5], [0.1, 0.1])
    made.update(torch.tensor([5]), torch.tensor([0.1]))
    times = made.times_shown(torch.tensor([2, 3, 5]), 7)
    assert isinstance(times, torch.Tensor)
    assert times.tolist() == [0, 1, 2]
    assert selection().times_shown(torch.tensor([2, 3]), 7) == 7


@pytest.mark.parametrize(("fraction", "names"), [(0.0, set()), (0.2, {"losses", "shown"})])
def test_there_is_state_to_keep_only_where_images_are_left_out(
    fraction: float, names: set[str]
) -> None:
    assert set(selection(fraction).state()) == names

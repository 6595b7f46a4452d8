"""What to know about a data set before training on it: damage, duplicates, balance."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from clearsight.data.groups import exact_groups, find_near, first_of_pairs
from clearsight.data.images import ImageSet
from clearsight.data.names import PARTS
from clearsight.data.splits import Split
from clearsight.notebook import Figures, paragraphs
from clearsight.progress import SILENT, Progress

SHOWN_PAIRS = 100


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images that are the same, or nearly; that of the earlier part comes first.

    `positions` in the `ImageSet`, their `ids`, `parts` and `labels`; `similarity` is 1 for exact
    duplicates, else as in `alignment.align`.
    """

    positions: tuple[int, int]
    ids: tuple[str, str]
    parts: tuple[str, str]
    labels: tuple[int, int]
    similarity: float


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditReport:
    """The findings on one data set. Pairs across parts come first, then the most similar.

    - `counts`: images per class of every part; `corrupt`: a sentence per unreadable file
    - `exact`: pairs with equal pixels (of three copies in one part, the first with each other)
    - `near`: pairs of near duplicates that are not exact; `conflicts`: the exact pairs whose
      labels differ
    - `notes`: what reading and searching had to report, a sentence each
    - `figures`: those that were drawn
    """

    name: str
    images: int
    size: int
    classes: tuple[str, ...]
    counts: dict[str, list[int]]
    corrupt: tuple[str, ...]
    exact: tuple[Pair, ...]
    near: tuple[Pair, ...]
    conflicts: tuple[Pair, ...]
    notes: tuple[str, ...]
    figures: Figures = field(default_factory=lambda: Figures(()))

    def __repr__(self) -> str:
        return f"<AuditReport {self.lines()[0]}>"

    def imbalance(self, part: str) -> float | None:
        """Largest class of a part divided by its smallest; None where a class is empty."""
        smallest = min(self.counts[part])
        return max(self.counts[part]) / smallest if smallest else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the findings with totals, and of the pairs the first 100 of each kind."""
        return {
            "name": self.name,
            "images": self.images,
            "size": self.size,
            "classes": list(self.classes),
            "parts": {
                part: {"images": sum(counts), "counts": counts, "imbalance": self.imbalance(part)}
                for part, counts in self.counts.items()
            },
            "corrupt": list(self.corrupt),
            **{
                kind: {
                    "total": len(pairs),
                    "parts": summarise(pairs),
                    "pairs": [asdict(pair) for pair in pairs[:SHOWN_PAIRS]],
                }
                for kind, pairs in (
                    ("exact_duplicates", self.exact),
                    ("near_duplicates", self.near),
                    ("label_conflicts", self.conflicts),
                )
            },
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The report as text, a finding each."""
        return [
            f"{self.name}: {self.images:,} images of {self.size} × {self.size} px "
            f"in {len(self.classes)} classes",
            *(self._balance(part) for part in self.counts),
            _duplicate_line("exact duplicates", self.exact),
            _duplicate_line("near duplicates", self.near),
            *(
                f"same pixels, different labels: {self.classes[pair.labels[0]]} in {pair.parts[0]} "
                f"and {self.classes[pair.labels[1]]} in {pair.parts[1]} ({pair.ids[0][:12]}…)"
                for pair in self.conflicts[:10]
            ),
            *([f"… and {len(self.conflicts) - 10} more such"] if len(self.conflicts) > 10 else []),
            *(f"corrupt: {sentence}" for sentence in self.corrupt),
            *self.notes,
        ]

    def _repr_html_(self) -> str:
        return paragraphs(self.lines())

    def _balance(self, part: str) -> str:
        counts = self.counts[part]
        smallest, largest = min(counts), max(counts)
        if smallest == largest:
            return f"{part}: {sum(counts):,} images, {smallest:,} of each class"
        ratio = self.imbalance(part)
        return (
            f"{part}: {sum(counts):,} images, from {smallest:,} "
            f"({self.classes[counts.index(smallest)]}) to {largest:,} "
            f"({self.classes[counts.index(largest)]}) of a class"
            + ("" if ratio is None else f", ratio {ratio:.1f}")
        )


def audit(
    images: ImageSet,
    split: Split | None = None,
    *,
    corrupt: tuple[str, ...] = (),
    unsplit: str | None = None,
    progress: Progress = SILENT,
) -> AuditReport:
    """Counts classes, and finds exact and near duplicates within and across parts.

    With a `split` the images it uses are looked at, else all of them, in the parts the source
    names (`all` where it names none). `corrupt`: what reading had to leave out, passed on;
    `unsplit`: why there is no split, where one was tried.
    """
    indices, parts = _indices(images, split)
    labels = images.labels[indices]
    groups = exact_groups(images)
    exact = [
        _pair(images, indices, parts, a, b, 1.0)
        for a, b in _exact_pairs(groups[indices], parts.tolist())
    ]
    found = find_near(images, progress)
    near = [
        _pair(images, indices, parts, min(a, b), max(a, b), s)
        for (a, b), s in zip(
            first_of_pairs(found.pairs, groups, indices).tolist(),
            found.similarity.tolist(),
            strict=True,
        )
        if min(a, b) >= 0
    ]
    return AuditReport(
        name=images.name,
        images=len(indices),
        size=images.size,
        classes=images.classes,
        counts={
            part: np.bincount(labels[parts == part], minlength=len(images.classes)).tolist()
            for part in dict.fromkeys(sorted(parts.tolist(), key=_rank))
        },
        corrupt=corrupt,
        exact=tuple(sorted(exact, key=_order)),
        near=tuple(sorted(near, key=_order)),
        conflicts=tuple(sorted((p for p in exact if p.labels[0] != p.labels[1]), key=_order)),
        notes=(
            *([] if unsplit is None else [f"it can't be split for training: {unsplit}"]),
            *([] if split is None else split.notes),
            *images.notes,
            *([] if found.note is None else [found.note]),
        ),
    )


def summarise(pairs: tuple[Pair, ...]) -> dict[str, dict[str, int]]:
    """Per two parts, such as `train–test`: pairs, and distinct images in the latter of the two.

    Within one part (`train`) all images that have a partner there count.
    """
    counts: Counter[str] = Counter()
    affected: dict[str, set[int]] = {}
    for pair in pairs:
        first, second = pair.parts
        key = first if first == second else f"{first}–{second}"
        counts[key] += 1
        affected.setdefault(key, set()).add(pair.positions[1])
        if first == second:
            affected[key].add(pair.positions[0])
    return {key: {"pairs": counts[key], "images": len(affected[key])} for key in counts}


def _duplicate_line(kind: str, pairs: tuple[Pair, ...]) -> str:
    if not pairs:
        return f"{kind}: none"
    found = []
    for key, count in summarise(pairs).items():
        first, _, second = key.partition("–")
        found.append(
            _how_many(count["images"], f"{second} image") + f" in {first}"
            if second
            else f"{count['images']:,} images within {first}"
        )
    return f"{kind}: {', '.join(found)}"


def _how_many(number: int, thing: str) -> str:
    return f"1 {thing} has one" if number == 1 else f"{number:,} {thing}s have one"


def _indices(images: ImageSet, split: Split | None) -> tuple[np.ndarray, np.ndarray]:
    """(indices int64 [M], their parts [M]), train before validation before test."""
    if split is None:
        parts = np.where(images.parts == "", "all", images.parts)
        order = np.argsort([_rank(part) for part in parts], kind="stable")
        return order, parts[order]
    indices = [getattr(split, part) for part in PARTS]
    names = [np.full(len(found), part) for part, found in zip(PARTS, indices, strict=True)]
    return np.concatenate(indices), np.concatenate(names)


def _exact_pairs(groups: np.ndarray, parts: list[str]) -> Iterator[tuple[int, int]]:
    """Within a part and across two, the first copy with each of the others: k copies, k - 1 pairs.

    All pairs of a thousand black images would be half a million, and say no more.
    """
    copies: dict[int, dict[str, list[int]]] = {}
    repeated = np.flatnonzero(np.bincount(groups) > 1)
    for position in np.flatnonzero(np.isin(groups, repeated)).tolist():
        members = copies.setdefault(int(groups[position]), {})
        members.setdefault(parts[position], []).append(position)
    for members in copies.values():
        for same in members.values():
            yield from ((same[0], other) for other in same[1:])
        for first, second in combinations(members.values(), 2):
            yield from ((first[0], other) for other in second)


def _pair(
    images: ImageSet, indices: np.ndarray, parts: np.ndarray, a: int, b: int, similarity: float
) -> Pair:
    first, second = int(indices[a]), int(indices[b])
    return Pair(
        positions=(first, second),
        ids=(images.ids[first].decode(), images.ids[second].decode()),
        parts=(str(parts[a]), str(parts[b])),
        labels=(int(images.labels[first]), int(images.labels[second])),
        similarity=round(similarity, 4),
    )


def _rank(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _order(pair: Pair) -> tuple[object, ...]:
    """Across parts first, and nearest to the test set; then by similarity."""
    first, second = pair.parts
    return first == second, -_rank(second), -pair.similarity, pair.positions

"""The bucket list of a model: which arm each 0.01 % of its conversations belongs to.

A conversation hashes to one bucket and so stays with its arm until its bucket moves. When weights change, the fewest
buckets move, and only from arms that shrink to arms that grow (design section 6.3, point 5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dpu_app.model.plan import BUCKETS

Layout = tuple[str, ...]  # a name of an arm for each bucket; models have BUCKETS of them


def buckets(previous: Layout | None, weights: Mapping[str, int]) -> Layout:
    """The new layout. `weights` are in buckets and add up to all of them; their order breaks ties. Deterministic.

    Without a previous layout each arm is spread evenly over the list. Arms that `weights` does not name shrink to
    nothing.
    """
    if previous is None:
        return tuple(spread(weights))
    layout = list(previous)
    moving = surplus(previous, weights)
    held = Counter(previous)
    missing = {arm: weight - held[arm] for arm, weight in weights.items() if weight > held[arm]}
    for bucket, arm in zip(moving, spread(missing), strict=True):
        layout[bucket] = arm
    return tuple(layout)


def surplus(previous: Layout, weights: Mapping[str, int]) -> list[int]:
    """The buckets that shrinking arms give away, in order; each arm gives them evenly over the list."""
    owned: dict[str, list[int]] = {}
    for bucket, arm in enumerate(previous):
        owned.setdefault(arm, []).append(bucket)
    moving: list[int] = []
    for arm, own in owned.items():
        count = max(len(own) - weights.get(arm, 0), 0)
        moving += [own[i * len(own) // count] for i in range(count)]
    return sorted(moving)


def spread(counts: Mapping[str, int]) -> list[str]:
    """Each arm as often as `counts` says, every one as evenly spaced as its count allows."""
    places = [
        ((2 * i + 1) / (2 * count), order, arm)
        for order, (arm, count) in enumerate(counts.items())
        for i in range(count)
    ]
    return [arm for _, _, arm in sorted(places)]


def to_bytes(layout: Layout, arms: Sequence[str]) -> bytes:
    """One byte a bucket: the index into `arms`, of which there are at most 255."""
    index = {arm: i for i, arm in enumerate(arms)}
    return bytes(index[arm] for arm in layout)


def from_bytes(data: bytes, arms: Sequence[str], count: int = BUCKETS) -> Layout | None:
    """The layout of `count` buckets that `to_bytes` wrote; None where it cannot be one."""
    if len(data) != count or max(data) >= len(arms):
        return None
    return tuple(arms[index] for index in data)

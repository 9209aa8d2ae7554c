"""Which bursts are looked at by a person, and what follows from what they see. Pure; any thread.

Discarded bursts are drawn by `filter.audit_fraction` and delivered, kept ones by KEPT_FRACTION: they are
delivered anyway. A burst is drawn when it is settled: of each so many bursts of its stratum in a row one, at
a place that the store's seed decides. So every stratum is in the sample by its share, the place can be told
again after a crash, and nobody can tell it beforehand.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trapd.frozen import Frozen
from trapd.records import Verdict

if TYPE_CHECKING:
    from trapd.interval import Share, Stratum

KEPT_FRACTION: Final = 0.1
TRUTHS: Final = ("animal", "person", "vehicle", "something", "empty", "unsure")
"""What a person may say of a burst. `something`: not empty, whatever it is; `unsure` counts as not judged."""

DISCARDED: Final = "discarded"
KEPT: Final = "kept"
_BANDS: Final = 4
_OF: Final = 10**9  # a share in whole numbers: so many of these
_NEWEST: Final = 40  # judged samples that are held against those before
_EARLIER: Final = 20  # that there must be at least
_SURPRISE: Final = 0.005


class Heap(Frozen):
    """One stratum of settled bursts: what made them alike. Its name is what the store knows it by.

    `filter`: model and configured threshold. `limit`: the threshold in force, which may be lower while more
    is kept. `light`: day, night or unknown. `band`: of the score, 0 to 3 of each side of the threshold.
    """

    group: str
    filter: str
    limit: str
    fraction: str
    light: str
    band: str

    @property
    def name(self) -> str:
        """One word; `parse` reads it."""
        return "|".join((self.group, self.filter, self.limit, self.fraction, self.light, self.band))

    @classmethod
    def parse(cls, name: str) -> Heap:
        """Raises ValueError for a name that is none."""
        group, filter_, limit, fraction, light, band = name.split("|")
        return cls(group, filter_, limit, fraction, light, band)


def heap_of(verdict: Verdict, *, configured: float | None, fraction: float) -> Heap:
    """The stratum of a burst of this verdict. `configured`: the threshold as the configuration has it."""
    limit, score = verdict.threshold, verdict.score
    group = KEPT if verdict.keep else DISCARDED
    band = "none"
    if limit is not None and score is not None and verdict.verdict != "unknown":
        width = limit if score < limit else 1 - limit
        place = (score if score < limit else score - limit) / width if width > 0 else 0.0
        band = str(min(_BANDS - 1, int(_BANDS * place)))
    light = "unknown" if verdict.night is None else "night" if verdict.night else "day"
    of_filter = f"{(verdict.sha256 or 'none')[:12]}@{_word(configured)}"
    return Heap(group, of_filter, _word(limit), _word(fraction), light, band)


def fraction_of(verdict: Verdict, audit_fraction: float) -> float:
    """The share of bursts of this verdict that is drawn; without audit nothing is."""
    return min(1.0, KEPT_FRACTION if verdict.keep else audit_fraction) if audit_fraction > 0 else 0.0


def chosen(seed: str, heap: str, nth: int, fraction: float) -> bool:
    """Whether the burst number `nth` of this stratum, from 0, is drawn. The same whenever it is asked."""
    if fraction <= 0:
        return False
    if fraction >= 1:
        return True
    # A lot is a whole number of bursts: with .3 of them drawn 3 or 4, in turn. Exact, so that none overlap.
    count, of = max(1, round(fraction * _OF)), _OF
    lot = nth * count // of
    first, after = -(-lot * of // count), -(-(lot + 1) * of // count)
    return nth == first + int(drawn(seed, f"{heap}|{lot}") * (after - first))


def drawn(seed: str, what: str) -> float:
    """A number from 0 to 1 that belongs to `what` in the store of this seed."""
    return int.from_bytes(hashlib.sha256(f"audit:{seed}:{what}".encode()).digest()[:8], "big") / 2**64


class Sample(Frozen):
    """A burst that was drawn, in the order of settling. `lost`: no picture of it is left to look at."""

    id: str
    heap: str
    lost: bool = False


class Figures(Frozen):
    """What the judged sample says. All but the counts are shares with their intervals.

    `miss_rate`: of the bursts with something worth keeping, the part that was discarded. `false_keep`: of the
    bursts with nothing of the kind, the part that was kept. `discarded_full`, `kept_empty`: the shares of the
    discarded, and of the kept, that should not have been.
    """

    miss_rate: Share
    false_keep: Share
    discarded_full: Share
    kept_empty: Share
    discarded: int = 0
    kept: int = 0
    drawn: int = 0
    judged: int = 0
    missed: int = 0
    unsure: int = 0
    waiting: int = 0
    lost: int = 0


def figures(
    totals: Mapping[str, int],
    samples: Sequence[Sample],
    truths: Mapping[str, str],
    *,
    classes: Collection[str],
    seed: str,
) -> Figures:
    """The figures of the strata in `totals` (name: how many bursts), from the truths told by event id.

    Samples nobody has judged yet, or can judge any more, count as not drawn: what is judged of a stratum is
    taken for a random part of it, which holds as long as it was judged in the order of `shuffled`.
    """
    from trapd.interval import Stratum, part, share

    judged: dict[str, list[bool]] = {name: [] for name in totals}
    unsure = waiting = lost = 0
    of_these = [one for one in samples if one.heap in totals]
    for one in of_these:
        truth = truths.get(one.id)
        if truth is None:
            lost += one.lost
            waiting += not one.lost
        elif truth == "unsure":
            unsure += 1
        else:
            judged[one.heap].append(_is_wanted(truth, classes))
    sides: dict[str, list[Stratum]] = {DISCARDED: [], KEPT: []}
    for name in sorted(totals):
        seen = judged[name]
        total = max(totals[name], len(seen))
        sides[Heap.parse(name).group].append(Stratum(total, len(seen), sum(seen)))
    discarded, kept = sides[DISCARDED], sides[KEPT]
    luck = drawn(seed, "interval")
    empty_kept, empty_discarded = [each.others for each in kept], [each.others for each in discarded]
    return Figures(
        miss_rate=part(discarded, kept, luck),
        false_keep=part(empty_kept, empty_discarded, luck),
        discarded_full=share(discarded, luck),
        kept_empty=share(empty_kept, luck),
        discarded=sum(each.total for each in discarded),
        kept=sum(each.total for each in kept),
        drawn=len(of_these),
        judged=sum(map(len, judged.values())),
        missed=sum(each.hits for each in discarded),
        unsure=unsure,
        waiting=waiting,
        lost=lost,
    )


def shuffled(samples: Sequence[Sample], seed: str) -> list[Sample]:
    """The order to judge in: by lot, so that whoever stops half-way has judged a fair sample."""
    return sorted(samples, key=lambda one: drawn(seed, f"order|{one.id}"))


def newest_filter(names: Sequence[str]) -> str | None:
    """The filter of the stratum that was added to last; `names` in that order."""
    return Heap.parse(names[-1]).filter if names else None


def rising(samples: Sequence[Sample], truths: Mapping[str, str], classes: Collection[str]) -> bool:
    """Whether the newest judged discarded bursts hold more that was missed than chance explains.

    Fisher's exact test, one-sided, at 1 in 200: the newest 40 against all before, at least 20.
    """
    told = (truths.get(one.id) for one in samples if one.heap.startswith(f"{DISCARDED}|"))
    hits = [_is_wanted(truth, classes) for truth in told if truth not in (None, "unsure")]
    new, old = hits[-_NEWEST:], hits[:-_NEWEST]
    if len(old) < _EARLIER:
        return False
    total, all_hits = len(hits), sum(hits)
    ways = sum(
        math.comb(all_hits, k) * math.comb(total - all_hits, len(new) - k)
        for k in range(sum(new), min(all_hits, len(new)) + 1)
    )
    return ways / math.comb(total, len(new)) < _SURPRISE


def _is_wanted(truth: str | None, classes: Collection[str]) -> bool:
    return truth == "something" or truth in classes


def _word(number: float | None) -> str:
    return "own" if number is None else f"{number:.4g}"

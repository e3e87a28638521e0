"""Where people may be in a picture: candidates for trunks, and faces, in tiles from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dsr.people.candidates import CANDIDATE_COLUMNS, body_length, person_detector
from dsr.people.faces import Face, FaceFinder, distinct_faces
from dsr.people.groups import in_picture, merged
from dsr.people.regions import Pyramid, Region
from dsr.people.suppression import HIP_DISTANCE, merge_candidates

MIN_SCORE = 0.5  # candidates taken as people
MIN_HINT = 0.3  # candidates taken as a reason to look again
_FEW_TILES = 4  # parts of the longer side; with more, every picture has things that look a little like people,
_TINY, _MIN_TINY_SCORE = 0.6, 0.62  # so people must be that much smaller to be looked for, and surer to be taken
_SMALL, _CROWD = 0.65, 6  # of a tile, and how many people as small as that are a crowd
_CROWDS_ONLY = 8  # tiles as small as this are for crowds
_HARDLY_HIGHER = 1.2  # one row of slightly larger tiles instead of two that show the same
_SMALL_FACE = 1 / 20  # of a tile: faces as small as this make smaller tiles worth their time
_FACES_TALL = 9.0  # sides of the face that somebody is tall
TOGETHER = 3  # so many people have more beside them
_BESIDE = ((0.0, 1.5), (-0.5, 1.5), (0.5, 1.5))  # where to look closer, and how far around: lengths of a known body
_CLOSER = 24  # known bodies beside which is looked, the surest
_GROUP_SIZE, _GROUP_SIDES = 100.0, (320.0, 768.0)  # pixels of a person, and of pictures' longer sides, for groups


@dataclass(frozen=True)
class SearchSettings:
    """What a quality level means.

    Attributes:
        always: tile sides that are always searched, as parts of the longer picture side (1 is the whole picture).
        on_cue: tile sides searched one after the other as long as the sides before hint at small people; the smallest
            only in crowds.
        passes: landmark passes on each person, see :meth:`LandmarkModel.refined`.
        peels: how often to take the people found out of the picture and look for people behind or beside them.
        wider: side of a square around the picture, in longer sides, that shows room around people who are cut off by
            the border; 0 for none.
        doubt: candidates scored lower must stand up to more looks, unless they have a clear face.
        beside: whether more people are looked for beside those found, closer beside several and small ones.
        faces: tile sides in which faces are always looked for.
        faces_on_cue: tile sides searched for faces where the sides before show small ones; with no side before, where
            nobody was found.
    """

    always: tuple[int, ...]
    on_cue: tuple[int, ...]
    passes: int
    peels: int
    wider: float
    doubt: float
    beside: bool
    faces: tuple[float, ...]
    faces_on_cue: tuple[float, ...]


SETTINGS: dict[str, SearchSettings] = {
    "fast": SearchSettings((1,), (2, 3), 1, 0, 0, 0.6, False, (), (1,)),
    "standard": SearchSettings((1, 2), (3, 5, 8), 3, 1, 1.33, 0.75, True, (1, 16 / 9), (3,)),
    "best": SearchSettings((1, 2, 3), (4, 6, 9), 5, 2, 1.33, 0.75, True, (1, 16 / 9, 3), (5,)),
}


class Proposals:
    """Runs the two detectors.

    Args:
        settings: how hard to look.
        threads: threads of every interpreter.
    """

    def __init__(self, settings: SearchSettings, threads: int | None = None) -> None:
        self.settings = settings
        self._people = person_detector(threads)
        self._faces = FaceFinder(threads)

    def candidates(self, pyramid: Pyramid, peeled: bool = False, smaller: int = 9) -> tuple[np.ndarray, int]:
        """Candidates (N, 13) of all tile sizes that are worth it, best first, down to hints; how many on cue were.

        Args:
            pyramid: the picture.
            peeled: people were taken out of it: an empty picture is then no reason to look for smaller people, and
                what is left of limbs looks like tiny ones.
            smaller: the most tile sizes on cue.
        """
        longer, shorter = (float(f(pyramid.width, pyramid.height)) for f in (max, min))
        parts = [self._people.in_tiles(pyramid, tile_side(longer, shorter, n), MIN_HINT) for n in self.settings.always]
        if longer > 3 * shorter:  # a panorama: people are as high as the picture, not a part of its width
            parts.append(self._people.in_tiles(pyramid, shorter, MIN_HINT))
        searched = 0
        for last, n in pairwise((self.settings.always[-1], *self.settings.on_cue)):
            tiny = n > _FEW_TILES
            found = merge_candidates(np.concatenate(parts))
            somebody = peeled or bool(np.any(found[:, 0] >= MIN_SCORE))
            # Many tiles are slow: what looks a little like somebody tiny is no reason for them beside somebody large.
            cues = found[found[:, 0] >= MIN_SCORE] if tiny and somebody else found
            worth = not somebody or hints_at_small_people(cues, (_TINY if tiny else 1.0) * longer / last)
            worth = worth and n < _CROWDS_ONLY
            if searched == smaller or (tiny and peeled) or not (worth or is_crowd(found, longer / last)):
                break
            part = self._people.in_tiles(pyramid, tile_side(longer, shorter, n), MIN_HINT)
            parts.append(part[part[:, 0] >= _MIN_TINY_SCORE] if tiny else part)
            searched += 1
        if self.settings.wider:
            around = Region(pyramid.width / 2, pyramid.height / 2, self.settings.wider * longer, 0.0)
            parts.append(self._people.in_region(pyramid, around, MIN_HINT))
        return merge_candidates(np.concatenate(parts)), searched

    def beside(self, pyramid: Pyramid, found: np.ndarray) -> np.ndarray:
        """Candidates (N, 13) with those that closer looks around each of several people show as well, best first."""
        looked = np.zeros((0, CANDIDATE_COLUMNS))
        for _ in range(2):
            people = found[found[:, 0] >= MIN_SCORE]
            new = [row for row in people if not _same_hips(row, looked)][:_CLOSER]
            if not several(found, pyramid) or not new:
                break
            parts = []
            for row, length in zip(new, body_length(np.stack(new)), strict=True):
                for aside, side in _BESIDE:
                    region = Region(row[5] + aside * length, row[6], side * length, 0.0)
                    parts.append(self._people.in_region(pyramid, region, MIN_HINT))
            looked = np.concatenate([looked, new])
            more = merge_candidates(np.concatenate(parts))
            # the regions of those who are known stay: a closer look often sees a part of them
            more = more[[not _same_hips(row, people, HIP_DISTANCE / 2) for row in more]]
            found = merge_candidates(np.concatenate([found, more]))
        return found

    def in_group(self, pyramid: Pyramid, sizes: list[float] | None, rough: np.ndarray | None = None) -> np.ndarray:
        """Candidates (N, 58) of the network for groups, best first, see :mod:`dsr.people.groups`.

        Args:
            pyramid: the picture.
            sizes: of who is known, pixels: they say how closely to look; most closely where there are none. None looks
                no closer than at any picture.
            rough: what that look gave, where it was taken already.
        """
        longer, (least, most) = float(max(pyramid.width, pyramid.height)), _GROUP_SIDES
        rough = in_picture(pyramid, least) if rough is None else rough
        if sizes is None:
            return rough
        closely = _GROUP_SIZE * longer / float(np.median(sizes)) if sizes else most
        closer = in_picture(pyramid, min(max(closely, 1.5 * least), most))
        return merged(np.concatenate([rough, closer]))

    def in_region(self, pyramid: Pyramid, region: Region) -> np.ndarray:
        """Candidates (N, 13) of one region, best first, down to hints."""
        return self._people.in_region(pyramid, region, MIN_HINT)

    def around(self, pyramid: Pyramid, hints: np.ndarray) -> np.ndarray:
        """Candidates (N, 13) near others (M, 13), best first, down to hints."""
        regions = [Region.from_points(row[5:7], row[7:9]) for row in hints]
        parts = [self._people.in_region(pyramid, region, MIN_HINT) for region in regions]
        return merge_candidates(np.concatenate(parts))

    def faces(self, pyramid: Pyramid, candidates: np.ndarray, anybody: bool) -> list[Face]:
        """Faces of the picture, in smaller tiles where the larger ones show small faces or people."""
        longer = float(max(pyramid.width, pyramid.height))
        faces = self._faces(pyramid, [longer / n for n in self.settings.faces])
        if not self.settings.faces:
            small = not anybody
        else:
            least = _SMALL_FACE * longer / self.settings.faces[-1]
            people = candidates[candidates[:, 0] >= MIN_SCORE]
            small = any(face.side < least for face in faces) or bool(np.any(body_length(people) < _FACES_TALL * least))
        if small:
            more = self._faces(pyramid, [longer / n for n in self.settings.faces_on_cue])
            faces = distinct_faces(faces + more)
        return faces


def several(candidates: np.ndarray, pyramid: Pyramid) -> bool:
    """True where candidates (N, 13) show so many people in a picture that there are mostly more beside them."""
    hips = candidates[candidates[:, 0] >= MIN_SCORE, 5:7]
    return bool(np.all((hips >= 0) & (hips < [pyramid.width, pyramid.height]), axis=1).sum() >= TOGETHER)


def _same_hips(row: np.ndarray, others: np.ndarray, reach: float = 0.1) -> bool:
    """True where one of other candidates (N, 13) is nearer to a candidate (13,) than this part of either's length."""
    length = np.minimum(body_length(others), body_length(row[None]))
    return bool((np.hypot(*(others[:, 5:7] - row[5:7]).T) < reach * length).any())


def tile_side(longer: float, shorter: float, parts: float) -> float:
    """Side of tiles that are a part of a picture's longer side, or as high as a picture that is hardly higher."""
    side = longer / parts
    return shorter if side < shorter <= _HARDLY_HIGHER * side else side


def is_crowd(candidates: np.ndarray, side: float) -> bool:
    """True where many people fill at most two thirds of tiles of ``side``: more will be too small for these tiles."""
    small = (candidates[:, 0] >= MIN_SCORE) & (body_length(candidates) < _SMALL * side)
    return bool(np.count_nonzero(small) >= _CROWD)


def hints_at_small_people(candidates: np.ndarray, side: float) -> bool:
    """True where candidates found with tiles of ``side`` make smaller tiles worth their time.

    Small people are hinted at by any small candidate, or by several that fill at most two thirds of a tile.
    """
    length = body_length(candidates) / side
    several = np.count_nonzero((candidates[:, 0] >= MIN_SCORE) & (length < _SMALL)) >= 3
    return bool(several or np.any(length < 0.45))

"""What people wear: the stated shares from which outfits are drawn, by sex and kind.

The shares are ours: no statistic of what people wear, but a mix in which long and short sleeves, trousers, shorts and
skirts, jackets, shoes and hair all occur about as they do in photographs. They are written into the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clothing_prior.dressing import WornPiece, labelled_piece
from dsr.synthetic.wardrobe import Wardrobe

Shares = Mapping[str, float]

_BARE_LEGS = ("female_casualsuit02", "female_elegantsuit01")


@dataclass(frozen=True)
class SexShares:
    """Shares of one sex; those of each kind sum to 1. "" is nothing of that kind."""

    top: Shares
    bottom: Shares
    whole: Shares
    hair: Shares


MEN = SexShares(
    top={
        "male_casualsuit01": 0.14,
        "male_casualsuit02": 0.15,
        "male_casualsuit03": 0.15,
        "male_casualsuit04": 0.21,
        "male_casualsuit05": 0.07,
        "male_casualsuit06": 0.21,
        "male_elegantsuit01": 0.07,
    },
    bottom={
        "male_casualsuit01": 0.2,
        "male_casualsuit04": 0.5,
        "male_elegantsuit01": 0.12,
        "female_casualsuit02": 0.18,
    },
    whole={"": 0.96, "male_worksuit01": 0.04},
    hair={
        "": 0.1,
        "short01": 0.2,
        "short02": 0.2,
        "short03": 0.2,
        "short04": 0.2,
        "afro01": 0.05,
        "ponytail01": 0.05,
    },
)
WOMEN = SexShares(
    top={
        "female_casualsuit01": 0.42,
        "female_elegantsuit01": 0.23,
        "female_sportsuit01": 0.08,
        "male_casualsuit02": 0.15,
        "male_casualsuit05": 0.12,
    },
    bottom={
        "female_casualsuit01": 0.46,
        "male_casualsuit04": 0.16,
        "female_casualsuit02": 0.15,
        "female_elegantsuit01": 0.23,
    },
    whole={"": 0.98, "male_worksuit01": 0.02},
    hair={
        "": 0.02,
        "bob01": 0.19,
        "bob02": 0.19,
        "long01": 0.22,
        "braid01": 0.1,
        "ponytail01": 0.2,
        "short03": 0.06,
        "afro01": 0.02,
    },
)
SEXES: Mapping[str, SexShares] = {"men": MEN, "women": WOMEN}
"""Half of the people each, in the order of the body's ``sex_mean``."""
SHOES: Shares = {"": 0.09, **{f"shoes0{i}": 0.91 / 6 for i in range(1, 7)}}
SOCKS_SEEN = 0.5
"""Of those in shorts or a skirt and shoes."""
HATS: Shares = {"": 0.95, "fedora": 0.05}


def draw_pieces(wardrobe: Wardrobe, sex: str, rng: np.random.Generator) -> list[WornPiece]:
    """What one person wears."""
    shares = SEXES[sex]
    whole, top, bottom = _pick(rng, shares.whole), _pick(rng, shares.top), _pick(rng, shares.bottom)
    hair, hat, shoes = _pick(rng, shares.hair), _pick(rng, HATS), _pick(rng, SHOES)
    socks = rng.random() < SOCKS_SEEN
    pieces = []
    if whole:
        pieces.append(labelled_piece(wardrobe, whole))
    else:
        pieces.append(labelled_piece(wardrobe, bottom).part("pants", "skirt"))
        pieces.append(labelled_piece(wardrobe, top).part("upperclothes", "coat"))
    if shoes:
        labels = ("leftShoe", "rightShoe", "socks") if socks and bottom in _BARE_LEGS else ("leftShoe", "rightShoe")
        pieces.append(labelled_piece(wardrobe, shoes).part(*labels))
    if hair:
        pieces.append(labelled_piece(wardrobe, hair))
    if hat:
        pieces.append(labelled_piece(wardrobe, hat))
    return pieces


def shares_table() -> str:
    """The shares as a Markdown table, for the card."""
    rows = ["| kind | men | women |", "| --- | --- | --- |"]
    for kind in ("top", "bottom", "whole", "hair"):
        rows.append(f"| {kind} | {_row(getattr(MEN, kind))} | {_row(getattr(WOMEN, kind))} |")
    rows += [f"| shoes | {_row(SHOES)} | the same |", f"| hats | {_row(HATS)} | the same |"]
    return "\n".join(rows)


def _row(shares: Shares) -> str:
    return ", ".join(f"{name or 'none'} {100 * share:.0f} %" for name, share in shares.items())


def _pick(rng: np.random.Generator, shares: Shares) -> str:
    names = list(shares)
    return names[int(rng.choice(len(names), p=np.array([shares[name] for name in names])))]

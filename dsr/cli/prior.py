"""``dsr-prior``: learn where clothes are on a body, from CC0 garments, clothed scans or fitted photographs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro

from dsr.cli.common import EXIT_FINE, EXIT_SOME_FAILED, refuse_empty_out, run_command, write_line
from dsr.cli.progress import Progress

if TYPE_CHECKING:
    from clothing_prior.votes import Votes


@dataclass(frozen=True, kw_only=True)
class GarmentsCommand:
    """Learn the prior that ships: random bodies in MakeHuman's CC0 garments; goes on where it was stopped."""

    assets: Annotated[Path, tyro.conf.Positional]
    """Folder or .tar.xz archive of the MakeHuman CC0 assets."""
    out: Path = Path("clothing_prior_open.safetensors")
    """File to write; its card goes beside it as .md, what a stopped run has so far as .sums.npz."""
    people: int = 300
    """How many people to dress."""
    seed: int = 14
    """Seed of bodies, poses and outfits."""


def run_garments(command: GarmentsCommand) -> int:
    """Run ``dsr-prior garments``; the exit code."""
    from clothing_prior.card import GARMENT_LIMITS, write_card
    from clothing_prior.garments import GarmentSettings, garment_card, learn_from_garments
    from clothing_prior.votes import prior_of
    from dsr.clothing.prior import write_clothing_prior
    from dsr.errors import UsageError
    from dsr.synthetic.wardrobe import Wardrobe, unpack

    if command.people < 1 or command.seed < 0:
        raise UsageError("--people must be at least 1 and --seed at least 0.")
    _check_out(command.out)
    settings, sums = GarmentSettings(command.people, command.seed), _sums_of(command.out)
    with tempfile.TemporaryDirectory() as folder, Progress("dressing", command.people) as progress:
        wardrobe = Wardrobe(unpack(command.assets, Path(folder)))
        votes = learn_from_garments(wardrobe, settings, sums, lambda done, total: progress.update(done, total))
        making = garment_card(settings, wardrobe)
    asset = wardrobe.body
    prior = prior_of(votes, asset)
    note = {"people": str(command.people), "seed": str(command.seed), "body_sha256": asset.sha256, "of": "garments"}
    write_clothing_prior(command.out, prior, note)
    write_card(
        command.out,
        prior,
        data=f"MakeHuman's garments, shoes and hair on {votes.people} random open bodies",
        licence="CC0 (garments), Apache-2.0 (the open body)",
        making=making,
        limits=GARMENT_LIMITS,
        interior=asset.interior,
    )
    sums.unlink(missing_ok=True)
    write_line(sys.stdout, f"{command.out}: {votes.people} people, {_figures(prior)}")
    return EXIT_FINE


@dataclass(frozen=True, kw_only=True)
class ScansCommand:
    """Improve the prior by clothed scans with labels and fitted body parameters."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of scans: NAME.obj, .ply or .glb with NAME.labels.npy (or vertex colours) and NAME.npz."""
    out: Path = Path("clothing_prior.safetensors")
    """File to write; its card goes beside it as .md, what a stopped run has so far as .sums.npz."""
    base_people: float = 20.0
    """How many people the prior that ships counts as; 0 for the scans alone."""


@dataclass(frozen=True, kw_only=True)
class PicturesCommand:
    """Improve the prior by photographs that dsr-fit has fitted and that have label pictures."""

    results: Annotated[Path, tyro.conf.Positional]
    """Output folder of dsr-fit."""
    labels: Path
    """Folder of label pictures, PNG files named as the photographs."""
    kind: Literal["graphonomy", "lip", "atr"] = "graphonomy"
    """Their label set."""
    out: Path = Path("clothing_prior.safetensors")
    """File to write; its card goes beside it as .md, what a stopped run has so far as .sums.npz."""
    base_people: float = 20.0
    """How many people the prior that ships counts as; 0 for the photographs alone."""


def run_scans(command: ScansCommand) -> int:
    """Run ``dsr-prior scans``; the exit code."""
    from clothing_prior.scans import learn_from_scans
    from dsr.body import load_asset

    _check_out(command.out)
    with Progress("scans") as progress:
        votes, left_out = learn_from_scans(command.folder, load_asset("open"), progress.update, _sums_of(command.out))
    return _improved(command, votes, left_out, "scans", f"dsr-prior scans {command.folder.name}")


def run_pictures(command: PicturesCommand) -> int:
    """Run ``dsr-prior pictures``; the exit code."""
    from clothing_prior.pictures import learn_from_pictures
    from dsr.body import load_asset

    _check_out(command.out)
    with Progress("pictures") as progress:
        votes, left_out = learn_from_pictures(
            command.results, command.labels, command.kind, load_asset("open"), progress.update, _sums_of(command.out)
        )
    return _improved(command, votes, left_out, "people in pictures", f"dsr-prior pictures {command.results.name}")


def _improved(command: ScansCommand | PicturesCommand, votes: Votes, left_out: list[str], what: str, call: str) -> int:
    """Write the prior that ships, improved by votes, and its card."""
    from clothing_prior.card import OWN_LIMITS, write_card
    from clothing_prior.votes import prior_of
    from dsr.body import load_asset
    from dsr.clothing import load_clothing_prior
    from dsr.clothing.prior import write_clothing_prior
    from dsr.errors import UsageError

    if not 0 <= command.base_people < 1e6:
        raise UsageError(f"--base-people {command.base_people:g}: use a number from 0 to a million.")
    asset = load_asset("open")
    prior = prior_of(votes, asset, load_clothing_prior(asset), command.base_people)
    write_clothing_prior(command.out, prior, {"people": str(votes.people), "of": what, "body_sha256": asset.sha256})
    for sentence in left_out:
        write_line(sys.stderr, f"left out: {sentence}")
    write_card(
        command.out,
        prior,
        data=f"{votes.people} {what}; the prior that ships counts as {command.base_people:g} people",
        licence="that of your own data",
        making=f"## Making\n\n    {call}\n\n{votes.people} used, {len(left_out)} left out.\n",
        limits=OWN_LIMITS,
        interior=asset.interior,
    )
    _sums_of(command.out).unlink(missing_ok=True)
    write_line(sys.stdout, f"{command.out}: {votes.people} {what}, {len(left_out)} left out; {_figures(prior)}")
    return EXIT_SOME_FAILED if left_out else EXIT_FINE


@dataclass(frozen=True, kw_only=True)
class ShowCommand:
    """Draw a prior: the body from the front and the back, a tile per label."""

    prior: Annotated[Path | None, tyro.conf.Positional] = None
    """File of dsr-prior, or a published semantic_prior.npy with --body; by default the prior that ships."""
    out: Path = Path("clothing_prior.jpg")
    """Picture to write, .jpg or .png."""
    body: str = "open"
    """Body the prior is for: open, or a path to a licensed SMPL or SMPL-X file."""


def run_show(command: ShowCommand) -> int:
    """Run ``dsr-prior show``; the exit code."""
    from clothing_prior.sheet import write_sheet
    from dsr.body import load_asset
    from dsr.clothing import load_clothing_prior

    asset = load_asset(command.body)
    prior = load_clothing_prior(asset, command.prior)
    write_sheet(command.out, prior, asset)
    write_line(sys.stdout, f"{command.out}: {_figures(prior)}")
    return EXIT_FINE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command("dsr-prior", lambda: _learn(arguments), "interrupted; the same command goes on from here.")


_COMMANDS: dict[str, tuple[Any, str, Any]] = {
    "garments": (GarmentsCommand, "From CC0 garments on random bodies: the prior that ships.", run_garments),
    "scans": (ScansCommand, "From clothed scans with labels.", run_scans),
    "pictures": (PicturesCommand, "From fitted photographs with label pictures.", run_pictures),
    "show": (ShowCommand, "A picture of a prior, a tile per label.", run_show),
}


def _learn(arguments: list[str]) -> int:
    refuse_empty_out(arguments)
    overview = arguments[:1] in (["--help"], ["-h"])
    kinds = [
        Annotated[kind, tyro.conf.subcommand(name, description=title if overview else None)]
        for name, (kind, title, _) in _COMMANDS.items()
    ]
    any_kind: Any = Union[tuple(kinds)] if len(kinds) > 1 else kinds[0]  # noqa: UP007
    command = tyro.cli(
        any_kind,
        prog="dsr-prior",
        args=arguments,
        description="Learn where clothes are on a body and how loose they are.",
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    run = next(run for kind, _, run in _COMMANDS.values() if type(command) is kind)
    return int(run(command))


def _sums_of(out: Path) -> Path:
    """What a stopped run has so far."""
    return out.with_suffix(".sums.npz")


def _check_out(out: Path) -> None:
    """Refuse a place that cannot be written before hours of work."""
    from dsr.errors import UsageError

    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; create it or choose another one.")
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: the file's name has to end in .safetensors.")


def _figures(prior: Any) -> str:
    from dsr.clothing.labels import LABELS

    names = ("face", "hair", "upperclothes", "pants", "leftArm", "leftShoe")
    shares = ", ".join(f"{name} {100 * prior.vertex_labels[:, LABELS.index(name)].mean():.1f} %" for name in names)
    return f"{shares} of the vertices"


def entry() -> None:
    """Console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()

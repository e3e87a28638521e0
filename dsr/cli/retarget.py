"""``dsr-retarget``: a fitted pose or motion on a character of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from dsr.cli.common import EXIT_FINE, refuse_empty_out, run_command, write_line
from dsr.errors import UsageError
from dsr.files import expand_user, write_bytes

if TYPE_CHECKING:
    from dsr.export.carried.pose_transfer import Movement


@dataclass(frozen=True, kw_only=True)
class RetargetCommand:
    """Put a fitted pose or motion on a character of your own, in a copy of its file.

    For example: dsr-retarget out/photo.json --to hero.glb --out hero_photo.glb
    Exit codes: 0 fine, 1 the system does not allow it, 2 usage, or a file that cannot be used.
    """

    result: Annotated[Path, tyro.conf.Positional]
    """Result of dsr-fit: NAME.json or NAME.npz."""
    to: Path
    """The character: .glb, .vrm, .bvh, or .fbx (which needs Blender's Python module)."""
    out: Path | None = None
    """The file to write; NAME.PERSON and the character's ending beside the result where not given."""
    person: str = ""
    """Which person, p0 for example; the first where not given."""
    bone_map: Path | None = None
    """JSON file with joint to bone; guessed from the bones' names where not given."""
    save_map: Path | None = None
    """Write the bone map that is used to this JSON file, to be edited; without --out nothing else is written."""
    path: Literal["own", "world", "none"] = "own"
    """The hips' way: from where the character stands, from where the person is before the camera, or none."""
    keep_feet: bool = True
    """Feet that stand stay where they are."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def parse_and_run() -> int:
        refuse_empty_out(arguments)
        config = (tyro.conf.FlagCreatePairsOff,)
        command = tyro.cli(RetargetCommand, prog="dsr-retarget", args=arguments, config=config)
        return _retarget(command)

    return run_command("dsr-retarget", parse_and_run)


def entry() -> None:
    """Console script."""
    raise SystemExit(main())


def _retarget(command: RetargetCommand) -> int:
    from dsr.export.retarget_files import check_bone_map, read_rig, write_retargeted

    rig = read_rig(expand_user(command.to))
    movement, who = _movement(command)
    out = command.out
    if out is None and command.save_map is None:
        out = command.result.with_name(f"{command.result.stem}.{who}{command.to.suffix.lower()}")
    if out is not None and out.suffix.lower() != command.to.suffix.lower():
        raise UsageError(f"--out {out}: the file is a copy of {command.to.name}, so it ends in {command.to.suffix}.")
    if out is not None and out.exists() and out.samefile(command.to):
        raise UsageError(f"--out {out} is the character itself: name another file.")
    bone_map = rig.bone_map() if command.bone_map is None else _read_map(command.bone_map)
    if command.save_map is not None:
        write_bytes(command.save_map, (json.dumps(bone_map, indent=1) + "\n").encode())
        write_line(sys.stdout, f"{command.save_map}: {len(bone_map)} bones")
    if out is None:
        return EXIT_FINE
    check_bone_map(rig, bone_map)
    pose = write_retargeted(
        rig, movement, bone_map, out, f"{command.result.stem} {who}", command.path, command.keep_feet
    )
    frames = len(pose.local)
    write_line(sys.stdout, f"{out}: {frames} frame{'s' if frames > 1 else ''} on {len(bone_map)} bones")
    return EXIT_FINE


def _movement(command: RetargetCommand) -> tuple[Movement, str]:
    """The person's movement and id."""
    from dsr.body.load import load_asset
    from dsr.export.movements import movement_of
    from dsr.results.saved import load_result

    path = expand_user(command.result)
    result = load_result(path)
    people = {person.id: person for person in result.people}
    if not people:
        raise UsageError(f"There is nobody in {path}.")
    who = command.person or next(iter(people))
    if who not in people:
        raise UsageError(f"--person {who}: {path.name} has {', '.join(people)}.")
    asset = load_asset(path.parent / str(result.body["file"]))
    up = result.floor.normal if result.floor is not None else None
    return movement_of(people[who], asset, up, getattr(result, "fps", 0.0)), who


def _read_map(path: Path) -> dict[str, str]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--bone-map {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"--bone-map {path} is not JSON ({error}).") from error
    if not isinstance(table, dict) or not all(isinstance(bone, str) for bone in table.values()):
        raise UsageError(f"--bone-map {path}: write an object of joint to bone, as --save-map does.")
    return {str(joint): bone for joint, bone in table.items() if bone}


if __name__ == "__main__":
    entry()

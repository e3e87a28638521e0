"""The table of ``dsr-eval synthetic --gestures``: hands and faces of made-up people."""

from __future__ import annotations

from dsr.evaluation.expressive import ExpressiveReport


def expressive_table(report: ExpressiveReport) -> str:
    """The report for people to read."""
    hands, faces = report.hands, report.faces
    seen, faced = sum(hand.seen for hand in hands), sum(face.seen for face in faces)
    mean = report.mean
    gain = 100 * (1 - mean("joints_mm") / mean("relaxed_mm")) if seen else float("nan")
    every = f"{mean('joints_mm', False):.1f} mm over all hands, unseen ones relaxed"
    return "\n".join(
        [
            f"people not found {report.missed}; hands of at least 40 pixels {len(hands)}, seen {seen}",
            f"finger joints from the wrist {mean('joints_mm'):.1f} mm, {gain:.0f} % below relaxed fingers on the same "
            f"wrist ({mean('relaxed_mm'):.1f}); {every}",
            f"  with the true rotation of the hand {mean('in_hand_mm'):.1f} mm",
            f"fingertips in the picture {mean('tips_px'):.1f} pixels",
            f"hands on their own side {100 * mean('own_side'):.1f} %",
            f"twist of the wrist {mean('twist_deg'):.1f} degrees, rotation {mean('rotation_deg'):.1f} degrees",
            f"faces towards the camera {len(faces)}, seen {faced}",
            f"jaw {mean('jaw_deg'):.1f} degrees (mouth shut: {mean('shut_deg'):.1f})",
            f"gaze {mean('gaze_deg'):.1f} degrees (looking ahead: {mean('ahead_deg'):.1f})",
            f"closed and open eyes told apart {100 * mean('lids_right'):.0f} %",
            "",
        ]
    )

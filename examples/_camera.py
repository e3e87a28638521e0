"""The virtual cameras of the example renders (OpenCV axes; the world has y up and its floor at y = 0)."""

from __future__ import annotations

from dataclasses import dataclass, field

import _cast as cast
import numpy as np
from _plans import Plan

FULL_FRAME_DIAGONAL_MM = 43.2666


@dataclass
class View:
    """A camera: intrinsics, and ``X_cam = rotation @ X_world + translation``."""

    K: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal35: int
    distance: float
    people: list[cast.Person] = field(default_factory=list)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Project world points (N, 3) to pixels (N, 2)."""
        camera = points @ self.rotation.T + self.translation
        return np.asarray(camera[:, :2] / camera[:, 2:] * self.K[0, 0] + self.K[:2, 2])


def draw_view(plan: Plan, rng: np.random.Generator, people: list[cast.Person]) -> View:
    """Choose a camera that sees the people whole (unless ``cut``), not too small, off centre and slightly tilted."""
    width, height = plan.width, plan.height
    focal35 = plan.focal35 or round(float(np.exp(rng.uniform(np.log(24), np.log(85)))))
    focal = focal35 * float(np.hypot(width, height)) / FULL_FRAME_DIAGONAL_MM
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    points = np.concatenate([person.vertices for person in people])
    low, high = points.min(axis=0), points.max(axis=0)
    fill = plan.fill or float(rng.uniform(0.5, 0.82))
    tall = max(high[1] - low[1], 1.0)
    distance = max(focal * tall / (fill * height), 1.6)
    elevation = plan.eye_height or float(np.clip(rng.normal(1.35, 0.4), 0.4, 2.4))
    roll = np.radians(rng.normal(0.0, 1.2))
    aim = np.array([rng.uniform(-0.16, 0.16), rng.uniform(-0.06, 0.06)])
    target = (low + high) / 2
    if plan.cut_at:
        return _cut_below(plan, rng, people, K, focal35, elevation, roll)
    view = None
    for _ in range(40):
        eye = np.array([target[0] + 0.0, elevation, distance])
        rotation = _look(eye, target, aim * (width, height) / focal, roll)
        view = View(K, rotation, -rotation @ eye, focal35, distance, people)
        seen = view.pixels(points)
        margin = 0.02 * min(width, height)
        inside = (seen > margin).all() and (seen[:, 0] < width - margin).all() and (seen[:, 1] < height - margin).all()
        if inside or plan.cut:
            break
        distance *= 1.05
        aim *= 0.9
    assert view is not None
    if plan.cut:
        view = _cut_outermost(plan, view)
    return view


def _cut_below(
    plan: Plan,
    rng: np.random.Generator,
    people: list[cast.Person],
    K: np.ndarray,
    focal35: int,
    elevation: float,
    roll: float,
) -> View:
    """A camera whose picture ends below the person's knees, hips or chest, with a little room above the head."""
    (person,) = people
    joints = {"knees": (4, 5), "hips": (1, 2), "chest": (6, 9)}[plan.cut_at]
    top = person.vertices[:, 1].max() + float(rng.uniform(0.03, 0.2))
    bottom = float(np.mean(person.joints[joints, 1])) - float(rng.uniform(0.0, 0.06))
    middle = np.array([person.joints[0, 0], (top + bottom) / 2, person.joints[0, 2]])
    focal = K[0, 0]
    distance = max(focal * (top - bottom) / plan.height, 0.7)
    across = float(rng.uniform(-0.2, 0.2)) * plan.width / focal
    eye = middle + np.array([0.0, 0.35 * (elevation - middle[1]), distance])
    rotation = _look(eye, middle, np.array([across, 0.0]), roll)
    return View(K, rotation, -rotation @ eye, focal35, distance, people)


def _cut_outermost(plan: Plan, view: View) -> View:
    """Turn the camera sideways until the border runs through the leftmost person."""
    outer = min(view.people, key=lambda person: float(view.pixels(person.joints)[:, 0].mean()))
    for _ in range(60):
        seen = view.pixels(outer.vertices)[:, 0]
        if np.quantile(seen, 0.22) < 0:
            break
        turn = cast.rotation_matrices(np.array([0.0, -np.radians(0.5), 0.0]))
        view.rotation, view.translation = turn @ view.rotation, turn @ view.translation
    return view


def _look(eye: np.ndarray, target: np.ndarray, aim: np.ndarray, roll: float) -> np.ndarray:
    """World to camera rotation with ``target`` seen from ``eye``, ``aim`` (in focal lengths) off the centre."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pan, tilt = np.arctan(aim[0]), -np.arctan(aim[1])
    turns = cast.rotation_matrices(np.array([[0.0, pan, 0.0], [tilt, 0.0, 0.0], [0.0, 0.0, roll]]))
    return np.asarray(turns[2] @ turns[1] @ turns[0] @ rotation)

"""Backgrounds and light of the example renders, all procedural: rooms, streets, parks and a plain studio."""

from __future__ import annotations

from typing import Any

import _studio as studio
import bpy
import numpy as np

Colour = tuple[float, float, float]


def build_set(kind: str, rng: np.random.Generator, scene: Any, camera_distance: float) -> float:
    """Build ``room``, ``street``, ``park`` or ``studio`` around the origin, lit; returns the exposure in stops.

    The camera stands at +z and looks along -z, ``camera_distance`` metres from the origin.
    """
    builders = {"room": _room, "street": _street, "park": _park, "studio": _studio_set}
    return builders[kind](rng, scene, camera_distance)


def _grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.15) -> Colour:
    value = rng.uniform(low, high)
    red, green, blue = value * (1 + rng.uniform(-tint, tint, 3))
    return float(red), float(green), float(blue)


def _world(scene: Any, low: Colour, high: Colour, strength: float, clouds: bool) -> None:
    """Sky: a gradient from the horizon up, optionally with clouds."""
    world = bpy.data.worlds.new("world")
    scene.world = world
    if world.node_tree is None:
        world.use_nodes = True
    tree = world.node_tree
    background = next(node for node in tree.nodes if node.type == "BACKGROUND")
    coordinates = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(coordinates, split.inputs[0])
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.0, 0.6
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (*low, 1.0), (*high, 1.0)
    tree.links.new(split.outputs[2], ramp.inputs[0])
    colour = ramp.outputs[0]
    if clouds:
        stretch = tree.nodes.new("ShaderNodeMapping")
        stretch.inputs["Scale"].default_value = (0.35, 0.35, 1.0)
        tree.links.new(_flattened(tree, split), stretch.inputs[0])
        noise = tree.nodes.new("ShaderNodeTexImage")
        noise.image = studio.noise_image()
        tree.links.new(stretch.outputs[0], noise.inputs["Vector"])
        cover = tree.nodes.new("ShaderNodeValToRGB")
        cover.color_ramp.elements[0].position, cover.color_ramp.elements[1].position = 0.48, 0.7
        tree.links.new(noise.outputs[0], cover.inputs[0])
        mix = tree.nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        tree.links.new(cover.outputs[0], mix.inputs[0])
        tree.links.new(colour, mix.inputs[6])
        mix.inputs[7].default_value = (0.9, 0.92, 0.95, 1.0)
        colour = mix.outputs[2]
    tree.links.new(colour, background.inputs[0])
    background.inputs[1].default_value = strength
    world.cycles.sampling_method = "MANUAL"
    world.cycles.sample_map_resolution = 64


def _flattened(tree: Any, split: Any) -> Any:
    """Sky direction laid on a flat layer of clouds: (x, y) / (|z| + 0.25)."""
    away = tree.nodes.new("ShaderNodeMath")
    away.operation = "ADD"
    away.inputs[1].default_value = 0.25
    tree.links.new(split.outputs[2], away.inputs[0])
    joined = tree.nodes.new("ShaderNodeCombineXYZ")
    for axis in (0, 1):
        ratio = tree.nodes.new("ShaderNodeMath")
        ratio.operation = "DIVIDE"
        tree.links.new(split.outputs[axis], ratio.inputs[0])
        tree.links.new(away.outputs[0], ratio.inputs[1])
        tree.links.new(ratio.outputs[0], joined.inputs[axis])
    return joined.outputs[0]


def _lamp(scene: Any, kind: str, energy: float, colour: Colour, **values: Any) -> Any:
    lamp = bpy.data.lights.new(kind, kind)
    lamp.energy, lamp.color = energy, colour
    for key, value in values.items():
        setattr(lamp, key, value)
    found = bpy.data.objects.new(kind, lamp)
    scene.collection.objects.link(found)
    return found


def _sun(rng: np.random.Generator, scene: Any) -> None:
    """Sun from the camera's side of the scene or from the side, sometimes from behind the people."""
    soft = rng.random() < 0.35
    lamp = _lamp(
        scene,
        "SUN",
        1.2 if soft else float(rng.uniform(2.3, 3.6)),
        (1.0, 0.95, float(rng.uniform(0.8, 0.92))),
        angle=0.35 if soft else 0.02,
    )
    # A lamp shines along its -z; a positive turn about x makes its light travel away from the camera.
    lamp.rotation_euler = (float(rng.uniform(0.35, 1.0)), 0.0, float(rng.normal(0.0, 0.8)))


def _tiles(
    name: str, first: Colour, second: Colour, mortar: Colour, size: tuple[float, float], roughness: float
) -> Any:
    """Bricks, paving or planks by object coordinates; ``size`` is width and height in metres."""
    nodes = studio.Nodes(name)
    bricks = nodes.node("ShaderNodeTexBrick", Scale=1.0)
    for socket, value in (("Color1", first), ("Color2", second), ("Mortar", mortar)):
        bricks.inputs[socket].default_value = (*value, 1.0)
    bricks.inputs["Brick Width"].default_value, bricks.inputs["Row Height"].default_value = size
    bricks.inputs["Mortar Size"].default_value = 0.012 * min(1.0, size[1] / 0.1)
    nodes.link(nodes.object_coordinates(), bricks.inputs["Vector"])
    stain = nodes.ramp(nodes.noise(nodes.object_coordinates(), 1.3), 0.25, 0.75, (0.75, 0.75, 0.75), (1.1, 1.1, 1.1))
    return nodes.finish(nodes.multiply(bricks.outputs[0], stain), roughness)


def _speckled(name: str, first: Colour, second: Colour, scale: float, roughness: float = 0.9) -> Any:
    nodes = studio.Nodes(name)
    fine = nodes.ramp(nodes.noise(nodes.object_coordinates(), scale), 0.3, 0.7, first, second)
    broad = nodes.ramp(nodes.noise(nodes.object_coordinates(), 0.35), 0.3, 0.7, (0.8, 0.8, 0.8), (1.1, 1.1, 1.1))
    return nodes.finish(nodes.multiply(fine, broad), roughness, 0.15)


def _upright(material_tiles: Any, low: list[float], high: list[float], yaw: float = 0.0) -> Any:
    """A wall: the tile texture runs along its face because the box is built lying and then stood up."""
    low_a, high_a = np.asarray(low, float), np.asarray(high, float)
    size, centre = high_a - low_a, (low_a + high_a) / 2
    # built in its own frame with z as the wall's thickness: Blender's object x and y are along the wall
    half = size / 2
    box = studio.add_box("wall", [-half[0], -half[2], -half[1]], [half[0], half[2], half[1]], material_tiles)
    box.rotation_euler = (np.pi / 2, 0.0, yaw)
    box.location = tuple(studio.to_blender(centre))
    return box


def _room(rng: np.random.Generator, scene: Any, camera_distance: float) -> float:
    back, side = -float(rng.uniform(1.0, 3.2)), float(rng.uniform(2.0, 3.4))
    near, height = camera_distance + 1.0, max(2.6, float(rng.uniform(2.5, 3.0)))
    wall = _speckled("plaster", *(2 * [_grey(rng, 0.35, 0.85, 0.12)]), 30.0)
    if rng.random() < 0.3:
        red = (0.36, 0.16, 0.11)
        back_wall = _tiles("brick", red, (0.27, 0.12, 0.09), (0.5, 0.48, 0.45), (0.24, 0.08), 0.9)
    else:
        back_wall = _speckled("back", *(2 * [_grey(rng, 0.3, 0.85, 0.25)]), 30.0)
    wood = _grey(rng, 0.15, 0.4, 0.05)
    wood = (wood[0] * 1.15, wood[1] * 0.85, wood[2] * 0.6)
    darker = tuple(0.75 * c for c in wood)
    if rng.random() < 0.65:
        floor = _tiles("planks", wood, darker, tuple(0.4 * c for c in wood), (1.4, 0.14), 0.45)
    else:
        tone = _grey(rng, 0.3, 0.6, 0.06)
        floor = _tiles("tiles", tone, tuple(0.92 * c for c in tone), tuple(0.6 * c for c in tone), (0.4, 0.4), 0.35)
    studio.add_box("floor", [-side, -0.1, back], [side, 0.0, near], floor)
    studio.add_box(
        "ceiling", [-side, height, back], [side, height + 0.1, near], studio.plain_material("c", (0.8, 0.8, 0.78))
    )
    _upright(back_wall, [-side, 0.0, back - 0.1], [side, height, back])
    studio.add_box("left", [-side - 0.1, 0, back], [-side, height, near], wall)
    studio.add_box("right", [side, 0, back], [side + 0.1, height, near], wall)
    studio.add_box(
        "skirting", [-side, 0, back], [side, 0.09, back + 0.015], studio.plain_material("s", (0.75, 0.74, 0.7), 0.4)
    )
    window = rng.random() < 0.5
    if window:
        _window(rng, back, float(rng.uniform(-side + 0.9, side - 0.9)))
    _furniture(rng, back, side, wood, pictures=not window)
    for x in (-0.45 * side, 0.5 * side):
        lamp = _lamp(scene, "AREA", float(rng.uniform(45, 80)), (1.0, 0.93, float(rng.uniform(0.78, 0.9))), size=1.2)
        lamp.location = tuple(studio.to_blender(np.array([x, height - 0.06, rng.uniform(0.3, 0.7) * camera_distance])))
    _world(scene, (0.75, 0.8, 0.9), (0.7, 0.78, 0.9), float(rng.uniform(0.45, 0.7)), False)
    return 0.35


def _window(rng: np.random.Generator, back: float, x: float) -> None:
    width, low, high = float(rng.uniform(0.9, 1.5)), 0.9, 2.2
    nodes = studio.Nodes("daylight")
    nodes.shader.inputs["Emission Color"].default_value = (0.75, 0.87, 1.0, 1.0)
    nodes.shader.inputs["Emission Strength"].default_value = 2.2
    glass = nodes.finish((0.6, 0.7, 0.8), 0.3)
    frame = studio.plain_material("frame", (0.7, 0.69, 0.66), 0.4)
    studio.add_box("glass", [x - width / 2, low, back + 0.002], [x + width / 2, high, back + 0.01], glass)
    for left, bottom, right, top in (
        (-0.06, -0.06, width + 0.06, 0.0),
        (-0.06, high - low, width + 0.06, high - low + 0.06),
        (-0.06, 0.0, 0.0, high - low),
        (width, 0.0, width + 0.06, high - low),
        (width / 2 - 0.025, 0.0, width / 2 + 0.025, high - low),
    ):
        studio.add_box(
            "frame", [x - width / 2 + left, low + bottom, back], [x - width / 2 + right, low + top, back + 0.04], frame
        )


def _furniture(rng: np.random.Generator, back: float, side: float, wood: Colour, pictures: bool) -> None:
    """A shelf with books, a low cabinet, pictures on the wall and a plant, all along the back wall."""
    timber = studio.plain_material("timber", tuple(min(1.0, c * float(rng.uniform(0.6, 1.6))) for c in wood), 0.5)
    if rng.random() < 0.7:
        x, width = float(rng.choice([-1, 1])) * (side - 0.75), 1.1
        for level in (0.05, 0.5, 0.95, 1.4, 1.85):
            studio.add_box("shelf", [x - width / 2, level, back], [x + width / 2, level + 0.03, back + 0.3], timber)
            place = x - width / 2 + 0.05
            while level < 1.8 and place < x + width / 2 - 0.08:
                thick, tall = float(rng.uniform(0.02, 0.06)), float(rng.uniform(0.2, 0.34))
                if rng.random() < 0.85:
                    cover = studio.plain_material("book", tuple(float(c) for c in rng.uniform(0.03, 0.6, 3)), 0.6)
                    deep = back + float(rng.uniform(0.18, 0.26))
                    studio.add_box(
                        "book", [place, level + 0.03, back + 0.03], [place + thick, level + tall, deep], cover
                    )
                place += thick + 0.004
        for edge in (x - width / 2, x + width / 2 - 0.03):
            studio.add_box("side", [edge, 0, back], [edge + 0.03, 1.9, back + 0.3], timber)
    if rng.random() < 0.6:
        x = float(rng.uniform(-0.5, 0.5)) * side
        studio.add_box("cabinet", [x - 0.7, 0.12, back], [x + 0.7, 0.75, back + 0.42], timber)
    for part in range(int(rng.integers(0, 3)) if pictures else 0):
        x, y = (float(rng.uniform(-0.6, -0.1)) + 0.7 * part) * side, float(rng.uniform(1.35, 1.7))
        half = rng.uniform(0.2, 0.4, 2)
        studio.add_box(
            "frame",
            [x - half[0], y - half[1], back],
            [x + half[0], y + half[1], back + 0.03],
            studio.plain_material("frame", (0.05, 0.04, 0.04), 0.4),
        )
        paint = [tuple(float(c) for c in rng.uniform(0.05, 0.8, 3)) for _ in range(2)]
        studio.add_box(
            "picture",
            [x - half[0] + 0.03, y - half[1] + 0.03, back + 0.03],
            [x + half[0] - 0.03, y + half[1] - 0.03, back + 0.034],
            _speckled("picture", paint[0], paint[1], 4.0),
        )


def _street(rng: np.random.Generator, scene: Any, camera_distance: float) -> float:
    tone = _grey(rng, 0.18, 0.42, 0.06)
    size = (0.6, 0.6) if rng.random() < 0.5 else (0.22, 0.11)
    paving = _tiles("paving", tone, tuple(0.85 * c for c in tone), tuple(0.6 * c for c in tone), size, 0.85)
    studio.add_box("paving", [-40, -0.1, -60], [40, 0.0, 30], paving)
    back = -float(rng.uniform(2.5, 9.0))
    x = -26.0
    while x < 26:
        width, height = float(rng.uniform(5, 9)), float(rng.uniform(5, 12))
        if rng.random() < 0.5:
            red = float(rng.uniform(0.2, 0.45))
            facade = _tiles(
                "facade",
                (red, 0.45 * red, 0.33 * red),
                (0.8 * red, 0.36 * red, 0.27 * red),
                (0.4, 0.38, 0.35),
                (0.24, 0.08),
                0.9,
            )
        else:
            facade = _speckled("facade", *(2 * [_grey(rng, 0.3, 0.75, 0.2)]), 20.0)
        _upright(facade, [x, 0.0, back - 6], [x + width, height, back])
        glass = studio.plain_material("glass", _grey(rng, 0.02, 0.08), 0.08, 0.6)
        trim = studio.plain_material("trim", _grey(rng, 0.4, 0.8, 0.05), 0.6)
        columns = int(width // 2)
        for row in range(int(height // 3)):
            for column in range(columns):
                left, bottom = x + 0.7 + column * (width - 0.8) / columns, 0.9 + 3.0 * row
                studio.add_box(
                    "trim", [left - 0.08, bottom - 0.08, back], [left + 1.08, bottom + 1.58, back + 0.05], trim
                )
                studio.add_box("window", [left, bottom, back + 0.03], [left + 1.0, bottom + 1.5, back + 0.06], glass)
        x += width + float(rng.choice([0.0, 0.0, 1.5]))
    if rng.random() < 0.5:
        iron = studio.plain_material("iron", (0.03, 0.035, 0.04), 0.4)
        for x in np.arange(-12, 12, float(rng.uniform(1.6, 3.0))):
            studio.add_box("bollard", [x - 0.06, 0, back + 1.0], [x + 0.06, 0.9, back + 1.12], iron)
    _sun(rng, scene)
    _world(scene, (0.62, 0.72, 0.85), (0.2, 0.4, 0.75), float(rng.uniform(0.8, 1.1)), rng.random() < 0.6)
    return 0.45


def _park(rng: np.random.Generator, scene: Any, camera_distance: float) -> float:
    green = rng.uniform(0.7, 1.2)
    grass = _speckled("grass", (0.06 * green, 0.1 * green, 0.025), (0.14 * green, 0.19 * green, 0.05), 38.0)
    if rng.random() < 0.3:
        grass = _speckled("sand", (0.5, 0.42, 0.3), (0.62, 0.53, 0.4), 25.0)
    studio.add_box("ground", [-80, -0.1, -120], [80, 0.0, 40], grass)
    if rng.random() < 0.5:
        path = _speckled("path", (0.36, 0.32, 0.26), (0.45, 0.41, 0.34), 45.0)
        studio.add_box("path", [-60, -0.05, -5.5], [60, 0.004, -3.5], path, float(rng.normal(0, 0.1)))
    bark = studio.plain_material("bark", (0.09, 0.06, 0.04), 0.95)
    leaves = [
        _speckled("leaves", (0.02, 0.05 * g, 0.012), (0.1 * g, 0.2 * g, 0.04), 9.0) for g in rng.uniform(0.7, 1.5, 3)
    ]
    for _ in range(int(rng.integers(8, 16))):
        _tree(rng, float(rng.uniform(-22, 22)), -float(rng.uniform(5, 35)), bark, leaves[int(rng.integers(3))])
    for z, tall in ((-45, 4.0), (-70, 9.0)):
        _hedge(rng, z, tall, leaves[0])
    _sun(rng, scene)
    _world(scene, (0.65, 0.75, 0.85), (0.2, 0.42, 0.8), float(rng.uniform(0.8, 1.1)), rng.random() < 0.7)
    return 0.6


def _ball(rng: np.random.Generator, radius: float, roughness: float) -> tuple[np.ndarray, np.ndarray]:
    """A lumpy sphere of latitude and longitude triangles."""
    rows, columns = 18, 28
    v, u = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij")
    points = np.stack([np.sin(v) * np.cos(u), np.cos(v), np.sin(v) * np.sin(u)], -1)
    points = points * (radius * (1 + roughness * rng.normal(0, 1, (rows, columns, 1))))
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], right[:-1], right[1:], index[1:]], -1).reshape(-1, 4)
    return points.reshape(-1, 3), quads


def _tree(rng: np.random.Generator, x: float, z: float, bark: Any, leaves: Any) -> None:
    height = float(rng.uniform(3.5, 8.0))
    studio.add_box("trunk", [x - 0.14, 0, z - 0.14], [x + 0.14, 0.5 * height, z + 0.14], bark, float(rng.uniform(0, 1)))
    points, quads, start = [], [], 0
    for _ in range(7):
        ball, faces = _ball(rng, float(rng.uniform(0.18, 0.28)) * height, 0.12)
        points.append(ball + np.array([x, 0.68 * height, z]) + rng.normal(0, 0.13 * height, 3))
        quads.append(faces + start)
        start += len(ball)
    studio.add_mesh("crown", np.concatenate(points), np.concatenate(quads), leaves)


def _hedge(rng: np.random.Generator, z: float, tall: float, leaves: Any) -> None:
    points, quads, start = [], [], 0
    for x in np.arange(-70, 70, 3.0):
        ball, faces = _ball(rng, tall * float(rng.uniform(0.6, 1.0)), 0.08)
        points.append(ball * (1.0, 0.9, 0.6) + np.array([x + rng.normal(), 0.2 * tall, z]))
        quads.append(faces + start)
        start += len(ball)
    studio.add_mesh("hedge", np.concatenate(points), np.concatenate(quads), leaves)


def _studio_set(rng: np.random.Generator, scene: Any, camera_distance: float) -> float:
    """A paper sweep behind the person and two soft lights."""
    tone = _grey(rng, 0.25, 0.75, 0.12)
    paper = studio.plain_material("paper", tone, 0.9, 0.1)
    angle = np.linspace(0, np.pi / 2, 9)
    z = np.concatenate([[camera_distance + 3.0], -1.6 - 1.2 * np.sin(angle), [-2.8]])
    y = np.concatenate([[0.0], 1.2 - 1.2 * np.cos(angle), [8.0]])
    rows = len(z)
    points = np.array([[x, y[i], z[i]] for x in (-12.0, 12.0) for i in range(rows)])
    quads = np.array([[i, i + 1, rows + i + 1, rows + i] for i in range(rows - 1)])
    studio.add_mesh("sweep", points, quads, paper)
    for x, power in ((-2.2, 160.0), (2.4, 80.0)):
        lamp = _lamp(scene, "AREA", power * float(rng.uniform(0.8, 1.2)), (1.0, 0.97, 0.93), size=1.6)
        place = np.array([x, 2.6, 2.4])
        lamp.location = tuple(studio.to_blender(place))
        lamp.rotation_euler = (float(np.arctan2(2.4, 1.5)), 0.0, float(np.arctan2(x, 2.4)))
    _world(scene, (0.8, 0.85, 0.9), (0.8, 0.85, 0.9), 0.5, False)
    return 0.0

"""The picture-taking side of the example renders: meshes, materials, camera and Cycles through ``bpy``.

Meshes come in camera-independent world coordinates with y up (metres); Blender's own z-up world is (x, -z, y) of them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import bpy
import numpy as np

Colour = tuple[float, float, float]


def new_scene(width: int, height: int, samples: int, seed: int, bounces: int = 2) -> Any:
    """Empty the file and set Cycles up for a quick, denoised picture."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.compression = 10
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = False
    cycles.seed = seed % 2**31
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "FAST"
    cycles.denoising_quality = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = bounces, bounces, 1
    cycles.transmission_bounces, cycles.transparent_max_bounces = 1, 4
    cycles.use_light_tree = False
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    return scene


def to_blender(points: np.ndarray) -> np.ndarray:
    """World with y up to Blender's world with z up, (..., 3)."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def add_mesh(
    name: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    material: Any,
    colours: np.ndarray | None = None,
    rest: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    faces_uv: np.ndarray | None = None,
    printed: np.ndarray | None = None,
    smooth: bool = True,
) -> Any:
    """Add a triangle (F, 3) or quad (F, 4) mesh; ``colours``, ``rest``, ``printed`` become its attributes."""
    sides = faces.shape[1]
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", to_blender(vertices).astype(np.float32).ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.astype(np.int32).ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, sides, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.full(len(faces), smooth))
    if colours is not None:
        rgba = np.concatenate([colours, np.ones((len(colours), 1))], axis=1)
        mesh.attributes.new("paint", "FLOAT_COLOR", "POINT").data.foreach_set("color", rgba.astype(np.float32).ravel())
    if rest is not None:
        mesh.attributes.new("rest", "FLOAT_VECTOR", "POINT").data.foreach_set("vector", rest.astype(np.float32).ravel())
    if printed is not None:
        mesh.attributes.new("printed", "FLOAT", "POINT").data.foreach_set("value", printed.astype(np.float32))
    if uv is not None and faces_uv is not None and len(uv):
        mesh.uv_layers.new(name="uv").data.foreach_set("uv", uv[faces_uv.ravel()].astype(np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.materials.append(material)
    found = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(found)
    return found


def add_box(name: str, low: np.ndarray, high: np.ndarray, material: Any, yaw: float = 0.0) -> Any:
    """An axis-aligned box between two corners (y up), turned by ``yaw`` radians about its own vertical axis."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    low, high = np.asarray(low, float), np.asarray(high, float)
    centre = (low + high) / 2
    points = (corners - 0.5) * (high - low)
    c, s = np.cos(yaw), np.sin(yaw)
    points = points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + centre
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return add_mesh(name, points, quads, material, smooth=False)


NOISE_CELLS = 8


def noise_image() -> Any:
    """The seamless fractal noise picture all materials share: mean 0.5, most of it between 0.2 and 0.8."""
    found = bpy.data.images.get("noise")
    if found is not None:
        return found
    values = _fractal_noise()
    size = len(values)
    image = bpy.data.images.new("noise", size, size, float_buffer=False)
    image.colorspace_settings.name = "Non-Color"
    pixels = np.ones((size, size, 4), dtype=np.float32)
    pixels[..., :3] = values[..., None]
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image


@lru_cache(maxsize=1)
def _fractal_noise(size: int = 512) -> np.ndarray:
    from scipy.ndimage import zoom

    rng = np.random.default_rng(0)
    total = np.zeros((size, size))
    cells, weight = NOISE_CELLS, 1.0
    while cells <= size // 2:
        grid = rng.normal(0.0, 1.0, (cells, cells))
        total += weight * zoom(grid, size // cells, order=3, mode="grid-wrap", grid_mode=True)
        cells, weight = cells * 2, weight * 0.6
    return np.clip(0.5 + 0.16 * total / total.std(), 0.0, 1.0)


class Nodes:
    """A material's node tree with the few helpers needed here."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        if self.material.node_tree is None:
            self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = next(node for node in self.tree.nodes if node.type == "BSDF_PRINCIPLED")

    def node(self, kind: str, **values: Any) -> Any:
        """Add a node; keyword values set its properties or, where there is none, its inputs."""
        node = self.tree.nodes.new(kind)
        for key, value in values.items():
            if hasattr(node, key):
                setattr(node, key, value)
            else:
                node.inputs[key.replace("_", " ")].default_value = value
        return node

    def link(self, source: Any, target: Any) -> None:
        """Connect an output to an input."""
        self.tree.links.new(source, target)

    def attribute(self, name: str, output: str) -> Any:
        """Output of a mesh attribute."""
        return self.node("ShaderNodeAttribute", attribute_name=name).outputs[output]

    def object_coordinates(self) -> Any:
        """Object coordinates, metres."""
        return self.node("ShaderNodeTexCoord").outputs["Object"]

    def noise(self, coordinates: Any, scale: float, stretch: Colour = (1.0, 1.0, 1.0)) -> Any:
        """Fractal noise around 0.5, ``scale`` blots per unit; a picture lookup, far cheaper than a noise node."""
        slant = self.node("ShaderNodeVectorMath", operation="MULTIPLY_ADD")
        split = self.node("ShaderNodeSeparateXYZ")
        self.link(coordinates, split.inputs[0])
        self.link(split.outputs[2], slant.inputs[0])
        slant.inputs[1].default_value = (0.73, 0.61, 0.0)
        self.link(coordinates, slant.inputs[2])
        mapping = self.node("ShaderNodeMapping")
        mapping.inputs["Scale"].default_value = tuple(scale / NOISE_CELLS * factor for factor in stretch)
        self.link(slant.outputs[0], mapping.inputs["Vector"])
        image = self.node("ShaderNodeTexImage", image=noise_image(), interpolation="Linear")
        self.link(mapping.outputs["Vector"], image.inputs["Vector"])
        return image.outputs[0]

    def ramp(self, value: Any, low: float, high: float, first: Colour, second: Colour) -> Any:
        """Colour running from ``first`` at ``low`` to ``second`` at ``high``."""
        ramp = self.node("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = low, high
        ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (*first, 1.0), (*second, 1.0)
        self.link(value, ramp.inputs[0])
        return ramp.outputs[0]

    def multiply(self, first: Any, second: Any) -> Any:
        """Product of two colours."""
        mix = self.node("ShaderNodeMix", data_type="RGBA", blend_type="MULTIPLY")
        mix.inputs[0].default_value = 1.0
        self.link(first, mix.inputs[6])
        self.link(second, mix.inputs[7])
        return mix.outputs[2]

    def bump(self, height: Any, strength: float, distance: float) -> None:
        """Shade with a bumpy surface."""
        node = self.node("ShaderNodeBump", Strength=strength, Distance=distance)
        self.link(height, node.inputs["Height"])
        self.link(node.outputs[0], self.shader.inputs["Normal"])

    def finish(self, colour: Any, roughness: float, specular: float = 0.3) -> Any:
        """Set colour (a socket or a value) and gloss; returns the material."""
        if isinstance(colour, tuple):
            self.shader.inputs["Base Color"].default_value = (*colour, 1.0)
        else:
            self.link(colour, self.shader.inputs["Base Color"])
        self.shader.inputs["Roughness"].default_value = roughness
        self.shader.inputs["Specular IOR Level"].default_value = specular
        return self.material


def skin_material() -> Any:
    """Painted skin with slight blotches and pores."""
    nodes = Nodes("skin")
    rest = nodes.attribute("rest", "Vector")
    blotches = nodes.ramp(nodes.noise(rest, 9.0), 0.3, 0.75, (0.9, 0.86, 0.86), (1.06, 1.02, 1.0))
    nodes.bump(nodes.noise(rest, 160.0), 0.12, 0.002)
    return nodes.finish(nodes.multiply(nodes.attribute("paint", "Color"), blotches), 0.48, 0.35)


def plain_material(name: str, colour: Colour, roughness: float = 0.8, specular: float = 0.3) -> Any:
    """One colour."""
    return Nodes(name).finish(colour, roughness, specular)


def painted_material(name: str, roughness: float) -> Any:
    """The mesh's own painted colours."""
    nodes = Nodes(name)
    return nodes.finish(nodes.attribute("paint", "Color"), roughness, 0.5)


def cloth_material(name: str, pattern: str, accent: Colour, scale: float, roughness: float = 0.85) -> Any:
    """Painted cloth with folds, weave and a pattern: ``plain``, ``stripes``, ``plaid`` or ``dots``.

    Args:
        name: material name.
        pattern: what is printed on it.
        accent: colour factor of the printed part.
        scale: stripes or dots per metre.
        roughness: 0 mirror, 1 chalk.
    """
    nodes = Nodes(name)
    rest = nodes.attribute("rest", "Vector")
    wear = nodes.ramp(nodes.noise(rest, 6.0), 0.3, 0.7, (0.82, 0.82, 0.82), (1.05, 1.05, 1.05))
    colour = nodes.multiply(nodes.attribute("paint", "Color"), wear)
    printed = colour
    directions = {"stripes": ("Y",), "plaid": ("X", "Y")}.get(pattern, ())
    for direction in directions:
        wave = nodes.node("ShaderNodeTexWave", bands_direction=direction, Scale=scale / 3.2)
        nodes.link(rest, wave.inputs["Vector"])
        printed = nodes.multiply(printed, nodes.ramp(wave.outputs[1], 0.5, 0.6, (1.0, 1.0, 1.0), accent))
    if pattern == "dots":
        dots = nodes.node("ShaderNodeTexVoronoi", Scale=scale, Randomness=0.0)
        nodes.link(rest, dots.inputs["Vector"])
        printed = nodes.multiply(printed, nodes.ramp(dots.outputs[0], 0.25, 0.3, accent, (1.0, 1.0, 1.0)))
    if printed is not colour:
        mix = nodes.node("ShaderNodeMix", data_type="RGBA")
        nodes.link(nodes.attribute("printed", "Fac"), mix.inputs[0])
        nodes.link(colour, mix.inputs[6])
        nodes.link(printed, mix.inputs[7])
        colour = mix.outputs[2]
    folds = nodes.noise(rest, 11.0, (1.0, 0.45, 1.0))
    nodes.bump(folds, 0.55, 0.03)
    return nodes.finish(colour, roughness, 0.15)


def hair_material(colour: Colour) -> Any:
    """Hair: streaks along the strands (the v direction of the texture coordinates)."""
    nodes = Nodes("hair")
    uv = nodes.node("ShaderNodeTexCoord").outputs["UV"]
    streaks = nodes.noise(uv, 30.0, (6.0, 0.25, 1.0))
    bright = tuple(min(1.0, 1.9 * c + 0.01) for c in colour)
    dark = tuple(0.45 * c for c in colour)
    nodes.bump(streaks, 0.8, 0.01)
    return nodes.finish(nodes.ramp(streaks, 0.3, 0.7, dark, bright), 0.55, 0.2)


def set_camera(scene: Any, K: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> None:
    """Place the camera of an OpenCV projection ``K (R x + t)`` with x in the y-up world."""
    camera = bpy.data.cameras.new("camera")
    width, height = scene.render.resolution_x, scene.render.resolution_y
    camera.sensor_fit, camera.sensor_width = "HORIZONTAL", 36.0
    camera.lens = float(K[0, 0]) * 36.0 / width
    camera.shift_x = float(width / 2 - K[0, 2]) / width
    camera.shift_y = float(K[1, 2] - height / 2) / width
    camera.clip_start, camera.clip_end = 0.05, 500.0
    found = bpy.data.objects.new("camera", camera)
    centre = to_blender(-rotation.T @ translation)
    axes = to_blender(rotation)  # rows: camera x, y (down), z (forward) in Blender's world
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = axes[0], -axes[1], -axes[2], centre
    scene.collection.objects.link(found)
    found.matrix_world = [list(column) for column in matrix.T]
    scene.camera = found


def render(scene: Any, path: Path) -> None:
    """Render into a PNG file."""
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)

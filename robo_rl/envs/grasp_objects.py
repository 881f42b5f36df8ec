"""The things to grasp: one cube, or a procedural family whose train and held-out halves share no definition.

Every object is one free body of at most two geoms. Its origin is where a gripper should close and its y axis the
direction across which it is thin, so that one observation serves all shapes.
"""

# mujoco's names come from compiled modules without type stubs.
# pyright: reportAttributeAccessIssue=false

import functools
from typing import Literal, NamedTuple

import mujoco
import numpy as np

SHAPES = ("box", "capsule", "cylinder", "ellipsoid", "l_shape", "t_shape")
TRAIN_DEFINITIONS = range(0, 4096)
HELD_OUT_DEFINITIONS = range(1_000_000, 1_001_024)

_COLORS = {
    "cube": (0.86, 0.27, 0.20),
    "box": (0.86, 0.27, 0.20),
    "capsule": (0.18, 0.50, 0.75),
    "cylinder": (0.20, 0.62, 0.40),
    "ellipsoid": (0.90, 0.63, 0.16),
    "l_shape": (0.55, 0.33, 0.66),
    "t_shape": (0.15, 0.62, 0.65),
}


class Part(NamedTuple):
    """One primitive of an object: MuJoCo geom type and sizes, and its place in the body (m; quaternion w x y z)."""

    kind: mujoco.mjtGeom
    size: tuple[float, float, float]
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


class ObjectDefinition(NamedTuple):
    """A thing to grasp.

    shape: a name of SHAPES, or cube    parts: one or two primitives
    half_size: half extents (m) along body x, y, z of the part to grasp; z is also the height at which the body rests
    mass: kg    friction: Coulomb coefficient of sliding
    """

    shape: str
    parts: tuple[Part, ...]
    half_size: tuple[float, float, float]
    mass: float
    friction: float


_CUBE_SIZE = (0.0225, 0.0225, 0.0225)
CUBE = ObjectDefinition("cube", (Part(mujoco.mjtGeom.mjGEOM_BOX, _CUBE_SIZE),), _CUBE_SIZE, mass=0.08, friction=0.9)


def definitions_of(family: Literal["train", "held_out"]) -> range:
    """The numbers of all object definitions of a family; the two families have none in common."""
    return {"train": TRAIN_DEFINITIONS, "held_out": HELD_OUT_DEFINITIONS}[family]


@functools.lru_cache(maxsize=len(TRAIN_DEFINITIONS) + len(HELD_OUT_DEFINITIONS))
def define_object(number: int) -> ObjectDefinition:
    """The object of this number: shape, size, mass (30-150 g) and friction (0.6-1.2) follow from the number alone."""
    rng = np.random.default_rng((20, number))
    shape = SHAPES[rng.integers(len(SHAPES))]
    parts, half_size = _draw_parts(shape, rng)
    mass, friction = rng.uniform(0.03, 0.15), rng.uniform(0.6, 1.2)
    return ObjectDefinition(shape, parts, half_size, float(mass), float(friction))


def _draw_parts(shape: str, rng: np.random.Generator) -> tuple[tuple[Part, ...], tuple[float, float, float]]:
    """Primitives of a random object of this shape, and the half extents (m) of the part to grasp."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    if shape == "box":
        y = uniform(0.012, 0.028)
        half = (max(y, uniform(0.015, 0.04)), y, uniform(0.014, 0.03))
        return (Part(mujoco.mjtGeom.mjGEOM_BOX, half),), half
    if shape == "ellipsoid":
        y = uniform(0.015, 0.028)
        half = (max(y, uniform(0.02, 0.04)), y, uniform(0.015, 0.028))
        return (Part(mujoco.mjtGeom.mjGEOM_ELLIPSOID, half),), half
    if shape == "cylinder":
        radius, height = uniform(0.013, 0.028), uniform(0.016, 0.034)
        return (Part(mujoco.mjtGeom.mjGEOM_CYLINDER, (radius, height, 0.0)),), (radius, radius, height)
    if shape == "capsule":
        radius, straight = uniform(0.013, 0.025), uniform(0.012, 0.03)
        # MuJoCo's capsules stand along z; this one lies along x.
        lying = (0.7071067811865476, 0.0, 0.7071067811865476, 0.0)
        part = Part(mujoco.mjtGeom.mjGEOM_CAPSULE, (radius, straight, 0.0), quaternion=lying)
        return (part,), (radius + straight, radius, radius)
    bar = (uniform(0.034, 0.044), uniform(0.010, 0.014), uniform(0.012, 0.02))
    arm_half = uniform(0.012, 0.02)
    # An L carries its second arm on one side of the bar's end, a T on both; the bar's middle stays free for the pads.
    reach, offset = (arm_half, bar[1] + arm_half) if shape == "l_shape" else (bar[1] + 2 * arm_half, 0.0)
    place = (bar[0] - 0.009 if shape == "l_shape" else bar[0] + 0.009, offset, 0.0)
    arm = Part(mujoco.mjtGeom.mjGEOM_BOX, (0.009, reach, bar[2]), place)
    return (Part(mujoco.mjtGeom.mjGEOM_BOX, bar), arm), bar


def add_object(spec: mujoco.MjSpec, definition: ObjectDefinition) -> None:
    """Add the object to a scene: body and free joint `object`, geoms `object_0` and `object_1`.

    There are always two geoms, so that all objects share one model layout; an unneeded second one neither weighs,
    collides nor shows.
    """
    body = spec.worldbody.add_body(name="object", pos=(0.5, 0.0, definition.half_size[2]))
    body.add_freejoint(name="object")
    unused = Part(mujoco.mjtGeom.mjGEOM_SPHERE, (0.001, 0.0, 0.0))
    volumes = [_volume(part) for part in definition.parts]
    for index in range(2):
        used = index < len(definition.parts)
        part = definition.parts[index] if used else unused
        body.add_geom(
            name=f"object_{index}",
            type=part.kind,
            size=part.size,
            pos=part.position,
            quat=part.quaternion,
            mass=definition.mass * volumes[index] / sum(volumes) if used else 0.0,
            contype=2 if used else 0,
            conaffinity=5 if used else 0,
            condim=4,
            # With priority the object's friction counts in each of its contacts, not the larger of the two.
            priority=1,
            friction=(definition.friction, 0.01, 0.001),
            solref=(0.01, 1.0),
            solimp=(0.95, 0.99, 0.001, 0.5, 2.0),
            rgba=(*_COLORS[definition.shape], 1.0 if used else 0.0),
            group=1,
        )


def _volume(part: Part) -> float:
    """Volume of a box (m^3); for an object of one part only the share matters, so any positive number does."""
    return 8.0 * float(np.prod(part.size)) if int(part.kind) == int(mujoco.mjtGeom.mjGEOM_BOX) else 1.0


# What differs between two objects in a compiled model, by the kind of element that owns it. Constants that MuJoCo
# derives from mass and shape (invweight0, M0, rbound, ...) are among them, because a free body's do not depend on
# the rest of the scene.
BODY_FIELDS = ("body_mass", "body_subtreemass", "body_inertia", "body_ipos", "body_iquat", "body_invweight0")
DOF_FIELDS = ("dof_invweight0", "dof_M0", "dof_length")
GEOM_FIELDS = (
    *("geom_type", "geom_size", "geom_pos", "geom_quat", "geom_rbound", "geom_aabb", "geom_contype"),
    *("geom_conaffinity", "geom_friction", "geom_rgba", "geom_sameframe"),
)


@functools.lru_cache(maxsize=len(TRAIN_DEFINITIONS) + len(HELD_OUT_DEFINITIONS))
def object_fields(definition: ObjectDefinition) -> dict[str, np.ndarray]:
    """The object's fields as MuJoCo's compiler computes them: body `[1, ...]`, dof `[6, ...]`, geom `[2, ...]`."""
    spec = mujoco.MjSpec()
    add_object(spec, definition)
    model = spec.compile()
    body = model.body("object").id
    fields = {name: getattr(model, name)[body : body + 1].copy() for name in BODY_FIELDS}
    fields |= {name: getattr(model, name).copy() for name in DOF_FIELDS + GEOM_FIELDS}
    return fields

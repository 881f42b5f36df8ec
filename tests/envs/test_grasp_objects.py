import mujoco
import numpy as np
import pytest

from robo_rl.envs.grasp_objects import (
    BODY_FIELDS,
    CUBE,
    DOF_FIELDS,
    GEOM_FIELDS,
    HELD_OUT_DEFINITIONS,
    SHAPES,
    TRAIN_DEFINITIONS,
    add_object,
    define_object,
    definitions_of,
    object_fields,
)
from robo_rl.resources import asset

EXAMPLES = [CUBE, *({define_object(n).shape: define_object(n) for n in range(60)}).values()]


def test_families_share_no_definition():
    assert not set(definitions_of("train")) & set(definitions_of("held_out"))
    train = {define_object(n) for n in TRAIN_DEFINITIONS}
    held_out = {define_object(n) for n in HELD_OUT_DEFINITIONS}
    assert len(train) == len(TRAIN_DEFINITIONS)
    assert len(held_out) == len(HELD_OUT_DEFINITIONS)
    assert not train & held_out


@pytest.mark.parametrize("family", ["train", "held_out"])
def test_every_shape_is_about_as_frequent(family):
    numbers = definitions_of(family)
    drawn = [define_object(n).shape for n in numbers]
    assert set(drawn) == set(SHAPES)
    for shape in SHAPES:
        assert drawn.count(shape) / len(numbers) == pytest.approx(1 / len(SHAPES), abs=0.04)


def test_objects_fit_between_the_pads_and_differ():
    drawn = [define_object(n) for n in TRAIN_DEFINITIONS]
    widths = np.array([2 * thing.half_size[1] for thing in drawn])
    assert widths.min() >= 0.02
    assert widths.max() < 0.06
    masses, frictions = np.array([thing.mass for thing in drawn]), np.array([thing.friction for thing in drawn])
    assert 0.03 <= masses.min() < 0.04 < 0.14 < masses.max() <= 0.15
    assert 0.6 <= frictions.min() < 0.65 < 1.15 < frictions.max() <= 1.2


def test_a_definition_depends_on_its_number_alone():
    before = define_object(17)
    define_object.cache_clear()
    define_object(3)
    assert define_object(17) == before


@pytest.mark.parametrize("definition", EXAMPLES, ids=lambda definition: definition.shape)
def test_fields_are_those_of_the_whole_scene_compiled_with_this_object(definition):
    spec = mujoco.MjSpec.from_file(str(asset("grasp_scene.xml")))
    add_object(spec, definition)
    model = spec.compile()
    fields = object_fields(definition)
    assert set(fields) == set(BODY_FIELDS + DOF_FIELDS + GEOM_FIELDS)
    for name, values in fields.items():
        np.testing.assert_allclose(getattr(model, name)[-len(values) :], values, rtol=1e-9, err_msg=name)
    assert model.body_mass[model.body("object").id] == pytest.approx(definition.mass)


def test_examples_cover_all_shapes():
    assert {definition.shape for definition in EXAMPLES} == {*SHAPES, "cube"}

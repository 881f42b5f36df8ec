import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from robo_rl.critics.symexp_two_hot import SymexpTwoHot
from robo_rl.errors import ConfigError
from tests.critics.conformance import HeadConformance


class TestSymexpTwoHot(HeadConformance):
    loss_name = "symexp_two_hot"


def test_golden_g8_symexp_atoms():
    head = SymexpTwoHot(20.0, 255)
    want = np.zeros(255)
    want[146], want[147] = 0.684603, 0.315397
    np.testing.assert_allclose(head.encode(20.0), want, atol=1e-5)
    np.testing.assert_allclose(head.atoms[146:148], [18.928004, 22.326879], atol=1e-6)


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(bins=st.sampled_from([3, 4, 51, 102]), share=st.floats(-1, 1))
def test_decode_of_encode_is_the_target(bins, share):
    head = SymexpTwoHot(math.log1p(7.0), bins)
    y = 7.0 * share
    probabilities = head.encode(y)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
    assert int((probabilities > 0).sum()) <= 2
    assert float(head.decode(probabilities)) == pytest.approx(y, abs=1e-5)


@pytest.mark.parametrize("bins", [51, 52])
def test_atoms_are_mirrored_denser_near_zero_and_end_at_the_range(bins):
    atoms = SymexpTwoHot(math.log1p(5.0), bins).atoms
    assert len(atoms) == bins
    np.testing.assert_array_equal(atoms, -atoms[::-1])
    assert atoms[-1] == pytest.approx(5.0)
    gaps = np.diff(atoms)
    assert (np.diff(gaps[bins // 2 :]) > 0).all()


@pytest.mark.parametrize("at", [0, 10, 50])
def test_a_target_on_an_atom_has_all_its_mass_there(at):
    head = SymexpTwoHot(2.0, 51)
    probabilities = head.encode(np.float32(head.atoms[at]))
    assert int(np.argmax(probabilities)) == at
    assert float(probabilities[at]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("y", "value", "clipped"), [(5.0, 5.0, 0), (5.5, 5.0, 1), (-9.0, -5.0, 1)])
def test_a_target_beyond_the_atoms_is_clipped_and_counted(y, value, clipped):
    head = SymexpTwoHot(math.log1p(5.0), 21)
    got = head.target(y, 0.0, np.zeros(21, np.float32), 0.0)
    assert (float(got.value), float(got.clipped)) == (pytest.approx(value), clipped)


@pytest.mark.parametrize("shape", [(0.0, 9), (float("inf"), 9), (1.0, 1)])
def test_a_support_that_holds_nothing_is_refused(shape):
    with pytest.raises(ConfigError, match="support"):
        SymexpTwoHot(*shape)

"""Damaged files of tagger weights. What a whole file becomes: see test_modeling_taggers."""

import numpy as np
import pytest

from m2e.checkpoints.convert_taggers import convert_taggers, published_file
from m2e.errors import ModelError


@pytest.mark.parametrize("net", ["musicnn_msd", "fcn_msd"])
@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c[:40] + b"\0" * 60 + c[100:]])
def test_damaged_file(tmp_path, net, damage):
    path = published_file(tmp_path, net)
    path.parent.mkdir()
    np.savez_compressed(path, x=np.arange(999))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=rf"{path.name} cannot be read \(.*\): download it again\."):
        convert_taggers(tmp_path, [net])


@pytest.mark.parametrize("net", ["musicnn_msd", "fcn_msd"])
def test_arrays_that_are_not_those_of_a_tagger(tmp_path, net):
    path = published_file(tmp_path, net)
    path.parent.mkdir()
    np.savez(path, x=np.arange(9))
    with pytest.raises(
        ModelError, match=f"{path.name} (lacks the array|does not hold a).*: use the published .npz file."
    ):
        convert_taggers(tmp_path, [net])
    np.save(path.with_suffix(".npy"), np.arange(9))
    path.with_suffix(".npy").rename(path)
    with pytest.raises(ModelError, match=f"{path.name} cannot be read"):
        convert_taggers(tmp_path, [net])

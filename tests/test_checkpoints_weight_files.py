"""Files of weights: whole or damaged, ours or hostile."""

import os
import random

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from m2e.checkpoints.weight_files import check_weights, load_safely
from m2e.errors import ModelError


class Attack:
    def __reduce__(self):
        return os.system, ("true",)


def test_tensors_and_what_is_allowed(tmp_path):
    torch.save({"w": torch.arange(3)}, tmp_path / "x.pt")
    assert load_safely(tmp_path / "x.pt")["w"].tolist() == [0, 1, 2]
    torch.save({"w": Attack()}, tmp_path / "x.pt")
    with pytest.raises(ModelError) as error:
        load_safely(tmp_path / "x.pt")
    assert (
        str(error.value) == f"{tmp_path / 'x.pt'} cannot be read safely: download it again from where it was published."
    )
    with pytest.raises(ModelError, match="is not a file"):
        load_safely(tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "before 1.6"])
def test_damage_of_any_kind_is_one_sentence(tmp_path, legacy):
    path, chance = tmp_path / "x.pt", random.Random(0)
    torch.save({"w": torch.arange(30.0), "n": [1, "two", (3.0,)]}, path, _use_new_zipfile_serialization=not legacy)
    content, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(content[: chance.randrange(len(content))] if chance.random() < 0.3 else content)
        for _ in range(chance.randrange(1, 6)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            load_safely(path)
        except ModelError as error:
            refused += 1
            assert "cannot be read safely" in str(error)
    assert refused > 50


def test_header_of_safetensors(tmp_path):
    path, content = tmp_path / "x.safetensors", save({"w": np.ones(9)})
    path.write_bytes(content)
    check_weights(path)
    for damaged in (content[:-1], content[:5], b"", b"\xff" * 99):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"x\.safetensors is damaged \("):
            check_weights(path)
    path.write_bytes(save({}))
    with pytest.raises(ModelError, match="holds no weights"):
        check_weights(path)

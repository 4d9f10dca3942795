"""The chord transformer against the numbers of the published one."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modeling_m2e.chord_transformer_m2e import ChordTransformer, sinusoidal_positions
from modeling_m2e.configuration_m2e import M2EConfig


def test_positions_are_the_published_ones(fixtures):
    golden = np.load(fixtures / "head" / "forward.npz")["positional_encoding"]
    torch.testing.assert_close(sinusoidal_positions(100, 8), torch.tensor(golden), atol=2e-6, rtol=0)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])  # PyTorch takes another path without
def test_chord_transformer_has_the_published_numbers(fixtures, grad):
    golden = {name: torch.tensor(array) for name, array in np.load(fixtures / "head" / "forward.npz").items()}
    weights = load_file(fixtures / "head" / "chord_transformer_fp16.safetensors")
    names = {"chord_root_embedding": "root_embedding", "chord_attr_embedding": "quality_embedding"}
    names["chord_transformer"] = "encoder"
    net = ChordTransformer(M2EConfig.paper()).eval()
    net.load_state_dict({names[(parts := key.split(".", 1))[0]] + "." + parts[1]: w for key, w in weights.items()})
    with torch.set_grad_enabled(grad):
        got = net(golden["x_chord_root"], golden["x_chord_attr"])
        torch.testing.assert_close(got, golden["chord_cls"], atol=1e-5, rtol=0)
        for track, length in enumerate(golden["lengths"].tolist()):  # the model pads to 100 itself
            one = slice(track, track + 1), slice(0, length)
            alone = net(golden["x_chord_root"][one], golden["x_chord_attr"][one])
            torch.testing.assert_close(alone, golden["chord_cls"][one[0]], atol=1e-5, rtol=0)


class Operations(TorchDispatchMode):
    """Keeps the names of all operations, and the size of the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.add(func.name())
        self.largest = max([self.largest, *(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))])
        return result


def test_a_long_track_needs_no_scores_of_all_pairs_of_chords():
    transformer = ChordTransformer(M2EConfig.default()).eval()
    roots = torch.randint(1, 13, (1, 1500), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), Operations() as operations:
        transformer(roots, roots, mask=torch.ones(1, 1500, dtype=torch.bool))
    assert operations.largest < 1500 * 1500
    assert not any("transformer_encoder_layer_fwd" in name for name in operations.names)

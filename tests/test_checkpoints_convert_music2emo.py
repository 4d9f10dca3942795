import math
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from m2e.checkpoints.convert_music2emo import convert_music2emo_checkpoint
from m2e.errors import ModelError
from modeling_m2e.configuration_m2e import JAMENDO_MOOD_FREQUENCIES
from modeling_m2e.modeling_m2e import M2EForMusicEmotion
from modeling_m2e.output_m2e import calibrate


class Published(nn.Module):
    """The published network written down from its description, under its published tensor names."""

    def __init__(self, embedding_size=24, fusion_size=16, branch_size=12, moods=56):
        super().__init__()
        self.chord_root_embedding = nn.Embedding(14, 4)
        self.chord_attr_embedding = nn.Embedding(14, 4)
        layer = nn.TransformerEncoderLayer(8, 8, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.chord_transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.input_proj = nn.Sequential(nn.Linear(embedding_size + 8 + 1, fusion_size), nn.ReLU())
        self.classification_branch = self.branch(fusion_size, branch_size, moods)
        self.regression_branch = self.branch(fusion_size, branch_size, 2)
        for parameter in self.parameters():  # norms and biases too, or exchanged ones would pass
            nn.init.normal_(parameter, std=0.5)

    @staticmethod
    def branch(inputs, hidden, outputs):
        return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, embedding, roots, qualities, mode):
        """roots, qualities: (B, 100), zero padded."""
        tokens = torch.cat([self.chord_root_embedding(roots), self.chord_attr_embedding(qualities)], -1)
        angles = np.arange(100)[:, None] / 10000 ** (np.arange(0, 8, 2) / 8)
        positions = np.zeros((100, 8))
        positions[:, 0::2], positions[:, 1::2] = np.sin(angles), np.cos(angles)
        tokens = tokens + torch.tensor(positions, dtype=torch.float32)
        tokens = torch.cat([torch.zeros(len(tokens), 1, 8), tokens], 1)
        harmony = self.chord_transformer(tokens)[:, 0]
        hidden = self.input_proj(torch.cat([embedding, harmony, mode.float()[:, None]], 1))
        return self.classification_branch(hidden), self.regression_branch(hidden)


@pytest.fixture
def published() -> Published:
    torch.manual_seed(5)
    return Published().eval()


def lightning(network: nn.Module, pos_weight: torch.Tensor | None = None, **more) -> dict:
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    if pos_weight is not None:
        for loss in "loss_fn_classification", "loss_fn_classification_eval":
            state[f"{loss}.weight"], state[f"{loss}.pos_weight"] = 2 / (1 + pos_weight), pos_weight
    return {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.0.0", "state_dict": state, **more}


def test_converted_network_is_the_published_one(published, tmp_path):
    torch.save(lightning(published), tmp_path / "student.ckpt")
    model = convert_music2emo_checkpoint(tmp_path / "student.ckpt")
    assert isinstance(model, M2EForMusicEmotion) and not model.training
    assert (model.config.embedding_size, model.config.fusion_size, model.config.branch_size) == (24, 16, 12)

    lengths = [100, 37, 1, 0]
    roots, qualities = torch.zeros(2, 4, 100, dtype=torch.long)
    for track, length in enumerate(lengths):
        roots[track, :length] = torch.randint(0, 13, (length,))
        qualities[track, :length] = torch.randint(0, 14, (length,))
    embedding, mode = torch.randn(4, 24), torch.tensor([0, 1, 0, 1])
    moods, va = published(embedding, roots, qualities, mode)
    output = model(embedding, chord_roots=roots, chord_qualities=qualities, mode=mode)
    torch.testing.assert_close(output.mood_logits, moods, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.va, va, atol=1e-5, rtol=1e-5)
    short = model(embedding[1:2], chord_roots=roots[1:2, :37], chord_qualities=qualities[1:2, :37], mode=mode[1:2])
    torch.testing.assert_close(short.va, va[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("file", ["head_fp16.safetensors", "lightning_head.ckpt"])
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])
def test_golden_numbers_of_the_published_head(shared, fixtures, file, grad):
    golden = {name: torch.tensor(array) for name, array in np.load(fixtures / "head" / "forward.npz").items()}
    model = convert_music2emo_checkpoint(shared / "golden" / "head" / file)
    with torch.set_grad_enabled(grad):
        output = model(
            golden["x_mert"],
            chord_roots=golden["x_chord_root"],
            chord_qualities=golden["x_chord_attr"],
            mode=golden["x_key"],
            output_hidden_states=True,
        )
    torch.testing.assert_close(output.hidden_states[0], golden["chord_cls"], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.mood_logits, golden["classification"], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.va, golden["regression"], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.mood_logits.sigmoid(), golden["probabilities"], atol=1e-5, rtol=0)


def test_converted_model_travels(published, tmp_path):
    torch.save(lightning(published), tmp_path / "student.ckpt")
    model = convert_music2emo_checkpoint(tmp_path / "student.ckpt")
    model.save_pretrained(tmp_path / "repo")
    loaded = M2EForMusicEmotion.from_pretrained(tmp_path / "repo")
    embedding = torch.randn(2, 24)
    assert torch.equal(loaded(embedding).mood_logits, model(embedding).mood_logits)
    assert loaded.config.chord_vocabulary == "paper" and loaded.config.mood_offset == model.config.mood_offset


def test_every_layout_gives_the_same_model(published, tmp_path):
    torch.save(lightning(published), tmp_path / "a.ckpt")
    torch.save(published.state_dict(), tmp_path / "b.pt")
    save_file({name: t.contiguous() for name, t in published.state_dict().items()}, tmp_path / "c.safetensors")
    torch.save(lightning(published), tmp_path / "d.ckpt", _use_new_zipfile_serialization=False)
    names = "a.ckpt", "b.pt", "c.safetensors", "d.ckpt"
    models = [convert_music2emo_checkpoint(tmp_path / name) for name in names]
    for model in models[1:]:
        for name, tensor in models[0].state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor), name


def test_calibration_is_that_of_the_weighting_in_the_file(published, tmp_path):
    pos_weight = torch.linspace(2, 40, 56, dtype=torch.float64)
    torch.save(lightning(published, pos_weight), tmp_path / "student.ckpt")
    config = convert_music2emo_checkpoint(tmp_path / "student.ckpt").config
    assert config.mood_offset == pytest.approx([-math.log(weight) for weight in pos_weight.tolist()])
    at_zero = calibrate(np.zeros(56), None, config.mood_offset)
    np.testing.assert_allclose(at_zero, config.mood_thresholds, rtol=1e-12)

    torch.save(lightning(published), tmp_path / "without.ckpt")
    config = convert_music2emo_checkpoint(tmp_path / "without.ckpt").config
    assert config.mood_offset == pytest.approx([math.log(p) for p in JAMENDO_MOOD_FREQUENCIES])


class Callback:
    def __init__(self):
        self.best, self.paths = 0.5, ["a", "b"]

    def __setstate__(self, state):
        raise SystemExit("code of a class ran")


class AttributeDict(dict):
    pass


def run(*args):
    raise SystemExit("a function that the file names ran")


class Trap:
    def __init__(self, function):
        self.function = function

    def __reduce__(self):
        return self.function, ("true",)


def test_foreign_objects_in_the_file_are_skipped_not_run(published, tmp_path):
    """Optimiser and callback state, hyper-parameters of other packages, and code that must not run."""
    content = lightning(
        published,
        hyper_parameters=AttributeDict(lr=1e-4, sizes=[1, 2]),
        callbacks={"ModelCheckpoint": Callback(), "trap": Trap(run)},
        optimizer_states=[torch.optim.Adam(published.parameters()).state_dict()],
        best=np.float64(0.5),
    )
    torch.save(content, tmp_path / "student.ckpt")
    with pytest.raises(SystemExit):  # what an ordinary load would do
        torch.load(tmp_path / "student.ckpt", weights_only=False)
    model = convert_music2emo_checkpoint(tmp_path / "student.ckpt")
    assert torch.equal(model.va_branch[0].weight, published.regression_branch[0].weight)


def test_calls_of_the_operating_system_are_refused(published, tmp_path):
    torch.save(lightning(published, callbacks=Trap(os.system)), tmp_path / "student.ckpt")
    with pytest.raises(ModelError, match="cannot be read safely: download it again"):
        convert_music2emo_checkpoint(tmp_path / "student.ckpt")


def without(key):
    return lambda state: state.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("model.regression_branch.2.bias"), r"missing va_branch\.3\.bias"),
        (lambda state: state.update({"model.extra.weight": torch.zeros(1)}), r"unexpected extra\.weight"),
        (lambda state: state.update({"model.regression_branch.2.bias": torch.zeros(3)}), r"shape \(3,\) for \(2,\)"),
        (without("model.classification_branch.2.weight"), "not a Music2Emo network"),
        (without("model.input_proj.0.weight"), "not a Music2Emo network"),
        (lambda state: state.update({"model.regression_branch.2.bias": "text"}), "no state dict of tensors"),
        (lambda state: state.clear(), "not a Music2Emo network"),
    ],
)
def test_other_tensors_are_refused_by_name(published, tmp_path, change, message):
    content = lightning(published)
    change(content["state_dict"])
    torch.save(content, tmp_path / "student.ckpt")
    with pytest.raises(ModelError, match=message) as error:
        convert_music2emo_checkpoint(tmp_path / "student.ckpt")
    assert "student.ckpt" in str(error.value)


def test_other_tag_counts_are_refused(tmp_path):
    torch.save(lightning(Published(moods=50)), tmp_path / "student.ckpt")
    with pytest.raises(ModelError, match="50 mood outputs"):
        convert_music2emo_checkpoint(tmp_path / "student.ckpt")


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a file"):
        convert_music2emo_checkpoint(tmp_path / "absent.ckpt")
    for name, content in (("empty.ckpt", b""), ("text.ckpt", b"hello\n"), ("broken.safetensors", b"\x08")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            convert_music2emo_checkpoint(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(ModelError, match="no state dict"):
        convert_music2emo_checkpoint(str(tmp_path / "list.ckpt"))

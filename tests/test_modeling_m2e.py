import math

import pytest
import torch
from torch.nn import functional as F

from m2e.errors import DataError
from modeling_m2e.configuration_m2e import M2EConfig
from modeling_m2e.losses_m2e import mood_loss
from modeling_m2e.modeling_m2e import M2EForMusicEmotion, M2EModel

MOODS = ["calm", "tense", "sad"]
SMALL = {"embedding_size": 12, "chord_size": 16, "chord_ffn_size": 24, "fusion_size": 20, "branch_size": 10}


def default(**fields) -> M2EForMusicEmotion:
    torch.manual_seed(0)
    return M2EForMusicEmotion(M2EConfig.default(**{"moods": MOODS, **SMALL, **fields})).eval()


def paper(**fields) -> M2EForMusicEmotion:
    torch.manual_seed(0)
    config = M2EConfig.paper(**{"embedding_size": 12, "fusion_size": 20, "branch_size": 10, **fields})
    return M2EForMusicEmotion(config).eval()


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Two tracks: 3 windows each, 5 and 2 chords."""
    random = torch.Generator().manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    return {
        "embeddings": torch.randn(2, 3, 12, generator=random),
        "chord_roots": torch.randint(1, 13, (2, 5), generator=random) * mask,
        "chord_qualities": torch.randint(1, 14, (2, 5), generator=random) * mask,
        "chord_durations": torch.rand(2, 5, generator=random) * 4 * mask,
        "chord_mask": mask,
        "mode": torch.tensor([0.0, 1.0]),
    }


# The paper's preset


def test_paper_reads_the_first_hundred_chords_only(batch):
    model = paper()
    roots = torch.arange(130).remainder(12).add(1)[None]
    harmony = model.m2e.chord_transformer
    torch.testing.assert_close(harmony(roots, roots), harmony(roots[:, :100], roots[:, :100]))
    assert not torch.allclose(harmony(roots, roots), harmony(roots[:, :99], roots[:, :99]), atol=1e-4)


# Harmony of the default preset


def test_padding_changes_nothing(batch):
    model = default()
    both = model(**batch)
    for track, chords in enumerate((5, 2)):
        one = {name: tensor[track : track + 1] for name, tensor in batch.items()}
        one = {name: tensor[:, :chords] if name.startswith("chord") else tensor for name, tensor in one.items()}
        torch.testing.assert_close(model(**one).mood_logits, both.mood_logits[track : track + 1], atol=1e-6, rtol=1e-5)
    del batch["chord_mask"]  # is then read off the padding token
    torch.testing.assert_close(model(**batch).va, both.va)


def test_masked_chords_do_not_count_and_the_others_do(batch):
    model = default()
    before = model(**batch).va
    for name in "chord_roots", "chord_qualities", "chord_durations":
        padded = {**batch, name: batch[name].clone()}
        padded[name][1, 3] += 1
        torch.testing.assert_close(model(**padded).va, before)
        changed = {**batch, name: batch[name].clone()}
        changed[name][1, 1] += 1
        after = model(**changed).va
        torch.testing.assert_close(after[0], before[0])
        assert (after[1] - before[1]).abs().max() > 1e-4, name
    backwards = {
        **batch,
        "chord_roots": batch["chord_roots"].flip(1),
        "chord_qualities": batch["chord_qualities"].flip(1),
    }
    assert (model(**backwards).va[0] - before[0]).abs().max() > 1e-4
    minor = {**batch, "mode": torch.ones(2)}
    assert (model(**minor).va[0] - before[0]).abs().max() > 1e-4


def test_tracks_without_chords_are_all_predicted_alike(batch):
    model = default()
    masked = model(**{**batch, "chord_mask": torch.zeros(2, 5, dtype=torch.long)}).va
    empty = {name: tensor[:, :0] if name.startswith("chord") else tensor for name, tensor in batch.items()}
    none = {"embeddings": batch["embeddings"], "mode": batch["mode"]}
    assert masked.isfinite().all()
    torch.testing.assert_close(model(**empty).va, masked)
    torch.testing.assert_close(model(**none).va, masked)
    assert paper()(batch["embeddings"]).va.isfinite().all()


def test_tracks_without_chords_have_finite_gradients(batch):
    model = default().train()
    batch["chord_mask"][1] = 0
    model(**batch, va_labels=torch.tensor([[5.0, 5.0], [3.0, 7.0]])).loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.m2e.chord_transformer.cls.grad.abs().max() > 0


def test_max_chords_cuts_the_rest(batch):
    short = {name: tensor[:, :3] if name.startswith("chord") else tensor for name, tensor in batch.items()}
    model = default(max_chords=3)
    torch.testing.assert_close(model(**batch).va, model(**short).va)
    assert (default(max_chords=None)(**batch).va[0] - model(**batch).va[0]).abs().max() > 1e-4


# Windows


def test_average_is_weighted_over_windows(batch):
    model = default()
    windows = batch.pop("embeddings")
    weights = torch.tensor([[1.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
    expected = torch.stack([(windows[0] * weights[0, :, None]).sum(0) / 2.5, windows[1, :2].mean(0)])
    torch.testing.assert_close(model(windows, weights, **batch).va, model(expected, **batch).va, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(windows, **batch).va, model(windows.mean(1), **batch).va, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(windows, 2 * weights, **batch).va, model(windows, weights, **batch).va)


@pytest.mark.parametrize("norm", ["standard", "layer", "none"])
def test_windows_are_predicted_as_if_alone(batch, norm):
    model = default(embedding_norm=norm)
    windows = batch.pop("embeddings")
    together = model(windows, **batch)
    assert together.window_va.shape == (2, 3, 2)
    for index in range(3):
        alone = model(windows[:, index], **batch)
        torch.testing.assert_close(together.window_va[:, index], alone.va, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.window_va, alone.va[:, None])


def test_harmony_is_computed_once(batch):
    model, calls = default(), []
    model.m2e.chord_transformer.register_forward_hook(lambda *_: calls.append(1))
    model(**batch)
    assert calls == [1]


def test_windows_only_when_asked_in_training(batch):
    model = default()
    assert model(**batch, output_windows=False).window_va is None
    model.train()
    assert model(**batch).window_va is None
    assert model(**batch, output_windows=True).window_va.shape == (2, 3, 2)


# Ablations, sizes, precision


def test_encoder_only_ignores_chords_and_key(batch):
    model = default(use_harmony=False)
    torch.testing.assert_close(model(**batch).va, model(batch["embeddings"]).va, atol=0, rtol=0)
    assert model.m2e.fusion[0].in_features == 12 and not hasattr(model.m2e, "chord_transformer")


def test_harmony_only_ignores_audio(batch):
    model = default(use_encoder=False)
    output = model(**batch)
    del batch["embeddings"]
    torch.testing.assert_close(model(**batch).va, output.va, atol=0, rtol=0)
    assert output.window_va is None and model.m2e.fusion[0].in_features == 17


def test_outputs_have_the_documented_shapes(batch):
    output = default(num_quadrants=4)(**batch, output_hidden_states=True)
    assert output.mood_logits.shape == (2, 3) and output.va.shape == (2, 2) and output.quadrant_logits.shape == (2, 4)
    assert [tuple(state.shape) for state in output.hidden_states] == [(2, 16), (2, 20)]
    assert output.loss is None and output.mood_loss is None
    plain = default()(**batch)
    assert plain.quadrant_logits is None and plain.hidden_states is None
    as_tuple = default()(**batch, return_dict=False)
    assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], plain.mood_logits)


def test_lower_precision_takes_the_same_inputs(batch):
    exact = default()(**batch).va
    rounded = default().to(torch.bfloat16)(**batch).va
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.1, rtol=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(default()(**batch).va.float(), exact, atol=0.1, rtol=0.02)


def test_wrong_inputs_are_named(batch):
    model = default()
    with pytest.raises(ValueError, match=r"\(2, 3, 7\).*windows, 12\)"):
        model(torch.zeros(2, 3, 7))
    with pytest.raises(ValueError, match="embeddings"):
        model(mode=torch.zeros(2))
    with pytest.raises(ValueError, match="together"):
        model(batch["embeddings"], chord_roots=batch["chord_roots"])
    with pytest.raises(ValueError, match="neither"):
        default(use_encoder=False)()


# Standardisation


def test_statistics_standardise_the_embeddings(batch):
    model = default()
    windows = batch.pop("embeddings")
    before = model(windows, **batch).va
    mean, std = torch.linspace(-3, 3, 12), torch.linspace(0.5, 20, 12)
    model.set_embedding_statistics(mean.numpy(), std.double())
    torch.testing.assert_close(model(windows * std + mean, **batch).va, before, atol=1e-4, rtol=1e-4)


def test_constant_embeddings_are_not_divided_by_zero(batch):
    model = default()
    model.set_embedding_statistics(torch.zeros(12), torch.zeros(12))
    assert model(**batch).va.isfinite().all() and model.m2e.embedding_std.eq(1).all()


def test_harmony_statistics_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_harmony_statistics"):
        default().set_harmony_statistics(torch.zeros(3), torch.ones(3))
    model, unknown = default(num_harmony_statistics=3), torch.full((3,), math.nan)
    infinite = torch.tensor([1.0, math.inf, 1.0])
    for mean, std in ((unknown, unknown), (torch.zeros(3), infinite), (torch.zeros(1), torch.ones(1))):
        with pytest.raises(DataError, match=r"shape \(3,\).*training features"):
            model.set_harmony_statistics(mean, std)
    assert model.m2e.statistics_mean.tolist() == [0, 0, 0] and model.m2e.statistics_std.tolist() == [1, 1, 1]


def test_statistics_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="embedding_norm"):
        default(embedding_norm="none").set_embedding_statistics(torch.zeros(12), torch.ones(12))
    bad = torch.full((12,), math.nan)
    for mean, std in ((torch.zeros(11), torch.ones(11)), (bad, torch.ones(12)), (torch.zeros(12), bad)):
        with pytest.raises(ValueError, match=r"shape \(12,\)"):
            default().set_embedding_statistics(mean, std)


# The loss


def test_loss_is_the_weighted_sum_of_its_parts(batch):
    fields = {"mood_loss_weight": 2.0, "va_loss_weight": 0.5, "quadrant_loss_weight": 3.0}
    model = default(num_quadrants=4, mood_frequencies=[0.1, 0.2, 0.3], **fields)
    moods, va, quadrants = torch.rand(2, 3), torch.tensor([[2.0, 8.0], [6.0, 4.0]]), torch.tensor([1, 3])
    output = model(**batch, mood_labels=moods, va_labels=va, quadrant_labels=quadrants)
    torch.testing.assert_close(output.mood_loss, mood_loss(output.mood_logits, moods, [0.1, 0.2, 0.3]))
    torch.testing.assert_close(output.va_loss, F.mse_loss(output.va, va))
    torch.testing.assert_close(output.quadrant_loss, F.cross_entropy(output.quadrant_logits, quadrants))
    torch.testing.assert_close(output.loss, 2 * output.mood_loss + 0.5 * output.va_loss + 3 * output.quadrant_loss)


def test_selective_update(batch):
    """A batch updates the trunk and the branches it has labels for, and no other."""
    model = default().train()
    model(**batch, mood_labels=torch.ones(2, 3)).loss.backward()
    assert all(p.grad is None for p in model.va_branch.parameters())
    assert all(p.grad is not None for p in model.mood_branch.parameters())
    assert model.m2e.fusion[0].weight.grad.abs().max() > 0

    model.zero_grad()
    missing = torch.full((2, 3), math.nan)
    model(**batch, mood_labels=missing, va_labels=torch.ones(2, 2)).loss.backward()
    assert all(not p.grad.any() for p in model.mood_branch.parameters())
    assert model.va_branch[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize("inputs", [{}, {"use_encoder": False}, {"use_harmony": False}])
def test_an_ensemble_predicts_the_mean_of_its_members(batch, inputs):
    model = default(num_quadrants=4, num_members=3, **inputs)
    apart = []
    for member in model.members:
        alone = default(num_quadrants=4, **inputs)
        alone.load_state_dict({n: w for n, w in member.state_dict().items() if not n.startswith("others.")})
        apart.append(alone(**batch, output_hidden_states=True))
    labels = {"mood_labels": torch.ones(2, 3), "va_labels": torch.full((2, 2), 4.0)}
    output = model(**batch, **labels, output_hidden_states=True)
    for name in ("mood_logits", "va", "quadrant_logits", "window_va"):
        if apart[0].get(name) is not None:
            torch.testing.assert_close(output[name], torch.stack([each[name] for each in apart]).mean(0))
    assert (apart[0].va - apart[1].va).abs().max() > 1e-3
    torch.testing.assert_close(output.va_loss, F.mse_loss(output.va, labels["va_labels"]))
    states = [torch.cat(each, dim=-1) for each in zip(*(each.hidden_states for each in apart), strict=True)]
    assert all(torch.equal(found, state) for found, state in zip(output.hidden_states, states, strict=True))
    assert next(iter(output)) == "loss" and model(**batch).loss is None

    output.loss.backward()
    assert all(member.va_branch[-1].weight.grad.abs().max() > 0 for member in model.members)


def test_an_ensemble_has_one_configuration_and_statistics_for_all():
    model = default(num_members=2)
    model.set_embedding_statistics(torch.arange(12.0), torch.ones(12))
    assert all(torch.equal(member.m2e.embedding_mean, torch.arange(12.0)) for member in model.members)
    assert [member.config.num_members for member in model.members] == [2, 1]


def test_harmony_statistics(batch):
    """In deviations from the mean of training; what is unknown, in part or wholly, is the mean."""
    model = default(num_harmony_statistics=3, num_members=2)
    mean, std = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.0, 0.1])
    model.set_harmony_statistics(mean, std)
    without = model(**batch).va
    for unknown in (mean.expand(2, 3), torch.full((2, 3), torch.nan)):
        torch.testing.assert_close(model(**batch, harmony_statistics=unknown).va, without)
    found = model(**batch, harmony_statistics=mean + torch.tensor([[2.0, 0.0, 0.0], [torch.nan, 0.0, 0.0]])).va
    assert (found[0] - without[0]).abs().max() > 1e-3 and torch.allclose(found[1], without[1])
    assert model.members[1].m2e.statistics_std.tolist() == pytest.approx([2.0, 1.0, 0.1])
    assert torch.equal(default()(**batch, harmony_statistics=torch.ones(2, 3)).va, default()(**batch).va)


def test_network_learns_from_audio_chords_and_key():
    """Valence is the mode, arousal an embedding dimension, and the moods name the root of the chords."""
    random = torch.Generator().manual_seed(3)
    count = 48
    roots = torch.randint(3, 6, (count, 1), generator=random).expand(-1, 4)
    inputs = {
        "embeddings": torch.randn(count, 12, generator=random),
        "chord_roots": roots,
        "chord_qualities": torch.full((count, 4), 4),
        "mode": torch.randint(0, 2, (count,), generator=random).float(),
    }
    va = torch.stack([3 + 4 * inputs["mode"], 5 + inputs["embeddings"][:, 0]], dim=1)
    moods = F.one_hot(roots[:, 0] - 3, 3).float()
    model = default(dropout=0.0, chord_dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        model(**inputs, mood_labels=moods, va_labels=va).loss.backward()
        optimizer.step()
    output = model.eval()(**inputs)
    assert ((output.mood_logits > 0) == moods.bool()).float().mean() > 0.97
    assert F.mse_loss(output.va, va) < 0.2


# Start values, saving, loading


def test_start_values():
    model = M2EForMusicEmotion(M2EConfig.default())
    assert model.va_branch[-1].bias.tolist() == [5.0, 5.0]
    weight = model.m2e.fusion[0].weight
    assert weight.abs().max() <= 1 / math.sqrt(weight.shape[1])
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3 * weight.shape[1]), rel=0.01)
    chords = model.m2e.chord_transformer
    assert chords.root_embedding.weight.std().item() == pytest.approx(1, rel=0.15)
    assert chords.cls.abs().max() > 0.1
    assert M2EForMusicEmotion(M2EConfig.paper()).va_branch[-1].bias.abs().max() <= 1 / 16


@pytest.mark.parametrize(
    "model",
    [
        default(num_quadrants=4, mood_frequencies=[0.1, 0.2, 0.3]),
        default(embedding_norm="layer"),
        default(use_harmony=False),
        default(use_encoder=False),
        default(num_quadrants=4, num_members=3, num_harmony_statistics=5),
        paper(),
    ],
    ids=["default", "layer norm", "encoder only", "harmony only", "ensemble", "paper"],
)
def test_saved_models_predict_the_same(model, batch, tmp_path):
    with torch.no_grad():
        for parameter in model.parameters():  # no start value may be mistaken for a loaded one
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.1)
    if model.config.use_encoder and model.config.embedding_norm == "standard":
        model.set_embedding_statistics(torch.linspace(-1, 1, 12), torch.linspace(0.5, 2, 12))
    model.save_pretrained(tmp_path)
    loaded, report = M2EForMusicEmotion.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    expected, got = model(**batch), loaded(**batch)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)

    trunk = M2EModel.from_pretrained(tmp_path)
    torch.testing.assert_close(trunk(**batch).fused, model.m2e(**batch).fused, atol=0, rtol=0)


def test_statistics_absent_from_a_file_are_neutral_after_loading(tmp_path):
    plain = default(embedding_norm="none")
    plain.save_pretrained(tmp_path)
    loaded = M2EForMusicEmotion.from_pretrained(tmp_path, embedding_norm="standard")
    assert loaded.m2e.embedding_mean.eq(0).all() and loaded.m2e.embedding_std.eq(1).all()
    assert torch.equal(loaded.m2e.fusion[0].weight, plain.m2e.fusion[0].weight)

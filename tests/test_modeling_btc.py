"""The chord network against golden numbers, and what must hold for any weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.errors import ModelError
from modeling_m2e.modeling_btc import BTCAttention, BTCConfig, BTCLayerNorm, BTCModel, timing_signal

SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}


def assert_parity(checkpoint, numbers):
    model = convert_btc_checkpoint(checkpoint)
    with np.load(numbers) as golden, torch.inference_mode():
        output = model(torch.from_numpy(golden["input"]), output_hidden_states=True)
        np.testing.assert_allclose(output.logits, golden["logits"], atol=1e-4)
        np.testing.assert_allclose(output.last_hidden_state, golden["hidden"], atol=1e-5, rtol=1e-5)
        np.testing.assert_array_equal(output.logits.argmax(-1), golden["top1"])
        trace = golden["trace_chunk0"]
        assert len(output.hidden_states) == len(trace) - 1 == model.config.num_hidden_layers + 1
        for state, expected in zip(output.hidden_states, trace[:-1], strict=True):
            np.testing.assert_allclose(state[0], expected, atol=1e-5)


def test_tiny_network_equals_golden_numbers(fixtures):
    assert_parity(fixtures / "btc/tiny_checkpoint.pt", fixtures / "btc/tiny_logits.npz")


def test_published_sizes_equal_golden_numbers(shared):
    assert_parity(shared / "golden/btc/full_checkpoint.pt", shared / "golden/btc/full_logits.npz")


def test_defaults_are_the_published_sizes():
    model = BTCModel(BTCConfig())
    assert model.num_parameters() == 3_036_842 - 99_328  # less the LSTM that the published network never runs
    assert model.config.num_labels == 170
    assert model.config.id2label[1] == "C" and model.config.label2id["N"] == 169


@pytest.mark.parametrize("reverse", [False, True])
def test_attention_sees_one_direction_of_time(reverse):
    torch.manual_seed(0)
    attention = BTCAttention(BTCConfig(**SMALL), reverse).eval()
    x = torch.randn(1, 20, 32)
    changed = x.clone()
    changed[0, 7] += 1
    moved = (attention(x) != attention(changed)).any(-1)[0]
    expected = torch.arange(20) <= 7 if reverse else torch.arange(20) >= 7
    assert torch.equal(moved, expected)


def test_network_sees_the_whole_piece():
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**SMALL)).eval()
    x = torch.randn(1, 108, 144)
    changed = x.clone()
    changed[0, 54] += 1
    moved = (model(x).logits - model(changed).logits).abs().amax(-1)[0]
    assert moved.min() > 0


def test_layer_norm_divides_by_the_unbiased_deviation():
    norm = BTCLayerNorm(16, 1e-6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(5, 16) * 0.3 + 2
    expected = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) * norm.weight + norm.bias
    torch.testing.assert_close(norm.eval()(x), expected)
    torch.testing.assert_close(norm.train()(x), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_layer_norm_of_a_constant_is_its_bias(training):
    norm = BTCLayerNorm(16, 1e-6).train(training)
    torch.nn.init.normal_(norm.bias)
    torch.testing.assert_close(norm(torch.ones(1, 16))[0], norm.bias)


def test_timing_signal_starts_at_phase_zero_and_spans_the_timescales():
    signal = timing_signal(108, 8)
    assert signal.shape == (108, 8)
    assert torch.equal(signal[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    torch.testing.assert_close(signal[:, 0], torch.sin(torch.arange(108.0, dtype=torch.float64)).float())
    torch.testing.assert_close(signal[:, 3], torch.sin(torch.arange(108.0) / 10000))


def test_loss_counts_labelled_frames_only():
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**SMALL)).eval()
    x = torch.randn(2, 108, 144)
    labels = torch.randint(0, 170, (2, 108))
    labels[:, 30:] = -100
    output = model(x, labels=labels)
    expected = F.cross_entropy(output.logits[:, :30].flatten(0, 1), labels[:, :30].flatten())
    torch.testing.assert_close(output.loss, expected)
    assert model(x, labels=torch.full((2, 108), -100)).loss == 0
    assert model(x).loss is None


@pytest.mark.parametrize("autocast", [False, True])
def test_training_lowers_the_loss(autocast):
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**SMALL)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    x = torch.randn(2, 108, 144)
    labels = (x[..., :10].argmax(-1) * 14).long()  # a chord per loudest of ten bins
    losses = []
    for _ in range(25):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = model(x, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.75 * losses[0]


def test_training_and_evaluation_agree_without_dropout():
    torch.manual_seed(0)
    rates = dict.fromkeys(["input_dropout", "layer_dropout", "attention_dropout", "relu_dropout"], 0.0)
    model = BTCModel(BTCConfig(**SMALL, **rates))
    x = torch.randn(2, 108, 144)
    torch.testing.assert_close(model.train()(x).logits, model.eval()(x).logits, atol=1e-4, rtol=1e-4)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**SMALL))
    x = torch.randn(1, 108, 144)
    assert not torch.equal(model.train()(x).logits, model(x).logits)
    assert torch.equal(model.eval()(x).logits, model(x).logits)


def test_round_trip_keeps_weights_labels_and_scale(tmp_path):
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**SMALL, feature_mean=-5.1, feature_std=2.9)).eval()
    model.save_pretrained(tmp_path)
    again = BTCModel.from_pretrained(tmp_path).eval()
    assert (again.config.feature_mean, again.config.feature_std) == (-5.1, 2.9)
    assert again.config.id2label == model.config.id2label and again.config.label2id == model.config.label2id
    x = torch.randn(1, 108, 144)
    assert torch.equal(model(x).logits, again(x).logits)


def test_other_lengths_and_vocabularies():
    model = BTCModel(BTCConfig(**SMALL, num_labels=25)).eval()
    assert model(torch.randn(1, 46, 144)).logits.shape == (1, 46, 25)


def test_tuple_output():
    logits, hidden = BTCModel(BTCConfig(**SMALL)).eval()(torch.randn(1, 9, 144), return_dict=False)
    assert logits.shape == (1, 9, 170) and hidden.shape == (1, 9, 32)


def test_heads_must_divide_the_width():
    with pytest.raises(ModelError, match="hidden_size 30"):
        BTCConfig(hidden_size=30)


@pytest.mark.parametrize("setting", [{"num_bins": -3}, {"num_attention_heads": 0}, {"hidden_size": "128"}])
def test_sizes_that_no_network_has_are_named(setting):
    (name,) = setting
    with pytest.raises(ModelError, match=f"BTCConfig: {name} is "):
        BTCConfig(**setting)


@pytest.mark.parametrize("reverse", [False, True])
def test_attention_is_the_same_in_training(reverse):
    torch.manual_seed(0)
    attention = BTCAttention(BTCConfig(attention_dropout=0.0), reverse)
    x = torch.randn(2, 20, 128)
    torch.testing.assert_close(attention.train()(x), attention.eval()(x), atol=1e-5, rtol=1e-4)

"""modeling_encoder: shapes, level, seconds, sizes, saving and loading."""

import pytest
import torch
from transformers import AutoModel

from modeling_m2e import M2EEncoderConfig, M2EEncoderModel
from modeling_m2e.modeling_encoder import loudness

RATE = 22050
TINY = {"widths": (4, 6, 8), "depths": (1, 1, 1), "squeezed_width": 2, "trunk_depth": 1, "hidden_size": 12}


def noise(seconds: float, n: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(n, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny() -> M2EEncoderModel:
    """A small encoder whose norms know the statistics of noise."""
    torch.manual_seed(0)
    model = M2EEncoderModel(M2EEncoderConfig(**TINY))
    with torch.no_grad():
        for seed in range(30):
            model.train()(noise(3, 4, seed))
    return model.eval()


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_one_embedding_a_second_and_their_mean(tiny):
    output = tiny(noise(5, 2))
    assert output.last_hidden_state.shape == (2, 5, 12)
    assert torch.allclose(output.pooler_output, output.last_hidden_state.mean(1), atol=1e-6)


def test_an_incomplete_second_counts_by_its_length(tiny):
    output = tiny(noise(2.25))
    seconds = output.last_hidden_state
    assert seconds.shape == (1, 3, 12)
    expected = (seconds[:, 0] + seconds[:, 1] + 0.25 * seconds[:, 2]) / 2.25
    assert torch.allclose(output.pooler_output, expected, atol=1e-4)


def test_less_than_a_second_has_one_embedding(tiny):
    assert tiny(noise(0.02)).pooler_output.isfinite().all()


def test_the_level_of_a_waveform_does_not_matter(tiny):
    waveform = noise(4)
    loud, quiet = (tiny(gain * waveform).pooler_output for gain in (4.0, 0.02))
    assert torch.allclose(loud, quiet, atol=1e-3)


def test_with_the_level_of_the_track_a_quiet_part_stays_quiet(tiny):
    waveform = noise(4)
    level = loudness(waveform)
    given, own = (tiny(0.05 * waveform, level=each).pooler_output for each in (level, None))
    assert (given - own).abs().max() > 0.01


def test_loudness_leaves_silence_out():
    waveform = noise(4)
    half = torch.cat([waveform, torch.zeros_like(waveform)], dim=1)
    assert loudness(half) == pytest.approx(loudness(waveform), rel=1e-2)


def test_silence_gives_finite_embeddings(tiny):
    assert tiny(torch.zeros(1, 2 * RATE)).last_hidden_state.isfinite().all()


def test_noise_of_loudness_one_has_mel_power_near_one(tiny):
    assert tiny.mel_power(noise(5)).sum(1).mean() == pytest.approx(1.0, abs=0.1)


def test_a_second_depends_on_its_surroundings_only(tiny):
    """So that windows of a long track can share one pass."""
    first, second = noise(20, seed=1), noise(20, seed=1)
    second[:, 15 * RATE :] = noise(5, seed=2)
    level = loudness(first)
    ours, theirs = (tiny(each, level=level).last_hidden_state[:, :10] for each in (first, second))
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("shape", [(RATE,), (1, 0), (1, 2, RATE)])
def test_other_shapes_are_refused(tiny, shape):
    with pytest.raises(ValueError, match="shape"):
        tiny(torch.zeros(shape))


def test_a_saved_encoder_loads_by_auto_model(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, M2EEncoderModel)
    waveform = noise(3)
    assert torch.equal(loaded(waveform).pooler_output, tiny(waveform).pooler_output)


def test_a_config_that_does_not_divide_a_second_is_refused():
    with pytest.raises(ValueError, match="multiple of 9"):
        M2EEncoderConfig(hop_length=512)


def test_the_default_encoder_is_small():
    model = M2EEncoderModel(M2EEncoderConfig())
    operations = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda conv, _, output: operations.append(output.numel() * conv.weight[0].numel())
            )
    model.eval()(noise(10))
    assert model.num_parameters() <= 2_000_000
    assert sum(operations) <= 0.35e9
    assert model.config.hidden_size <= 384

"""The chord network's logits of every frame of a track, block by block, whatever the level of the audio."""

import math

import numpy as np
import torch

from .modeling_btc import BTCConfig, BTCModel

BATCH_BLOCKS = 12  # blocks that the network predicts at once
MAX_GAIN = 5.0  # of a quiet block, in natural logarithms, 43 dB: silence stays silence


def levelled(features: np.ndarray, config: BTCConfig) -> np.ndarray:
    """(frames, bins) features of a block at the level of the configuration, if it names one.

    The level of a block is the logarithm of the root mean square of its magnitudes.
    """
    if config.level is None or not len(features):
        return features
    own = 0.5 * np.log(np.exp(2.0 * features, dtype=np.float64).mean())
    return features + np.float32(min(config.level - own, MAX_GAIN))


class FrameLogits:
    """The logits of frames whose features arrive in pieces; they do not depend on where the pieces are cut.

    Frames are cut into blocks of 108, which are brought to one level (`levelled`) and normalised with the model's mean
    and deviation; the last one is padded with zeros as in the published code, and 12 blocks are one batch. overlap:
    each block begins within the last third of the block before, and both predictions are averaged, so that no frame
    depends on the edge of one block alone.
    """

    def __init__(self, model: BTCModel, overlap: bool = False):
        self._model = model
        self._size = model.config.num_frames
        self._shared = self._size // 3 if overlap else 0
        self._step = self._size - self._shared
        self._features = np.empty((0, model.config.num_bins), np.float32)  # from the next block on
        self._sums = np.empty((0, model.classifier.out_features), np.float32)  # of frames shared with the next block
        self._counts = np.empty((0, 1), np.float32)  # predictions in each sum

    def push(self, features: np.ndarray) -> np.ndarray:
        """(frames, classes) float32: logits of the frames that `features` (frames, 144) complete, held ones first."""
        self._features = np.concatenate([self._features, np.asarray(features, np.float32)])
        complete = [self._sums[:0]]
        while len(self._features) >= BATCH_BLOCKS * self._step + self._shared:
            complete.append(self._predict(BATCH_BLOCKS))
        return np.concatenate(complete)

    def finish(self) -> np.ndarray:
        """(frames, classes) float32: logits of the frames still held; begins a new track."""
        frames = len(self._features)
        uncovered = frames - len(self._sums)  # a block is added only for frames that no other covers
        blocks = math.ceil(max(frames - self._shared, 1) / self._step) if uncovered else 0
        parts = [self._predict(blocks)] if blocks else []
        parts.append(self._sums / self._counts)
        self._features, self._sums, self._counts = self._features[:0], self._sums[:0], self._counts[:0]
        return np.concatenate(parts)[:frames]

    def _predict(self, blocks: int) -> np.ndarray:
        """The logits of the frames before the last overlap of the next `blocks` blocks."""
        done = blocks * self._step
        rows = done + self._shared
        sums, counts = (np.pad(part, ((0, rows - len(part)), (0, 0))) for part in (self._sums, self._counts))
        starts = range(0, done, self._step)
        logits = _block_logits(np.stack([self._block(start) for start in starts]), self._model)
        for start, block in zip(starts, logits, strict=True):
            sums[start : start + self._size] += block
            counts[start : start + self._size] += 1
        self._features, self._sums, self._counts = self._features[done:], sums[done:], counts[done:]
        return sums[:done] / counts[:done]

    def _block(self, start: int) -> np.ndarray:
        """(size, bins), the input of the network from frame `start` on."""
        config = self._model.config
        features = levelled(self._features[start : min(start + self._size, len(self._features))], config)
        normalised = np.asarray((features - config.feature_mean) / config.feature_std, np.float32)
        return np.pad(normalised, ((0, self._size - len(normalised)), (0, 0)))


def frame_logits(features: np.ndarray, model: BTCModel, overlap: bool = False) -> np.ndarray:
    """(frames, classes) float32 logits of all `features` (frames, 144) of a track, see `FrameLogits`."""
    frames = FrameLogits(model, overlap)
    return np.concatenate([frames.push(features), frames.finish()])


@torch.inference_mode()
def _block_logits(blocks: np.ndarray, model: BTCModel) -> np.ndarray:
    """(blocks, frames, 144) -> (blocks, frames, classes)."""
    batch = torch.from_numpy(blocks).to(model.device, model.dtype)
    return model(batch).logits.float().cpu().numpy()

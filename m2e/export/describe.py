"""What a program needs to know to use the graphs of a model, besides the graphs; JSON-able."""

from typing import TYPE_CHECKING, Any

from m2e import __version__
from m2e.export.graphs import Graph
from modeling_m2e import answers_m2e, descriptors_m2e, key_m2e, scale_m2e, words_m2e
from modeling_m2e import chord_decoding_m2e as decoding
from modeling_m2e.answers_m2e import Answers
from modeling_m2e.chord_labels_m2e import QUALITIES, ROOTS, VOCABULARY, Chord, ChordSegment, chord_tokens, parse_chord
from modeling_m2e.chords_m2e import CHUNK_FRAMES, CHUNK_SAMPLES, SECONDS_PER_FRAME
from modeling_m2e.output_m2e import CENTRAL, neutral_place
from modeling_m2e.windows_m2e import MIN_TAIL_SHARE

if TYPE_CHECKING:
    from modeling_m2e import M2EConfig, MusicEmotionPipeline
    from modeling_m2e.chords_m2e import ChordRecognizer
    from modeling_m2e.feature_extraction_m2e import M2EFeatureExtractor


def description(pipe: "MusicEmotionPipeline", parts: list[Graph]) -> dict[str, Any]:
    """Graphs, windows, scales, labels, words; with a chord recogniser also how its chords are decoded, and the key."""
    processor, config = pipe.processor, pipe.model.config
    found: dict[str, Any] = {
        "model": pipe.name,
        "m2e": __version__,
        "sampling_rate": processor.feature_extractor.sampling_rate,
        "graphs": {
            part.name: {"file": f"{part.name}.onnx", "inputs": part.inputs, "outputs": part.outputs} for part in parts
        },
        "windows": _windows(processor.feature_extractor, processor.encoder.window_seconds),
        **_emotion(config),
    }
    if processor.chord_recognizer is not None:
        found |= {"chords": _chords(processor.chord_recognizer), "key": _key(processor.key_profile)}
    if config.use_harmony:
        every = [ChordSegment(0, 1, label) for label in VOCABULARY]
        tokens = chord_tokens(every, config.chord_vocabulary, max_chords=len(every))
        pairs = zip(tokens.roots.tolist(), tokens.qualities.tolist(), strict=True)
        found["tokens"] = dict(zip(VOCABULARY, pairs, strict=True))
        found["chord_edges"] = config.chord_vocabulary == "paper"  # whether what is no chord at the ends is an input
    return found


def _emotion(config: "M2EConfig") -> dict[str, Any]:
    """Labels and scales of the outputs of the heads; `answers` as in the configuration."""
    answers = Answers.read(config.answers, config.num_labels)
    return {
        "moods": _moods(config),
        "valence_arousal": {
            "scale": [config.va_min, config.va_max],
            "neutral": list(neutral_place(config, answers)),
        },
        "answers": answers.to_dict(),
        "descriptors": config.descriptors,
        "record": _record(),
    }


def _windows(extractor: "M2EFeatureExtractor", encoder_seconds: float) -> dict[str, Any]:
    return {
        "seconds": extractor.window_seconds,
        "hop_seconds": extractor.hop_seconds,
        "encoder_seconds": encoder_seconds,
        "skip_silence": extractor.skip_silence,
        "harmony_seconds": extractor.harmony_seconds,
        "min_tail_share": MIN_TAIL_SHARE,
    }


def _moods(config: "M2EConfig") -> dict[str, Any]:
    count = len(config.moods)
    return {
        "labels": config.moods,
        "scale": config.mood_scale or [1.0] * count,
        "offset": config.mood_offset or [0.0] * count,
        "thresholds": config.mood_thresholds or [0.5] * count,
    }


def _record() -> dict[str, Any]:
    """Names and numbers by which outputs become intervals, warnings and words: of `answers_m2e`, `descriptors_m2e`,
    `scale_m2e`, `words_m2e` and `output_m2e`."""
    return {
        "full_seconds": answers_m2e.FULL_SECONDS,
        "min_share": answers_m2e.MIN_SHARE,
        "spread_floor": answers_m2e.SPREAD_FLOOR,
        "music": {
            "name": descriptors_m2e.MUSIC,
            "threshold": descriptors_m2e.MUSIC_THRESHOLD,
            "warning": descriptors_m2e.NOT_MUSIC,
        },
        "attributes": descriptors_m2e.ATTRIBUTES,
        "close": scale_m2e.CLOSE,
        "central": CENTRAL,
        "most_moods": words_m2e.MOST_MOODS,
        "telling_share": words_m2e.TELLING_SHARE,
        "spoken_moods": words_m2e.SPOKEN_MOODS,
        "key_threshold": words_m2e.KEY_THRESHOLD,
        "adjectives": words_m2e.ADJECTIVES,  # of moods: the word, and the signs of valence and arousal that it implies
        "quadrants": words_m2e.OF_QUADRANTS,
    }


def _chords(recognizer: "ChordRecognizer") -> dict[str, Any]:
    """Names and numbers of `chord_decoding_m2e`."""
    return {
        "labels": recognizer.labels,
        "names": [parse_chord(label).label for label in recognizer.labels],
        "decoding": recognizer.decoding,
        "chunk_samples": CHUNK_SAMPLES,
        "chunk_frames": CHUNK_FRAMES,
        "seconds_per_frame": SECONDS_PER_FRAME,
        "change_penalty": decoding.CHANGE_PENALTY,
        "key_weight": decoding.KEY_WEIGHT,
        "context_frames": decoding.CONTEXT_FRAMES,
        "evidence_weight": decoding.EVIDENCE_WEIGHT,
        "keys": decoding.TABLE.astype(float).round(6).tolist(),
        "thirds": decoding.THIRDS.tolist(),
        "silence": float(decoding.SILENCE),
        "decayed": decoding.DECAYED,
        "onsets": {
            "hop_samples": decoding.ONSET_HOP,
            "hop_seconds": decoding.ONSET_SECONDS,
            "max_move": decoding.MAX_MOVE,
            "spread": decoding.SPREAD,
        },
    }


def _key(profile: str) -> dict[str, Any]:
    """The profile; where it is the fitted one, its numbers."""
    if profile != key_m2e.FITTED:
        return {"profile": profile}
    return {
        "profile": profile,
        "tonics": ROOTS,
        "intervals": [Chord(quality).pitch_classes for quality in range(len(QUALITIES))],  # of chords on C
        "weights": key_m2e.WEIGHTS.tolist(),
        "minor_offset": key_m2e.MINOR_OFFSET,
        "prior_seconds": key_m2e.PRIOR_SECONDS,
        "confidence": {
            "weights": key_m2e.CONFIDENCE.tolist(),
            "max_seconds": key_m2e.MAX_CONFIDENCE_SECONDS,
            "lone_chord": key_m2e.LONE_CHORD_CONFIDENCE,
        },
    }

"""What can be wrong with audio."""

MIN_SECONDS = 0.5  # shorter audio has no emotion to speak of, and the encoders cannot frame it


class AudioError(ValueError):
    """Audio that cannot be used; the message is one sentence that names the source."""


class UnreadableAudioError(AudioError):
    """No such source, or nothing that a decoder knows."""


class MissingDecoderError(AudioError):
    """A known container whose decoder is not installed."""


class EmptyAudioError(AudioError):
    """No byte, or no sample."""


class TooShortAudioError(AudioError):
    """Less than `MIN_SECONDS`."""


class InvalidSamplesError(AudioError):
    """NaN or infinite samples."""


class SilentAudioError(AudioError):
    """Never louder than -80 dBFS once mixed to mono."""


class TruncatedAudioError(AudioError):
    """The audio ends clearly before the length that its header declares."""

"""Numbers that fix how sound is cut into frames, latent steps and packets.

Frame ``k`` covers samples ``160 k - 480 ... 160 k + 159``; a latent step is four frames. With
80 ms packets a sample waits for its packet to fill (1280) and for the frames that overlap it
(480): 1760 samples, 110 ms. With 40 ms packets it is 1120 samples, 70 ms.
"""

SAMPLE_RATE = 16_000
"""Sampling rate inside the codec, Hz."""

HOP_LENGTH = 160
"""Samples between frames."""

N_FFT = 640
"""Window length and transform size, samples."""

OVERLAP = N_FFT - HOP_LENGTH
"""Samples that a frame shares with those before it."""

N_BINS = N_FFT // 2 + 1
"""Bins of a spectrum."""

N_MELS = 80
"""Bands of a mel frame."""

FRAMES_PER_LATENT = 4
"""Mel frames in one latent step."""

STEP_SAMPLES = HOP_LENGTH * FRAMES_PER_LATENT
"""Samples in one latent step."""

STEPS_PER_PACKET = 2
"""Latent steps in a packet of the default profile (80 ms)."""

LOW_DELAY_STEPS_PER_PACKET = 1
"""Latent steps in a packet of the low-delay profile (40 ms)."""

LOG_FLOOR = 1e-5
"""Smallest mel magnitude before the logarithm."""

MEL_MEAN = -6.5
"""Subtracted from log-mel values; about their mean over speech."""

MEL_STD = 2.4
"""Log-mel values are divided by it; about their spread over speech."""

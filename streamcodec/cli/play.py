"""``streamcodec play``: a stream becomes sound in the room."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from streamcodec.errors import StreamcodecError

from .console import named_input, progress, quiet_torch
from .decode import add_decoder_options

if TYPE_CHECKING:
    from .plugins import Commands


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "play", help="decode a stream and play it", description="Decode a stream and play it."
    )
    parser.add_argument("input", metavar="FILE", help="stream to play ('-': standard input)")
    add_decoder_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Play."""
    sounddevice = _import_sounddevice()
    quiet_torch()
    from streamcodec.streamfile import open_stream

    with (
        named_input(options.input) as source,
        open_stream(source, recover=options.recover) as stream,
    ):
        decoder = stream.decoder(vocoder=options.vocoder, model=options.model)
        try:
            output = sounddevice.OutputStream(
                samplerate=decoder.sample_rate, channels=1, dtype="float32"
            )
        except sounddevice.PortAudioError as error:
            raise StreamcodecError(
                f"no sound device to play on ({error}); connect one, or write a recording with "
                "'streamcodec decode'"
            ) from error
        played = 0
        with output, progress("playing") as update:
            for samples in stream.decode(decoder):
                output.write(samples[:, None])
                played += len(samples)
                update(played / decoder.sample_rate, stream.seconds)
    return 0


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise StreamcodecError(
            "playing needs the package sounddevice, which is not installed; "
            "install it with: pip install 'streamcodec[live]'"
        ) from error
    except OSError as error:
        raise StreamcodecError(
            f"playing needs the PortAudio library ({error}); on Debian and Ubuntu install it with: "
            "apt-get install libportaudio2"
        ) from error
    return sounddevice

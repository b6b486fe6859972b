#!/bin/sh
# Make .venv with everything that the demo, the tests and the benchmarks need, in the versions of
# constraints.txt. Wants Python >= 3.11; a C compiler only for the PESQ measure.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: $python is missing or older than Python 3.11; name a newer one, for example:" >&2
    echo "setup:     make PYTHON=python3.12 test" >&2
    exit 1
fi

# Install a Debian package if that is possible here, otherwise say what it is wanted for.
system_package() { # name, purpose
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        [ -n "${apt_updated:-}" ] || apt-get update -qq || true
        apt_updated=yes
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" \
            >/dev/null && return 0
    fi
    echo "setup: the system package $1 is not installed; without it: $2." >&2
}

find_library() {
    "$python" -c 'import sys, ctypes.util; sys.exit(ctypes.util.find_library(sys.argv[1]) is None)' \
        "$1"
}

# A plugin that programs load by path, so no linker cache lists it.
has_library_file() {
    [ -n "$(find /usr/lib /usr/lib64 -name "$1" 2>/dev/null | head -n 1)" ]
}

if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    system_package python3-venv "no virtual environment can be made"
fi
# libsndfile needs no package: it comes inside the wheel of soundfile.
find_library portaudio || system_package libportaudio2 "no live sound (streamcodec play)"
command -v pulseaudio >/dev/null || system_package pulseaudio "the live loopback cannot be tested"
command -v pactl >/dev/null || system_package pulseaudio-utils "the live loopback cannot be tested"
has_library_file libasound_module_pcm_pulse.so ||
    system_package libasound2-plugins "the live loopback cannot be tested"
command -v chromium >/dev/null || system_package chromium "the web page of calls cannot be tested"
command -v ffmpeg >/dev/null || system_package ffmpeg "no m4a, webm or amr files can be read"

echo "setup: installing into .venv, once; this takes a few minutes"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

pip install -qq -c constraints.txt -e '.[image,train,live,inspect,dev]'
pip install -qq -c constraints.txt -e '.[bench]' || {
    echo "setup: the quality measures could not be built (PESQ needs a C compiler and Python's" >&2
    echo "setup: headers, Debian packages gcc and python3-dev); figures will lack them." >&2
}

"""The training system's one command.

    python -m streamcodec_models speech --data FOLDER --run runs/a --stage autoencoder --minutes 30
    python -m streamcodec_models image --data FOLDER --run runs/i --minutes 60

What follows the first word are the options of the module of that name.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "speech": "train the speech model, stage by stage",
    "image": "train the image model",
    "adopt": "begin a run from a finished model",
    "grain": "learn how strong the grain is that an image run's pictures lack",
    "average": "average the weights of runs of one descent",
    "ladder": "put rungs between those of an image run",
    "grow": "give a run more latents",
    "evaluate": "PESQ of each link of a speech run on held-out speakers",
    "plot": "draw the curves of a run",
    "phones": "train the phone classifiers of the bench",
    "export": "make the weight files of a speech run",
    "export_image": "make the weight files of an image run",
}


def main() -> None:
    """Hand over to the module that the first word names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        lines = [f"  {command:13s} {purpose}" for command, purpose in COMMANDS.items()]
        known = "\n".join(["usage: python -m streamcodec_models COMMAND ...", *lines])
        if name in ("", "-h", "--help"):
            print(known)
            raise SystemExit(0)
        raise SystemExit(f"no command {name!r}\n{known}")
    sys.argv = [f"streamcodec_models {name}", *sys.argv[2:]]
    importlib.import_module(f".{name}", __package__).main()


if __name__ == "__main__":
    main()

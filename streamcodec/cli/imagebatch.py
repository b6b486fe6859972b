"""``streamcodec image`` with folders: which file becomes which, progress, and what failed."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from streamcodec.batch import Cluster, Engine, Job, Processes, Work, run_batch
from streamcodec.errors import InputError

from .console import print_json, print_table

PNG = ".png"


def encode_folder(options: Namespace, settings: dict[str, Any]) -> int:
    """Encode every picture of a folder, as ``NAME.sci`` with its old suffix in the name."""
    from streamcodec.imagefiles import SUFFIX
    from streamcodec.picturefile import pillow

    image_module = pillow()
    image_module.init()
    known = {s for s, name in image_module.registered_extensions().items()
             if name in image_module.OPEN}  # fmt: skip
    source, target = _folders(options)
    jobs = [
        Job(path, target / path.relative_to(source).with_name(path.name + SUFFIX))
        for path in _files(source, target)
        if path.suffix.lower() in known and path.suffix.lower() != SUFFIX
    ]
    return _run(options, settings, partial(_encode, settings=settings), jobs, target)


def decode_folder(options: Namespace, settings: dict[str, Any]) -> int:
    """Decode every image file of a folder to png."""
    from streamcodec.imagefiles import SUFFIX

    source, target = _folders(options)
    jobs = []
    for path in _files(source, target):
        if path.suffix.lower() == SUFFIX:
            name = path.name[: -len(SUFFIX)]
            name = name if name.lower().endswith(PNG) else name + PNG
            jobs.append(Job(path, target / path.relative_to(source).with_name(name)))
    return _run(options, settings, partial(_decode, settings=settings), jobs, target)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encode(job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    from streamcodec.imagefiles import encode_image_file

    return asdict(encode_image_file(job.source, job.target, **settings))


def _decode(job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    from streamcodec.imagefiles import decode_image_file

    return asdict(decode_image_file(job.source, job.target, **settings))


def _folders(options: Namespace) -> tuple[Path, Path]:
    source, target = Path(options.input), Path(options.output)
    if target.exists() and not target.is_dir():
        raise InputError(f"{source} is a folder, so {target} must be one, too")
    if target.exists() and source.samefile(target):
        raise InputError(f"source and target are the same folder, {source}; give OUT another name")
    return source, target


def _files(source: Path, target: Path) -> list[Path]:
    """Files of a folder and the folders in it, in order; none of the target's if it lies within."""
    inside = target.resolve()
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file()
        and not path.name.startswith(".")
        and not path.resolve().is_relative_to(inside)
    )


def _engine(options: Namespace) -> Engine:
    if options.scheduler is not None:
        return Cluster(options.scheduler)
    jobs = options.jobs or cores()
    return Processes(jobs, max(1, cores() // jobs))


def _run(
    options: Namespace, settings: dict[str, Any], work: Work, jobs: list[Job], target: Path
) -> int:
    from tqdm import tqdm

    if not jobs:
        raise InputError(f"{options.input} holds no files that could be taken")
    begin = time.perf_counter()
    made, kept, failed = 0, 0, []
    size = pixels = 0
    with tqdm(total=len(jobs), unit="file", file=sys.stderr, disable=None) as bar:
        for outcome in run_batch(
            _engine(options), work, jobs, target, settings, again=options.again
        ):
            bar.update()
            if isinstance(outcome, Job):
                kept += 1
            elif outcome.error is not None:
                failed.append({"file": str(outcome.job.source), "error": outcome.error})
                bar.write(f"{outcome.job.source}: {outcome.error}", file=sys.stderr)
            else:
                made += 1
                size += outcome.report["bytes"]
                pixels += outcome.report["width"] * outcome.report["height"]
    seconds = time.perf_counter() - begin
    if options.json:
        print_json(
            {
                "files": made, "kept": kept, "failed": failed, "bytes": size, "pixels": pixels,
                "bpp": 8 * size / pixels if pixels else None, "seconds": seconds,
            }
        )  # fmt: skip
    else:
        rows = {"made": f"{made} files in {seconds:.1f} s"}
        if kept:
            rows["there already"] = f"{kept} files"
        if failed:
            rows["failed"] = f"{len(failed)} files"
        print_table(rows)
    return 1 if failed else 0

"""Many files at once: a list of jobs, an engine that runs them, and what came of each.

Targets appear whole or not at all, and a note in their folder says what settings they are made
with. A job is done when its target is newer than its source and the note. So a batch that was
killed goes on where it was: what is done is not done again, nothing is lost, and what other
settings have made is not taken for its own.

Jobs run in processes of this machine, or on a Dask cluster whose workers see the same folders.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import InputError, StreamcodecError
from .safefile import PART_PATTERN, replacing

NOTE = ".streamcodec-batch.json"
"""File in the target folder with the settings that it was made with."""

STALE_SECONDS = 3600.0
"""Age from which a half-written file is taken for what a killed run left behind."""


@dataclass(frozen=True)
class Job:
    """One file to make.

    Attributes
    ----------
    source, target : Path
    """

    source: Path
    target: Path

    def done_since(self, begin: int) -> bool:
        """Whether the target is there, no older than its source and a time in nanoseconds."""
        try:
            made = self.target.stat().st_mtime_ns
            return made >= begin and made >= self.source.stat().st_mtime_ns
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    job : Job
    report : dict
        What the work reported; empty if it failed.
    error : str or None
        Why it failed.
    """

    job: Job
    report: dict[str, Any]
    error: str | None = None


Work = Callable[[Job], dict[str, Any]]
"""Does a job and reports; must be a function that another process can import, or a partial."""


class Engine(Protocol):
    """Runs jobs somewhere."""

    def run(self, work: Work, jobs: list[Job]) -> Iterator[Outcome]:
        """Yield outcomes as they come, in any order."""


def attempt(work: Work, job: Job) -> Outcome:
    """Do a job; an error of ours or of the system is an outcome."""
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        return Outcome(job, work(job))
    except (StreamcodecError, OSError, MemoryError) as error:
        return Outcome(job, {}, str(error) or type(error).__name__)


class Processes:
    """Engine of this machine's processes.

    Parameters
    ----------
    count : int
        Jobs at a time.
    threads : int
        Threads of each.
    """

    def __init__(self, count: int, threads: int = 1) -> None:
        if count < 1 or threads < 1:
            raise InputError(f"expected at least one job and thread, found {count} and {threads}")
        self._count = count
        self._threads = threads

    def run(self, work: Work, jobs: list[Job]) -> Iterator[Outcome]:
        """Yield outcomes as they come."""
        pool = ProcessPoolExecutor(
            min(self._count, max(1, len(jobs))),
            # A fork of a process with threads of torch and numba in it may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
            initargs=(self._threads,),
        )
        try:
            futures: list[Future[Outcome]] = [pool.submit(attempt, work, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_worker(threads: int) -> None:
    """Set the threads, and see to it that no worker outlives the batch."""
    import torch

    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class Cluster:
    """Engine of a Dask cluster (the extra ``cluster``); its workers must see the same folders.

    Parameters
    ----------
    address : str
        Of the scheduler, for instance ``tcp://host:8786``.

    Raises
    ------
    InputError
        Dask's ``distributed`` is not installed.
    OSError
        The scheduler does not answer.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "--scheduler needs Dask: pip install 'streamcodec[cluster]'"
            ) from error
        self._client = Client(address)

    def run(self, work: Work, jobs: list[Job]) -> Iterator[Outcome]:
        """Yield outcomes as they come."""
        from distributed import as_completed as as_finished

        with self._client:
            futures = [self._client.submit(attempt, work, job, pure=False) for job in jobs]
            for future in as_finished(futures):
                yield future.result()


def run_batch(
    engine: Engine,
    work: Work,
    jobs: Iterable[Job],
    folder: Path,
    settings: Mapping[str, Any],
    *,
    again: bool = False,
) -> Iterator[Outcome | Job]:
    """Do all jobs that are not done.

    Parameters
    ----------
    folder
        Where the targets lie; made if it is not there.
    settings
        What the targets depend on, as JSON can hold it.
    again
        Begin anew: do what is done once more, with whatever settings.

    Yields
    ------
    Outcome or Job
        First the jobs that are done already, then the outcomes of the others as they come.

    Raises
    ------
    InputError
        Two jobs have the same target, or the folder was made with other settings.
    """
    jobs = list(jobs)
    targets: dict[Path, Path] = {}
    for job in jobs:
        other = targets.setdefault(job.target, job.source)
        if other != job.source:
            raise InputError(f"{other} and {job.source} would both become {job.target}; rename one")
    folder.mkdir(parents=True, exist_ok=True)
    begin = _note(folder, dict(settings), again)
    _sweep(folder)
    waiting = []
    for job in jobs:
        if job.done_since(begin):
            yield job
        else:
            waiting.append(job)
    if waiting:
        yield from engine.run(work, waiting)


def _note(folder: Path, settings: dict[str, Any], again: bool) -> int:
    """Note the settings of a folder, or compare them with those noted; gives the note's time."""
    note = folder / NOTE
    known: Any = None
    with suppress(FileNotFoundError, ValueError):
        known = json.loads(note.read_text())
    # What JSON makes of them is what is compared: it knows no tuples.
    settings = json.loads(json.dumps(settings))
    if known is not None and known != settings and not again:
        raise InputError(
            f"{folder} was made with other settings ({json.dumps(known)}); give another folder, or "
            "--again to make everything anew"
        )
    if known != settings or again:
        with replacing(note) as part:
            part.write_text(json.dumps(settings) + "\n")
    return note.stat().st_mtime_ns


def _sweep(folder: Path) -> None:
    """Remove what killed runs left half-written long ago."""
    for part in folder.rglob(PART_PATTERN):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()

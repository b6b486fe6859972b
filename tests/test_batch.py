"""Batches go on where they were killed, do nothing twice, and say what failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcodec.batch import NOTE, Job, Outcome, Processes, attempt, run_batch
from streamcodec.errors import InputError
from streamcodec.safefile import replacing

SETTINGS = {"bpp": 0.3, "region": (1, 2)}


class Inline:
    """Engine of this process, for tests."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def run(self, work: Any, jobs: list[Job]) -> Iterator[Outcome]:
        for job in jobs:
            self.done.append(job.source.name)
            yield attempt(work, job)


def copy(job: Job) -> dict[str, Any]:
    text = job.source.read_text()
    if text == "bad":
        raise InputError("this one is bad")
    with replacing(job.target) as part:
        part.write_text(text.upper())
    return {"bytes": len(text)}


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    made = []
    for name in "abcd":
        (source / name).write_text(name)
        made.append(Job(source / name, target / "deep" / f"{name}.x"))
    return made


def go(jobs: list[Job], engine: Any = None, **options: Any) -> list[Outcome | Job]:
    folder = jobs[0].target.parents[1]
    return list(run_batch(engine or Inline(), copy, jobs, folder, SETTINGS, **options))


def test_everything_once(jobs: list[Job]) -> None:
    assert [o.report for o in go(jobs) if isinstance(o, Outcome)] == [{"bytes": 1}] * 4
    assert [j.target.read_text() for j in jobs] == list("ABCD")
    assert go(jobs) == jobs


def test_what_is_missing_stale_or_failed_is_done(jobs: list[Job]) -> None:
    jobs[3].source.write_text("bad")
    outcomes = [o for o in go(jobs) if isinstance(o, Outcome)]
    assert [o.error for o in outcomes] == [None] * 3 + ["this one is bad"]
    jobs[0].target.unlink()
    later = jobs[1].target.stat().st_mtime_ns + 10**9
    os.utime(jobs[1].source, ns=(later, later))
    jobs[3].source.write_text("d")
    engine = Inline()
    go(jobs, engine)
    assert engine.done == ["a", "b", "d"]


def test_a_vanished_source_is_an_outcome(jobs: list[Job]) -> None:
    jobs[2].source.unlink()
    outcomes = go(jobs)
    assert [isinstance(o, Outcome) and bool(o.error) for o in outcomes] == [
        False,
        False,
        True,
        False,
    ]


def test_other_settings_need_a_word(jobs: list[Job]) -> None:
    go(jobs)
    folder = jobs[0].target.parents[1]
    with pytest.raises(InputError, match=r"other settings.*--again"):
        list(run_batch(Inline(), copy, jobs, folder, {"bpp": 0.5}))
    # Begun anew and killed after one: the rest is not taken for done.
    batch = run_batch(Inline(), copy, jobs, folder, {"bpp": 0.5}, again=True)
    next(batch)
    batch.close()
    engine = Inline()
    list(run_batch(engine, copy, jobs, folder, {"bpp": 0.5}))
    assert engine.done == ["b", "c", "d"]
    assert json.loads((folder / NOTE).read_text()) == {"bpp": 0.5}


def test_files_of_others_are_not_taken_for_done(jobs: list[Job]) -> None:
    jobs[0].target.parent.mkdir(parents=True)
    jobs[0].target.write_text("from somewhere")
    old = time.time() - 60
    os.utime(jobs[0].source, (old - 60, old - 60))
    os.utime(jobs[0].target, (old, old))
    go(jobs)
    assert jobs[0].target.read_text() == "A"


def test_one_target_for_two_sources_is_refused(jobs: list[Job]) -> None:
    with pytest.raises(InputError, match="both become"):
        go([*jobs, Job(jobs[0].source, jobs[1].target)])


def test_old_leavings_are_removed(jobs: list[Job]) -> None:
    folder = jobs[0].target.parents[1]
    folder.mkdir()
    names = [folder / f".streamcodec-{k}.part" for k in range(2)]
    for name in names:
        name.write_text("half")
    old = time.time() - 7200
    os.utime(names[0], (old, old))
    go(jobs)
    assert [n.exists() for n in names] == [False, True]


def test_processes(jobs: list[Job]) -> None:
    jobs[1].source.write_text("bad")
    outcomes = [o for o in go(jobs, Processes(2)) if isinstance(o, Outcome)]
    assert sorted(o.error or "" for o in outcomes) == ["", "", "", "this one is bad"]
    assert sorted(p.name for p in jobs[0].target.parent.iterdir()) == ["a.x", "c.x", "d.x"]
    with pytest.raises(InputError):
        Processes(0)


def test_dask(jobs: list[Job]) -> None:
    """The same jobs on a cluster of one worker."""
    import distributed

    from streamcodec.batch import Cluster

    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        outcomes = go(jobs, Cluster(cluster.scheduler_address))
    assert all(isinstance(o, Outcome) and o.error is None for o in outcomes)
    assert [j.target.read_text() for j in jobs] == list("ABCD")


BATCH = """
import sys, time
from functools import partial
from pathlib import Path
from streamcodec.batch import Processes, run_batch
from tests.test_batch import slow_jobs, slow_work
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for outcome in run_batch(Processes(2), slow_work, slow_jobs(folder), folder / "out", {}):
        print("outcome", flush=True)
"""
SLOW_JOBS = 12


def slow_jobs(folder: Path) -> list[Job]:
    return [Job(folder / f"{k}.in", folder / "out" / f"{k}.out") for k in range(SLOW_JOBS)]


def slow_work(job: Job) -> dict[str, Any]:
    """Write a file in two halves, slowly, and keep a record of who began it."""
    with (job.source.parent / "begun").open("a") as record:
        record.write(f"{job.source.name} {os.getpid()}\n")
    with replacing(job.target) as part, part.open("w") as file:
        file.write("first half, ")
        file.flush()
        time.sleep(0.15)
        file.write("second half")
    return {}


def test_a_killed_batch_goes_on(tmp_path: Path) -> None:
    """SIGKILL at some moment; no half file counts, nothing done is done again, nobody lingers."""
    for job in slow_jobs(tmp_path):
        job.source.touch()
    script = tmp_path / "batch.py"
    script.write_text(BATCH)
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start() as first:
        if first.stdout is None:
            raise RuntimeError("no pipe")
        for _ in range(3):
            first.stdout.readline()
        first.send_signal(signal.SIGKILL)
        first.wait()
    workers = {int(line.split()[1]) for line in (tmp_path / "begun").read_text().splitlines()}
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.out")}
    print(f"{len(done)} of {SLOW_JOBS} were done when the batch was killed")
    assert 3 <= len(done) < SLOW_JOBS
    assert all((tmp_path / "out" / n).read_text() == "first half, second half" for n in done)
    begun = (tmp_path / "begun").read_text().splitlines()
    with start() as second:
        output, _ = second.communicate(timeout=120)
        assert second.returncode == 0
    assert output.count("outcome") == SLOW_JOBS
    again = (tmp_path / "begun").read_text().splitlines()[len(begun) :]
    assert len(again) == SLOW_JOBS - len(done)
    for job in slow_jobs(tmp_path):
        assert job.target.read_text() == "first half, second half"
        if job.target.name in done:
            assert job.target.stat().st_mtime_ns == done[job.target.name]

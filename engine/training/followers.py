"""The other processes of a training on several GPUs: rank 0 starts them, watches them, and ends them.

torchrun is not used: it gives each process its own session, where a stop of the job's process group does not arrive,
does not pass on the descriptors of the GPU locks, and ends with status 1 whatever the engine's status was.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.contract.errors import BadInput, Exit, Failed, Stopped
from engine.contract.names import JOB_DIR_ENV, LEASES_ENV
from engine.contract.text import clean
from engine.process.exit import end_with
from engine.process.progress import show_title

_PARENT_ENV = "XRAY_RANKS_PARENT"
_STORE_ENV = "XRAY_RANKS_STORE"  # the same as in ranks.py, which imports torch
_GRACE_S = 10.0
"""Seconds for rank 0 to notice by itself that another rank died; on GPUs it may hang instead."""


def count(requested: int | None) -> int:
    """Number of processes of a training: as requested, or one for each GPU of the job."""
    if requested is not None:
        return requested
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if os.environ.get(JOB_DIR_ENV) else ""
    return max(1, len([gpu for gpu in gpus.split(",") if gpu]))


def is_follower() -> bool:
    """Whether torchrun started this process as another rank than the first."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0


@contextlib.contextmanager
def followed(size: int, give_up: Callable[[str], None]) -> Iterator[None]:
    """Be rank 0 of `size` for the block. The others run meanwhile and have ended after it. If one of them dies, the
    block ends with Failed and the cause. If the block hangs instead, `give_up` is called with the cause in another
    thread and must end the process."""
    if size == 1 or "RANK" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="xray-ranks-") as folder:
        marks = {"RANK": "0", "WORLD_SIZE": str(size), _STORE_ENV: f"{folder}/store"}
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # otherwise it warns that no parameter was unused
        os.environ.update(marks)
        others = [_start(rank) for rank in range(1, size)]
        over = threading.Event()
        threading.Thread(target=_watch, args=(others, over, give_up), daemon=True).start()
        try:
            yield
        except (BadInput, Failed):
            raise
        except Exception as error:
            if cause := _death(others, patience=2.0):
                raise (MemoryError if cause.endswith("memory") else Failed)(cause) from error
            raise
        finally:
            over.set()
            _end(others)
            for mark in marks:
                del os.environ[mark]


def follow() -> None:
    """Take part in rank 0's training, without output."""
    show_title(f"GPU {int(os.environ['RANK']) + 1}")
    os.environ.pop(JOB_DIR_ENV, None)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        from engine.training.loop import take_part

        take_part()


def _start(rank: int) -> subprocess.Popen[bytes]:
    """Start a rank in the same process group, with the descriptors of the GPU locks, which stay held while any rank
    computes."""
    import engine

    paths = [str(Path(engine.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    marks = {"RANK": str(rank), "LOCAL_RANK": str(rank), _PARENT_ENV: str(os.getpid())}
    return subprocess.Popen(
        [sys.executable, "-m", "engine.training.followers"],
        env={**os.environ, **marks, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.DEVNULL,
        pass_fds=[int(lease) for lease in os.environ.get(LEASES_ENV, "").split(",") if lease.isdecimal()],
    )


def _death(others: list[subprocess.Popen[bytes]], patience: float = 0.0) -> str | None:
    """The cause of the death of a rank; None while all run, or have ended like rank 0."""
    until = time.monotonic() + patience
    while True:
        for rank, other in enumerate(others, 1):
            if (status := other.poll()) not in (None, Exit.DONE, Exit.STOPPED):
                how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
                memory = ": out of memory" if status == Exit.OUT_OF_MEMORY else ""
                return f"the process of GPU {rank + 1} of {len(others) + 1} {how}{memory}"
        if time.monotonic() >= until:
            return None
        time.sleep(0.05)


def _watch(others: list[subprocess.Popen[bytes]], over: threading.Event, give_up: Callable[[str], None]) -> None:
    while not over.wait(1.0):
        if cause := _death(others):
            if not over.wait(_GRACE_S):
                give_up(cause)
            return


def _end(others: list[subprocess.Popen[bytes]]) -> None:
    """Wait for the ranks if rank 0 has finished or was stopped, as they end by themselves then; kill the rest."""
    until = time.monotonic() + (_GRACE_S if sys.exc_info()[0] in (None, Stopped) else 0.0)
    for other in others:
        try:
            other.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()


def main() -> int:
    """`python -m engine.training.followers`: one of the other ranks, with the engine's exit statuses."""
    end_with(int(os.environ[_PARENT_ENV]))
    try:
        follow()
    except (Stopped, KeyboardInterrupt):
        return Exit.STOPPED
    except BadInput:
        return Exit.BAD_INPUT
    except Failed:
        return Exit.OTHER
    except Exception as error:
        from engine.process.device import is_out_of_memory

        if is_out_of_memory(error):
            status = Exit.OUT_OF_MEMORY
        else:
            status = Exit.OTHER
            time.sleep(1.0)  # if rank 0 failed first, it reports that and ends this process
        line = clean(str(error).split("\n")[0])[:400]
        print(f"rank {os.environ['RANK']}: {type(error).__name__}: {line}", file=sys.stderr, flush=True)
        return status
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())

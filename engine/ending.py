"""How a command ends: its exit status and the cause in one line, for the terminal and in the job's end record."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.contract import names
from engine.contract.errors import BadInput, Exit, Failed, Stopped
from engine.contract.text import clean


def of(command: Callable[[], None]) -> tuple[Exit, str]:
    """(exit status, its cause in words) of a command that is run; the cause is printed where it is none of success."""
    try:
        command()
    except BadInput as error:
        _say(*error.lines)
        return Exit.BAD_INPUT, error.lines[0] if error.lines else "bad input"
    except Stopped as error:
        _say(str(error))
        return Exit.STOPPED, str(error)
    except Failed as error:
        _say(str(error))
        return Exit.OTHER, str(error)
    except KeyboardInterrupt:
        _say("stopped")
        return Exit.STOPPED, "stopped by Ctrl+C"
    except ImportError as error:
        line = f"{clean(str(error))}; the engine needs its extra: pip install 'xray-tui[engine]'"
        _say(line)
        return Exit.OTHER, line
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OTHER, "its output was closed"
    except Exception as error:
        return _unexpected(error)
    return Exit.DONE, "done"


def _unexpected(error: Exception) -> tuple[Exit, str]:
    """One line for the user; the traceback only where XRAY_DEBUG asks for it."""
    if os.environ.get("XRAY_DEBUG"):
        raise error
    line = clean(f"{type(error).__name__}: {error}".split("\n")[0])[:400]
    status = Exit.OTHER
    memory = isinstance(error, MemoryError)
    if "torch" in sys.modules:
        from engine.device import is_out_of_memory

        memory = is_out_of_memory(error)
    if memory:
        status = Exit.OUT_OF_MEMORY
        line = f"out of memory: try a smaller training.batch_size or data.image_size ({line})"
    elif isinstance(error, OSError):
        where = f"{clean(str(error.filename))}: " if error.filename else ""
        line = f"{where}{clean(error.strerror or str(error))}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # a full disk, a full quota, a file-size limit
            status, line = Exit.NO_SPACE, f"no space left: {line if error.filename else f'its output: {line}'}"
    _say(line)
    return status, line


def _say(*lines: str) -> None:
    """Into the log, where there is room: the end record and the exit status tell it too."""
    with contextlib.suppress(OSError):
        print("\n".join(lines), file=sys.stderr, flush=True)


def give_up(cause: str) -> None:
    """End at once, where the main thread hangs."""
    _say(cause)
    record(Exit.OTHER, cause)
    os._exit(Exit.OTHER)


def let_go_of_output() -> None:
    """What cannot be written any more (full disk, closed pipe) must not change the exit status on the way out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def record(status: Exit, cause: str) -> None:
    """end.json in the job's folder: success needs it, an exit status alone does not count."""
    folder = os.environ.get(names.JOB_DIR_ENV)
    if not folder:
        return
    from engine.contract.files import write_json

    rss: int | None = None
    gpu: int | None = None
    if "torch" in sys.modules:
        from engine.device import peak_memory

        rss, gpu = peak_memory()
    facts = {"code": int(status), "cause": cause, "time": time.time(), "peak_rss": rss, "peak_gpu": gpu}
    try:
        write_json(Path(folder) / names.END, facts)
    except OSError as error:
        _say(f"{clean(folder)}/{names.END}: {error.strerror}")

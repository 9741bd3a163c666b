"""Small programs that stand where the engine stands: `python programs.py WHAT …`. Each is a real process."""

import json
import os
import signal
import subprocess
import sys
import time


def end(code: int, cause: str = "done") -> None:
    with open(os.path.join(os.environ["XRAY_JOB_DIR"], "end.json"), "w") as file:
        json.dump({"code": code, "cause": cause, "time": time.time(), "peak_rss": 5 << 20, "peak_gpu": None}, file)
    sys.exit(code)


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


def succeed() -> None:
    shown = ("CUDA_VISIBLE_DEVICES", "XRAY_TUI_JOB", "XRAY_TUI_RUN", "PYTHONUNBUFFERED")
    print("environment", json.dumps({name: os.environ.get(name) for name in shown}))
    print("folder", os.getcwd())
    end(0)


def until(path: str) -> None:
    """Work until the file is there; save and stop on SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: end(3, "stopped"))
    print("working", flush=True)
    wait_for(path)
    end(0)


def exclusively(folder: str) -> None:
    """Be the only one on the GPU that was given, or fail: a witness that knows nothing of leases."""
    mark = os.path.join(folder, os.environ["CUDA_VISIBLE_DEVICES"])
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        end(1, "the GPU was given twice")
    time.sleep(0.1)
    os.unlink(mark)
    end(0)


def note(path: str, word: str) -> None:
    with open(path, "a") as file:
        file.write(word + "\n")
    end(0)


def stubborn(pids: str) -> None:
    """Ignore SIGTERM, as a child in the same group and one in a session of its own do."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
    with open(pids + ".new", "w") as file:
        json.dump([os.getpid(), *(child.pid for child in children)], file)
    os.rename(pids + ".new", pids)
    time.sleep(600)


def hang(pipe: str) -> None:
    """Be in state D until somebody opens the pipe to write: a vfork waits for its child, which waits for the pipe."""
    os.mkfifo(pipe)
    print("working", flush=True)
    opens = [(os.POSIX_SPAWN_OPEN, 0, pipe, os.O_RDONLY, 0)]
    os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=opens)
    time.sleep(600)


def progress() -> None:
    with open(os.path.join(os.environ["XRAY_JOB_DIR"], "progress.json"), "w") as file:
        json.dump({"phase": "train", "done": 3, "total": 20, "unit": "epochs", "eta_s": 61.5}, file)
    time.sleep(600)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tell(name: str) -> None:
    print(os.environ.get(name))
    end(0)


def exit(code: str) -> None:
    sys.exit(int(code))


def without_record(*options: str) -> None:
    print("all is well")


train = evaluate = without_record


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""An engine that does nothing but witness: `python chaos_engine.py FOLDER SECONDS SLOTS`.

For each of its GPUs it takes a lock of its own in FOLDER, which knows nothing of leases; where that is taken, the GPU
was given twice. With more than one slot it shares that lock with as many others. It notes each start in FOLDER/starts.
"""

import fcntl
import json
import os
import signal
import sys
import time


def end(code: int, cause: str) -> None:
    with open(os.path.join(os.environ["XRAY_JOB_DIR"], "end.json"), "w") as file:
        json.dump({"code": code, "cause": cause, "time": time.time(), "peak_rss": 1, "peak_gpu": None}, file)
    os._exit(code)


def note(folder: str, words: str) -> None:
    line = os.open(os.path.join(folder, "starts"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(line, f"{words}\n".encode())
    os.close(line)


def taken(path: str, kind: int) -> bool:
    try:
        fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def main(folder: str, seconds: float, slots: int) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: end(3, "stopped"))
    job = os.environ["XRAY_TUI_JOB"]
    print("begun", flush=True)
    gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    for gpu in gpus:
        mark = os.path.join(folder, gpu)
        twice = taken(mark, fcntl.LOCK_SH if slots > 1 else fcntl.LOCK_EX)
        if twice or (slots > 1 and all(taken(f"{mark}.{slot}", fcntl.LOCK_EX) for slot in range(slots))):
            note(folder, f"TWICE {job} {gpu}")
            end(1, f"{gpu} was given twice")
    note(folder, f"start {job} {len(gpus)} {time.monotonic()}")
    time.sleep(seconds)
    end(0, "done")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))

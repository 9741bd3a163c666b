"""An engine that does nothing but witness: `python chaos_engine.py FOLDER SECONDS`.

For each of its GPUs it takes a lock of its own in FOLDER, which knows nothing of leases; where that is taken, the GPU
was given twice. It notes each start in FOLDER/starts.
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


def main(folder: str, seconds: float) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: end(3, "stopped"))
    job = os.environ["XRAY_TUI_JOB"]
    print("begun", flush=True)
    held = []
    for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(","):
        mark = os.open(os.path.join(folder, gpu), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(folder, f"TWICE {job} {gpu}")
            end(1, f"{gpu} was given twice")
        held.append(mark)
    note(folder, f"start {job} {len(held)} {time.monotonic()}")
    time.sleep(seconds)
    end(0, "done")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

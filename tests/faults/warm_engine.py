"""An engine that is imported already: each line on its standard input is a run of it, in a process of its own.

    {"argv": ["train", …], "dies": ["a step", 1, 0.0], "largest_file": null, "output": FILE,
     "environment": {}, "without_noise": false}

It answers with the process's pid, and later with how it ended, as subprocess tells it. Starting the interpreter anew
for every run would take ten seconds each time, most of them for imports. Given two descriptors, it serves there too, as
a process of its own: for what takes two engines at once. `dies` names one of the places below: at its
n-th call the process kills itself with SIGKILL, or so many seconds later, wherever it is by then. `without_noise`: its
network has no batch norm and no dropout, so that a batch may be computed in parts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

Kill = Callable[[], None]


def dies_on_entry(owner: Any, name: str) -> Callable[[Callable[[], bool], Kill], None]:
    """A place: every call of `owner.name`."""

    def install(is_due: Callable[[], bool], kill: Kill) -> None:
        real = getattr(owner, name)

        def entered(*given: Any, **more: Any) -> Any:
            if is_due():
                kill()
            return real(*given, **more)

        setattr(owner, name, entered)

    return install


def dies_half_written(module: Any, file: str) -> Callable[[Callable[[], bool], Kill], None]:
    """A place: half of the file's bytes are written beside it."""

    def install(is_due: Callable[[], bool], kill: Kill) -> None:
        real, fsync = module.write_whole, os.fsync

        def cut(descriptor: int) -> None:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            kill()

        def write_whole(path: Any, *given: Any) -> None:
            os.fsync = cut if path.name == file and is_due() else fsync
            real(path, *given)

        module.write_whole = write_whole

    return install


def places() -> dict[str, Callable[[Callable[[], bool], Kill], None]]:
    """Where an engine can be told to die."""
    from engine.contract import load
    from engine.models import checkpoint
    from engine.training import event_log, learner, loop

    return {
        "reading the data": dies_on_entry(loop, "load_training_data"),
        "writing config.yaml": dies_half_written(load, "config.yaml"),
        "a step": dies_on_entry(learner.Learner, "step"),
        "a validation": dies_on_entry(loop, "validate"),
        "writing best.pt": dies_half_written(checkpoint, "best.pt"),
        "between best.pt and last.pt": dies_on_entry(learner.Learner, "save_last"),
        "writing last.pt": dies_half_written(checkpoint, "last.pt"),
        "behind last.pt": dies_on_entry(loop, "epoch_line"),
        "the end": dies_on_entry(event_log.EventLog, "close"),
    }


def die(place: str, call: int, after: float) -> None:
    """Have this process killed at that call of the place."""
    calls = iter(range(1, 1 << 30))

    def kill() -> None:
        if after:
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    places()[place](lambda: next(calls) == call, kill)


def build_without_noise() -> None:
    """Have networks built with group norm in place of batch norm, and dropout that drops nothing."""
    from torch import nn

    from engine.training import learner

    real = learner.build_network

    def build(*given: Any, **more: Any) -> Any:
        network = real(*given, **more)
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    act = getattr(child, "act", nn.Identity())  # timm's norms hold their activation
                    setattr(module, name, nn.Sequential(nn.GroupNorm(1, child.num_features), act))
                elif isinstance(child, nn.Dropout):
                    child.p = 0.0
        return network

    learner.build_network = build


def run(request: dict[str, Any]) -> int:
    """In the child: one run of the engine."""
    from engine.cli import main

    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    os.environ.update(request["environment"])
    if request["without_noise"]:
        build_without_noise()
    if request["dies"]:
        die(*request["dies"])
    return main(request["argv"])


def warm_up() -> None:
    """Import all that a run would import: what is left to the runs is paid by each of them."""
    import segmentation_models_pytorch  # noqa: F401 - the slowest of the imports
    import sklearn.metrics  # noqa: F401 - with scipy and pandas behind it, by the first validation
    import timm.models  # noqa: F401
    import torchvision.transforms.v2  # noqa: F401
    from PIL import Image
    from torch.utils.data._utils import worker

    import engine.training.loop  # noqa: F401

    Image.init()
    worker.MP_STATUS_CHECK_INTERVAL = 3600.0  # torch's loaders end by themselves: who else ends them would not be seen


def serve(requests: TextIO, answers: TextIO) -> None:
    """One run after the other, until nobody can ask any more."""
    for line in requests:
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            status = 70
            try:
                status = run(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def main(*descriptors: int) -> None:
    warm_up()
    if descriptors and os.fork() == 0:
        for stream in (0, 1):  # the other's: who holds them would hide its end
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        with open(descriptors[0]) as requests, open(descriptors[1], "w") as answers:
            serve(requests, answers)
        return
    for descriptor in descriptors:
        os.close(descriptor)
    serve(sys.stdin, sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""The title of a job's process: what everybody else on the server reads in nvidia-smi, top and ps."""

from __future__ import annotations

import os
import pwd

from engine.contract.names import JOB_DIR_ENV, RUN_ENV
from engine.contract.text import clean
from engine.contract.units import duration


def show(what: str) -> None:
    """`xray-tui unet_a (ana) 42% 1h05m left`; `what` is what comes after the run and its owner.

    Nothing happens for an engine that was not launched as a job, or where setproctitle is not installed (it comes with
    the app). A title may be as long as the command line was, which holds the run's name too, and no longer: beyond it
    lies the environment with the marks by which a job's processes are found.
    """
    if not os.environ.get(JOB_DIR_ENV):
        return
    os.environ.setdefault("SPT_NOENV", "1")  # before its first use: leave the environment alone
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"xray-tui {clean(os.environ.get(RUN_ENV) or '?')} ({_user()}) {what}")


def pace(done: int, total: int, eta_s: float | None) -> str:
    """`42% 1h05m left`."""
    share = f"{100 * done // total}%" if total else "0%"
    return share if eta_s is None else f"{share} {duration(eta_s)} left"


def _user() -> str:
    try:
        return clean(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"

"""The title of a job's process: what everybody else on the server reads in nvidia-smi, top and ps."""

from __future__ import annotations

import os
import pwd

from engine.contract.names import JOB_DIR_ENV, RUN_ENV
from engine.contract.text import clean


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
    return share if eta_s is None else f"{share} {span(eta_s)} left"


def span(seconds: float) -> str:
    """48s, 12m, 1h05m, 2d03h."""
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(0, int(seconds))}s"
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes // (24 * 60)}d{minutes // 60 % 24:02}h"


def _user() -> str:
    try:
        return clean(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"

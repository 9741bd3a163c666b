"""Every message that the services post to the app. Each carries a whole frozen value, never a change of one.

A value that is newer makes an older one in the queue superfluous, so a burst of a thousand becomes one redraw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds import Feed
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.feeds.host_feed import Host
    from xray_tui.feeds.job_files import Followed
    from xray_tui.jobs.model.job import Job
    from xray_tui.status.report import Report


class Latest(Message):
    """A message whose newest instance says all that the older ones did."""

    def can_replace(self, message: Message) -> bool:
        return type(message) is type(self)


@dataclass
class BoardChanged(Latest):
    """The runs folder was read, or something in it changed."""

    board: Board


@dataclass
class GpuSampled(Latest):
    """The GPUs were looked at."""

    gpus: Gpus


@dataclass
class HostSampled(Latest):
    """The host reads differently than before."""

    host: Host


@dataclass
class JobsChanged(Latest):
    """A job is new, gone, or says something else than before."""

    jobs: tuple[Job, ...]
    others: str = ""
    """A line about the jobs of others that wait."""


@dataclass
class FollowedChanged(Latest):
    """The log or the curve of the followed job has grown."""

    followed: Followed

    def can_replace(self, message: Message) -> bool:
        """Only a message of the same job is superseded: one of the job that was selected before may arrive late."""
        return isinstance(message, FollowedChanged) and message.followed.job == self.followed.job


@dataclass
class FeedFailed(Message):
    """A feed failed and will try again, or works again."""

    feed: Feed
    line: str
    """The failure, to be shown in the feed's panel; empty: the feed works again."""


@dataclass
class BoardPolled(Message):
    """The runs folder is polled instead of watched, or is watched again."""

    reason: str
    """Empty: it is watched."""


@dataclass
class CameBack(Message):
    """The user has been away, and there is something to tell."""

    report: Report


@dataclass
class Said(Message):
    """One line for the user, from a thread: what was done, or why it could not be."""

    line: str
    severity: Literal["information", "warning", "error"] = "information"

"""The messages that the services post to the app. Each carries a complete immutable value, never a diff.

A newer value replaces an older one in the queue, so a burst of a thousand messages causes one redraw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


class FeedMessage(Message):
    """Base class of all messages from the services."""


class Latest(FeedMessage):
    """A message that replaces older messages of its type in the queue."""

    def can_replace(self, message: Message) -> bool:
        return type(message) is type(self)


@dataclass
class BoardChanged(Latest):
    """A new board, after the first scan or a change in the runs folder."""

    board: Board


@dataclass
class GpuSampled(Latest):
    """A new sample of the GPUs."""

    gpus: Gpus


@dataclass
class HostSampled(Latest):
    """CPU, memory or disk figures of the host changed visibly."""

    host: Host


@dataclass
class JobsChanged(Latest):
    """A job was added, removed or changed."""

    jobs: tuple[Job, ...]
    others: str = ""
    """One line about the waiting jobs of other users."""
    validations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Maps the run of each running training to the metrics of its last validation."""


@dataclass
class FollowedChanged(Latest):
    """The followed log or a curve has grown."""

    followed: Followed

    def can_replace(self, message: Message) -> bool:
        """Replace only messages with the same name; a message about the previously selected job may arrive late."""
        return isinstance(message, FollowedChanged) and message.followed.name == self.followed.name


@dataclass
class FeedFailed(FeedMessage):
    """A feed failed and will retry, or it recovered."""

    feed: Feed
    line: str
    """The failure, shown in the feed's panel; empty when the feed has recovered."""


@dataclass
class BoardPolled(FeedMessage):
    """The app began to poll the runs folder instead of watching it, or ceased to."""

    reason: str
    """Why the folder is polled; empty when it is watched."""


@dataclass
class AwaySummary(FeedMessage):
    """What happened in the runs folder while the user was away."""

    report: Report


@dataclass
class Notice(FeedMessage):
    """One line for the user from a background action: its result, or the reason why it failed."""

    line: str
    severity: Literal["information", "warning", "error"] = "information"
    bell: bool = False
    """Whether to ring the terminal's bell."""

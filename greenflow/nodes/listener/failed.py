"""What a process fails with that answered an error status (BEHAVIOUR 8.6).

Lives here: StatusFailed. Nobody is told of it but who asks why a process rolled back.
"""

from __future__ import annotations


class StatusFailed(Exception):
    """The workflow answered with that status, `answered`: what it did is rolled back."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered with status {status}")
        self.answered = status

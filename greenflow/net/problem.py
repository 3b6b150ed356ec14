"""Problems, what a client is told of a request that went wrong (RFC 9457).

Lives here: the words of the format. What is wrong is said by who answers.
"""

from __future__ import annotations

#: The type of an answer that is one (RFC 9457 3).
MEDIA_TYPE = "application/problem+json"

#: The `type` of one that has no page of its own: its status says what it is (RFC 9457 4.2.1).
UNNAMED = "about:blank"

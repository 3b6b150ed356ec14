from __future__ import annotations

import pytest

from greenflow.net import fields
from greenflow.net.grammar import is_token

# RFC 9110 7.6.1, and what stands in Connection by other standards.
HOPS = "connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings"


def test_the_fields_of_one_hop() -> None:
    assert set(HOPS.split()) == fields.HOP_BY_HOP


@pytest.mark.parametrize(
    "name", ["HOP_BY_HOP", "FRAMING", "CONDITIONS", "CREDENTIALS", "REQUEST_ONLY", "ROUTING"]
)
def test_each_is_a_set_of_names_in_lower_case(name: str) -> None:
    names = getattr(fields, name)
    assert names
    assert all(is_token(each) and each == each.lower() for each in names)


def test_what_no_request_of_ours_carries_is_of_one_hop_or_frames() -> None:
    from greenflow.net import answer, chunked
    from greenflow.nodes import http
    from greenflow.nodes.websocket import client

    for users in (answer._OWNED, http._NOT_SENT, client._NOT_SENT):
        assert users >= fields.HOP_BY_HOP | fields.FRAMING
    assert {each.decode() for each in chunked._FORBIDDEN} >= fields.HOP_BY_HOP | fields.FRAMING

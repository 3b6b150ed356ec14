"""The ping of gevent.pywsgi, to compare with: `python -m contrib.bench.http_pywsgi PORT`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gevent import monkey

monkey.patch_all()

from gevent.pywsgi import WSGIServer  # noqa: E402 - patched first


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"pong"]


WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()

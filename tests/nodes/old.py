"""Old services, for the tests of `wsgi`: a Flask, a Django and some bare WSGI applications."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import django
import flask
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

LARGE = bytes(range(256)) * 2048


def shown(environ: dict[str, Any]) -> dict[str, Any]:
    """What an application can see of a request that does not depend on its server."""
    keys = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE")
    own = ("HTTP_CONNECTION", "HTTP_USER_AGENT", "HTTP_COOKIE")  # a test client makes these up
    return {
        **{key: environ.get(key, "") for key in keys},
        **{k: v for k, v in sorted(environ.items()) if k.startswith("HTTP_") and k not in own},
    }


# -- Flask -------------------------------------------------------------------------------------

flask_app = flask.Flask(__name__)
flask_app.secret_key = "not secret"


@flask_app.route("/see/<path:rest>", methods=["GET", "POST", "PUT"])
def see(rest: str) -> Any:
    body = flask.request.get_data(cache=True)
    return {
        "rest": rest,
        "digest": hashlib.sha256(body).hexdigest(),
        "length": flask.request.content_length,
        "form": flask.request.form.to_dict(flat=False),
        "files": {k: f.read().hex() for k, f in flask.request.files.items()},
        "cookies": dict(flask.request.cookies),
        "environ": shown(flask.request.environ),
    }


@flask_app.post("/upload")
def upload() -> Any:
    return {
        "form": flask.request.form.to_dict(flat=False),
        "files": {
            k: [f.filename, f.content_type, hashlib.sha256(f.read()).hexdigest()]
            for k, f in flask.request.files.items()
        },
    }


@flask_app.get("/login")
def login() -> Any:
    flask.session["user"] = "anna"
    answer = flask.redirect("/see/home")
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2; x")
    return answer


@flask_app.get("/stream")
def stream() -> Any:
    def pieces() -> Iterator[str]:
        for i in range(3):
            yield f"{flask.request.args['of']}{i}\n"

    return flask.Response(flask.stream_with_context(pieces()), mimetype="text/csv")


@flask_app.get("/large")
def large() -> Any:
    answer = flask.make_response(LARGE)
    answer.set_etag(hashlib.md5(LARGE).hexdigest())
    return answer.make_conditional(flask.request, accept_ranges=True, complete_length=len(LARGE))


@flask_app.get("/file")
def file() -> Any:
    return flask.send_file(io.BytesIO(LARGE), "application/zip", download_name="é.zip", etag=False)


@flask_app.get("/empty")
def empty() -> Any:
    return "", 204


@flask_app.get("/broken")
def broken() -> Any:
    raise ValueError("broken")


# -- Django ------------------------------------------------------------------------------------


def django_see(request: HttpRequest, rest: str) -> HttpResponse:
    body = hashlib.sha256(request.body).hexdigest()
    found = {"rest": rest, "digest": body, "form": dict(request.POST.lists())}
    found |= {"get": dict(request.GET.lists()), "environ": shown(request.META)}
    found |= {"files": {k: f.read().hex() for k, f in request.FILES.items()}}  # type: ignore[union-attr]
    return JsonResponse({**found, "cookies": request.COOKIES})


def django_login(request: HttpRequest) -> HttpResponse:
    answer = HttpResponseRedirect("/see/home")
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2; x")
    return answer


def django_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((f"{i}\n" for i in range(3)), content_type="text/csv")


def django_file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(LARGE), as_attachment=True, filename="é.zip")


def django_large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(LARGE, content_type="application/json")


def django_empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def django_broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken")


urlpatterns = [
    path("see/<path:rest>", django_see),
    path("upload", django_see, {"rest": "upload"}),
    path("login", django_login),
    path("stream", django_stream),
    path("file", django_file),
    path("large", django_large),
    path("empty", django_empty),
    path("broken", django_broken),
]


def django_application() -> Any:
    if not django_settings.configured:
        django_settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=__name__,
            SECRET_KEY="not secret",
            LOGGING_CONFIG=None,
            MIDDLEWARE=[
                "django.middleware.http.ConditionalGetMiddleware",
                "django.middleware.common.CommonMiddleware",
            ],
        )
        django.setup()
    return get_wsgi_application()


# -- bare --------------------------------------------------------------------------------------


@validator
def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Tells its environ; the validator watches whoever calls it."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    text = json.dumps({"body": body.decode("latin-1"), "environ": shown(environ)}).encode()
    length = str(len(text))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", length)])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text]


@validator
def sized(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads a streamed body line by line, and answers as it reads."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield line.upper()


class Endless:
    """An answer without an end, that notes when it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"more" * 1024

    def close(self) -> None:
        self.closed += 1


endless = Endless()


def fails_late(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun"
    raise ValueError("late")


no_application = "a string"

"""No secret gets out: each is put somewhere in a workflow that then does what it can to show it,
at the log level debug (BEHAVIOUR 16.6).

A row is a function with a mark: `@canary("what must be seen")`. It puts `cage.canary` somewhere and
has the cage look at what people could see; the text says that something was seen at all. Another
secret is one more row.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import gevent
import pytest

from greenflow.config import BrokerSettings, Settings, ValuesSettings
from greenflow.config.loading import load
from greenflow.log import secret
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.net.url import parse_url
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry
from greenflow.spec.document import read
from greenflow.store.base import open_store
from greenflow.store.document import Row as StoredRow
from greenflow.store.document import encode
from greenflow.store.plan import draft
from greenflow.store.tables import Page
from greenflow.values.seal import Keys
from greenflow.values.values import Value, Values, ValueValidator, sealed
from tests import mongo
from tests.canaries import Cage, listening
from tests.net.scripted import reply, scripted
from tests.ports import free_port
from tests.waiting import until

Row = Callable[[Cage], None]
rows: list[tuple[str, Row]] = []

WEB = "- {kind: listener, name: web, port: 0, host: 127.0.0.1, links: {out: [{name: next}]}}\n"
FAILS = WEB + "- {kind: snippet, name: next, language: cel, code: 'self.lost.field'}\n"
ENV = "env: {K: {name: v}}"
KEY = b64encode(bytes(32)).decode()


def canary(shown: str) -> Callable[[Row], Row]:
    """One more row; `shown` is part of what must be seen."""

    def add(row: Row) -> Row:
        rows.append((shown, row))
        return row

    return add


# -- settings --------------------------------------------------------------------------------------


@canary("mongodb://***@127.0.0.1")
def password_of_a_mongodb_url(cage: Cage) -> None:
    port = free_port()
    url = f"mongodb://user:{cage.canary}@127.0.0.1:{port}/db?serverSelectionTimeoutMS=10"
    assert cage.command("get", "--database", url) == 4


@canary("no such store")
def password_of_an_unknown_store(cage: Cage) -> None:
    cage.fails(open_store, f"postgres://user:{cage.canary}@host/db")


@canary("unknown option")
def option_of_a_database_url(cage: Cage) -> None:
    cage.fails(open_store, f"sqlite:///x.db?password={cage.canary}")


@canary("database='mongodb://***@host/db'")
def password_in_the_repr_of_settings(cage: Cage) -> None:
    cage.look(Settings(database=f"mongodb://user:{cage.canary}@host/db"))


@canary("expected a string, got a list")
def database_in_a_faulty_file(cage: Cage) -> None:
    file = cage.file("bad.toml", f'database = ["mongodb://user:{cage.canary}@host/db"]')
    cage.fails(load, {}, {}, file)


@canary("is not 32 bytes in base64")
def key_of_values(cage: Cage) -> None:
    assert cage.command("apply", "-", stdin="[]") == 0  # a reader makes no database
    assert cage.command("get", "values", GREENFLOW_VALUES_KEY=cage.canary) in (0, 2)
    cage.fails(Keys, [cage.canary])
    cage.look(Settings(values=ValuesSettings(key=[cage.canary])))


@canary("values.key='***'")
def key_of_values_in_a_runtime(cage: Cage) -> None:
    key = b64encode(cage.canary.encode().ljust(32)[:32]).decode()
    chosen = Settings(values=ValuesSettings(key=[key]))
    cage.canary = key
    with cage.flow("{kind: snippet, name: a, code: x}", data="plain-text", settings=chosen):
        logging.getLogger("shop").info("the key is %s", key)


@canary("env:2: expected KEY=VALUE")
def line_of_an_environment_file(cage: Cage) -> None:
    file = cage.file("env", f"A=1\n{cage.canary}\n")
    assert cage.command("run", "--environment-files", file) == 2


@canary("environment={'TOKEN': '***'}")
def environment_of_specs(cage: Cage) -> None:
    text = "{kind: sleep, name: a, env: {K: {data: '{{ .TOKEN }}'}}, interval: '{{ .K }}'}"
    chosen = Settings(environment={"TOKEN": cage.canary})
    with cage.flow(text, settings=chosen):
        pass


@canary("unknown environment variable")
def variable_that_is_not_known(cage: Cage) -> None:
    load({}, {"GREENFLOW_DATABSE": f"mongodb://user:{cage.canary}@host/db"})


# -- requests --------------------------------------------------------------------------------------


def fails(cage: Cage, *lines: str, body: bytes = b"") -> None:
    with cage.flow(FAILS) as runtime:
        cage.asks(runtime, *lines, body=body)


@canary("500 Internal Server Error")
def authorization_of_a_request(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", "Host: a", f"Authorization: Bearer {cage.canary}")


@canary("500 Internal Server Error")
def cookie_of_a_request(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", "Host: a", f"Cookie: session={cage.canary}; other=1")


@canary("500 Internal Server Error")
def proxy_authorization_of_a_request(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", "Host: a", f"Proxy-Authorization: Basic {cage.canary}")


@canary("500 Internal Server Error")
def query_of_a_request(cage: Cage) -> None:
    fails(cage, f"GET /?token={cage.canary} HTTP/1.1", "Host: a")


@canary("500 Internal Server Error")
def body_of_a_request(cage: Cage) -> None:
    body = f'{{"password": "{cage.canary}"}}'.encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    fails(cage, "POST / HTTP/1.1", "Host: a", *head, body=body)


@canary("HTTP/1.1 400")
def body_that_cannot_be_decoded(cage: Cage) -> None:
    body = f'{{"password": "{cage.canary}", '.encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    fails(cage, "POST / HTTP/1.1", "Host: a", *head, body=body)


@canary("HTTP/1.1 400")
def header_that_is_malformed(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", "Host: a", f"Authorization : Bearer {cage.canary}")


@canary("HTTP/1.1 400")
def header_without_a_colon(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", "Host: a", f"Bearer {cage.canary}")


@canary("HTTP/1.1 400")
def target_that_is_malformed(cage: Cage) -> None:
    fails(cage, f"GET /a b?token={cage.canary} HTTP/1.1", "Host: a")


@canary("HTTP/1.1 400")
def user_of_a_host(cage: Cage) -> None:
    fails(cage, "GET / HTTP/1.1", f"Host: user:{cage.canary}@a")


@canary("HTTP/1.1 500")
def cookie_of_an_answer_that_cannot_be_sent(cage: Cage) -> None:
    text = WEB + "- {kind: snippet, name: next, language: cel, code: 'self.body'}\n"
    body = f'{{"header": {{"Set-Cookie": "session={cage.canary}\\nx"}}}}'.encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    with cage.flow(text) as runtime:
        cage.asks(runtime, "POST / HTTP/1.1", "Host: a", *head, body=body)


@canary("HTTP/1.1 426")
def token_of_an_upgrade(cage: Cage) -> None:
    text = WEB.replace("name: next}", "name: next, port: io}") + "- {kind: gateway, name: next}\n"
    with cage.flow(text) as runtime:
        cage.asks(
            runtime,
            f"GET /?token={cage.canary} HTTP/1.1",
            "Host: a",
            "Upgrade: websocket",
            f"Sec-WebSocket-Protocol: {cage.canary}",
        )


# -- requests that a workflow sends ----------------------------------------------------------------


def sends(
    cage: Cage, url: str, payload: object = None, fields: str = "", data: object = None
) -> None:
    with cage.flow(f"{{kind: http, name: http, url: '{url}', {fields}}}", data) as runtime:
        cage.calls(runtime, "http", payload)


@canary("RequestFailed")
def token_in_the_url_of_a_node(cage: Cage) -> None:
    text = WEB + (
        "- {kind: http, name: next, env: {K: {name: v}}, "
        f"url: 'http://127.0.0.1:{free_port()}/?token={{{{ .K }}}}'}}\n"
    )
    with cage.flow(text, cage.canary) as runtime:
        cage.calls(runtime, "next")
        assert b" 500 " in cage.asks(runtime, "GET / HTTP/1.1", "Host: a")


@canary("RequestFailed")
def password_in_the_url_of_a_node(cage: Cage) -> None:
    sends(cage, f"http://user:{{{{ .K }}}}@127.0.0.1:{free_port()}/", None, ENV, cage.canary)


@canary("$.url: no host")
def host_in_the_url_of_a_node(cage: Cage) -> None:
    sends(cage, "http://{{ .K }}.invalid:80:90/", None, ENV, cage.canary)


@canary("RequestFailed")
def header_that_a_node_sends(cage: Cage) -> None:
    payload = {"header": {"Authorization": [f"Bearer {cage.canary}"]}, "body": "x"}
    sends(cage, f"http://127.0.0.1:{free_port()}/", payload)


@canary("invalid argument")
def header_that_cannot_be_sent(cage: Cage) -> None:
    payload = {"header": {"X-Token": [f"{cage.canary}\r\nX: y"]}, "body": "x"}
    sends(cage, f"http://127.0.0.1:{free_port()}/", payload)


@canary("RequestFailed")
def cookie_and_body_that_a_server_answers(cage: Cage) -> None:
    head = [f"Set-Cookie: session={cage.canary}", "Content-Type: application/json"]
    with scripted(reply(f'{{"token": "{cage.canary}"'.encode(), *head)) as server:
        sends(cage, f"http://{server.host}:{server.port}/")


@canary("AddressForbidden")
def token_of_a_redirect(cage: Cage) -> None:
    location = f"Location: http://10.0.0.1/?token={cage.canary}".encode()
    with scripted(
        b"HTTP/1.1 302 Found\r\n" + location + b"\r\nContent-Length: 0\r\n\r\n"
    ) as server:
        sends(cage, f"http://{server.host}:{server.port}/")


@canary("127.0.0.1")
def token_in_the_url_of_a_websocket(cage: Cage) -> None:
    url = f"ws://user:{{{{ .K }}}}@127.0.0.1:{free_port()}/?token={{{{ .K }}}}"
    text = f"{{kind: websocket, name: socket, url: '{url}', {ENV}}}"
    with cage.flow(text, cage.canary) as runtime:
        try:
            runtime.call("socket", port="io")
        except Exception as error:
            cage.look(error)


# -- values that are rendered into specs -----------------------------------------------------------


def rendered(cage: Cage, fields: str, data: object = None) -> None:
    """A spec that cannot be loaded, or fails when it is called."""
    text = f"{{name: it, {ENV}, {fields}}}"
    with cage.flow(text, cage.canary if data is None else data) as runtime:
        cage.calls(runtime, "it", {"a": 1})


@canary("is inactive: $.code")
def value_in_cel_that_does_not_compile(cage: Cage) -> None:
    rendered(cage, "kind: snippet, language: cel, code: '{{ .K }} +'")


@canary("is inactive")
def value_in_javascript_that_does_not_compile(cage: Cage) -> None:
    rendered(
        cage, "kind: snippet, language: javascript, code: 'export default (self) => {{ .K }} ('"
    )


@canary("SnippetFailed")
def value_in_cel_that_fails(cage: Cage) -> None:
    rendered(cage, "kind: snippet, language: cel, code: 'int(\"{{ .K }}\") + 1'")


@canary("JavaScriptError")
def value_in_javascript_that_throws(cage: Cage) -> None:
    code = 'export default (self) => { console.log("{{ .K }}"); throw new Error("{{ .K }}") }'
    rendered(cage, f"kind: snippet, language: javascript, code: '{code}'")


@canary("is inactive: $.language")
def value_as_a_language(cage: Cage) -> None:
    rendered(cage, "kind: snippet, language: '{{ .K }}', code: x")


@canary("expected `int")
def value_as_a_port(cage: Cage) -> None:
    rendered(cage, "kind: listener, port: '{{ .K }}'")


@canary("$.interval")
def value_as_a_duration(cage: Cage) -> None:
    rendered(cage, "kind: sleep, interval: '{{ .K }}'")


@canary("invalid enum value")
def value_as_one_of_several(cage: Cage) -> None:
    rendered(cage, "kind: python, call: 'os:getcwd', isolation: '{{ .K }}'")


@canary("is inactive")
def value_as_a_module(cage: Cage) -> None:
    rendered(cage, "kind: python, call: '{{ .K }}:function'")


@canary("is inactive")
def value_as_an_application(cage: Cage) -> None:
    rendered(cage, "kind: wsgi, app: '{{ .K }}:app'")


@canary("$.routes[1]")
def value_in_a_route(cage: Cage) -> None:
    route = "{method: GET, path: '/{{ .K }}', port: 'out[0]'}"
    rendered(cage, f"kind: router, routes: [{route}, {route}]")


@canary("is inactive")
def value_in_a_condition(cage: Cage) -> None:
    rendered(cage, "kind: if, when: '{{ .K }} =='")


@canary("is inactive")
def value_as_the_path_of_a_certificate(cage: Cage) -> None:
    tls = "{cert: '/{{ .K }}/cert.pem', key: '/{{ .K }}/key.pem'}"
    rendered(cage, f"kind: listener, port: 0, host: 127.0.0.1, tls: {tls}")


@canary("is inactive")
def private_key_of_a_listener(cage: Cage) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{cage.canary}\n-----END PRIVATE KEY-----\n"
    tls = "{cert: '{{ .K }}', key: '{{ .K }}'}"
    rendered(cage, f"kind: listener, port: 0, host: 127.0.0.1, tls: {tls}", key)


@canary("is inactive")
def value_as_the_address_of_a_listener(cage: Cage) -> None:
    rendered(cage, "kind: listener, port: 0, host: '{{ .K }}.invalid'")


@canary("is inactive")
def value_as_a_unix_socket(cage: Cage) -> None:
    rendered(cage, "kind: listener, host: 'unix:/{{ .K }}/socket'")


@canary("specs[1]")
def value_in_a_spec_of_a_block(cage: Cage) -> None:
    inner = "{kind: snippet, code: x}, {kind: snippet, language: cel, code: '{{ .K }} +'}"
    rendered(cage, f"kind: block, specs: [{inner}]")


@canary("***")
def value_in_an_error_of_a_block(cage: Cage) -> None:
    inner = "{kind: snippet, language: cel, code: 'int(\"{{ .K }}\")'}"
    rendered(cage, f"kind: block, specs: [{inner}]")


@canary("***")
def value_that_is_thrown(cage: Cage) -> None:
    text = WEB + (
        f"- {{kind: snippet, name: next, {ENV}, code: '{{{{ .K }}}}', "
        "links: {out: [{name: throw}]}}\n- {kind: throw, name: throw}\n"
    )
    with cage.flow(text, cage.canary) as runtime:
        cage.calls(runtime, "next")
        assert b" 500 " in cage.asks(runtime, "GET / HTTP/1.1", "Host: a")


@canary("no 'lost'")
def value_without_the_field(cage: Cage) -> None:
    rendered(cage, "kind: snippet, code: '{{ .K.lost }}'", {"here": cage.canary})


@canary("the value 'v': it is encrypted with a key that is not among those")
def value_whose_key_is_another(cage: Cage) -> None:
    document = {"id": "v", "name": "v", "namespace": "default", "data": cage.canary}
    with open_store("memory://") as store:
        store.values.apply(sealed([document], [], Keys([KEY])))
        cage.look(store.values.find(None))
        other = Settings(values=ValuesSettings(key=[b64encode(b"x" * 32).decode()]))
        spec = {"kind": "snippet", "name": "it", "env": {"K": {"name": "v"}}, "code": "{{ .K }}"}
        with cage.running(store, [spec], other):
            pass


@canary("$.backoff.initial")
def value_in_a_map(cage: Cage) -> None:
    rendered(cage, "kind: retry, backoff: {initial: '{{ .K }}'}")


# -- values on the command line, and in a store ----------------------------------------------------


@canary("***")
def value_that_get_shows(cage: Cage) -> None:
    cage.command("apply", "values", "-f", "-", stdin=f"{{name: v, data: {{a: {cage.canary}}}}}")
    for form in ("table", "json", "yaml"):
        assert cage.command("get", "values", "-o", form) == 0


@canary("$.dta: unknown field")
def value_in_a_faulty_file(cage: Cage) -> None:
    text = f"- {{name: v, dta: {cage.canary}}}\n- {{name: w, annotations: {cage.canary}}}\n"
    assert cage.command("apply", "values", "-f", "-", stdin=text) == 3
    cage.fails(ValueValidator().validate, {"name": "v", "dta": cage.canary}, "default")


@canary("values.yaml:3")
def value_in_a_file_that_is_no_yaml(cage: Cage) -> None:
    cage.file("values.yaml", f"name: v\ndata: '{cage.canary}\n")
    cage.file("flow.yaml", "{kind: nop, name: a}")
    assert cage.command("run", "flow.yaml", "--values", "values.yaml") == 3


@canary("deleted")
def value_that_is_deleted(cage: Cage) -> None:
    cage.command("apply", "values", "-f", "-", stdin=f"{{name: v, data: {cage.canary}}}")
    assert cage.command("delete", "values", "v", "-o", "json") == 0


@canary("are followed by")
def value_in_a_mongodb(cage: Cage) -> None:
    mongo.require()
    with open_store(mongo.url()) as store:
        store.values.apply([{"id": "v", "namespace": "default", "name": "v", "data": cage.canary}])
        cage.look(store, store.values, store.values.find(None))
        with store.values.feed(None):
            store.values.delete({"id": "v"})


@canary("<Draft v>")
def value_in_the_objects_of_a_store(cage: Cage) -> None:
    document = {"id": "v", "namespace": "default", "name": "v", "data": cage.canary}
    text = encode(document, "$")
    cage.look(StoredRow("v", "default", "v", 1, text), Page(text), draft(document, "$"))
    with open_store("memory://") as store:
        records = store.values.apply([document])
        cage.look(records, store, store.values)
    [read_one] = read(f"{{name: v, data: {cage.canary}}}", "values.yaml")
    cage.look(read_one, Entry(read_one, document))
    cage.look(Values("default", {"TOKEN": cage.canary}, Keys([])), Value(data=cage.canary))


@canary("<ClientRequest POST http://host>")
def header_and_body_in_the_repr_of_a_request(cage: Cage) -> None:
    url = parse_url(f"http://user:{cage.canary}@host/?token={cage.canary}")
    header = {"Authorization": cage.canary, "Cookie": cage.canary}
    cage.look(url, ClientRequest("POST", url, header, cage.canary.encode()))
    cage.look(ClientResponse(200, list(header.items()), cage.canary.encode()))


@canary("<TlsSpec>")
def private_key_in_the_repr_of_a_spec(cage: Cage) -> None:
    tls = {"cert": "cert.pem", "key": f"-----BEGIN PRIVATE KEY-----\n{cage.canary}\n"}
    fields = {"kind": "listener", "port": 0, "tls": tls}
    cage.look(Scheme.installed().decode(fields, "default"))


@canary("url='http://***@host/'")
def password_in_the_repr_of_a_spec(cage: Cage) -> None:
    fields = {"kind": "http", "url": f"http://user:{cage.canary}@host/"}
    cage.look(Scheme.installed().decode(fields, "default"))


# -- what code of others logs ----------------------------------------------------------------------


@canary("postgres://***@host")
def credentials_in_a_log_line(cage: Cage) -> None:
    logging.getLogger("shop").debug("using postgres://user:%s@host/db", cage.canary)


@canary("Authorization: ***")
def header_in_a_log_line(cage: Cage) -> None:
    logging.getLogger("shop").debug("sent Authorization: Bearer %s", cage.canary)


@canary("db_password=***")
def password_in_a_log_line(cage: Cage) -> None:
    logging.getLogger("shop").debug("db_password=%s", cage.canary)


@canary("uncaught error in")
def value_in_an_uncaught_error_of_a_greenlet(cage: Cage) -> None:
    def fail() -> None:
        raise ValueError(f"cannot use {cage.canary}")

    held = secret.hold([cage.canary])
    gevent.spawn(fail).join()
    secret.release(held)


@canary("the value is '***'")
def value_that_code_of_others_logs(cage: Cage) -> None:
    with cage.flow(f"{{kind: snippet, name: a, {ENV}, code: '{{{{ .K }}}}'}}", cage.canary):
        logging.getLogger("shop").info("the value is %r", cage.canary)


# -- SQL, files, events ----------------------------------------------------------------------------

TABLE = "CREATE TABLE IF NOT EXISTS users (name TEXT UNIQUE, age INTEGER CHECK (age > 0))"
SQL = "- {kind: sql, name: db, driver: sqlite, source: ':memory:'}"


@canary("unique violation")
def argument_of_a_statement_that_breaks_a_rule(cage: Cage) -> None:
    with cage.flow(SQL) as runtime:
        runtime.call("db", TABLE)
        insert = ["INSERT INTO users (name) VALUES (?)", [cage.canary]]
        runtime.call("db", insert)
        cage.calls(runtime, "db", insert)


@canary("no such column")
def named_argument_of_a_faulty_statement(cage: Cage) -> None:
    with cage.flow(SQL) as runtime:
        cage.calls(runtime, "db", ["SELECT lost WHERE :secret = 1", {"secret": cage.canary}])


@canary("invalid argument")
def argument_that_cannot_be_bound(cage: Cage) -> None:
    with cage.flow(SQL) as runtime:
        cage.calls(runtime, "db", ["SELECT ?", [cage.canary, ValueError(cage.canary)]])


@canary("500 Internal Server Error")
def argument_of_a_statement_behind_a_listener(cage: Cage) -> None:
    text = (
        WEB
        + "- kind: snippet\n  name: next\n  language: cel\n"
        + "  code: '[\"SELECT lost WHERE 1 = ?\", [self.body]]'\n  links: {out: {name: db}}\n"
        + SQL
    )
    with cage.flow(text) as runtime:
        lines = ("POST / HTTP/1.1", "Host: a", "Content-Type: text/plain")
        body = cage.canary.encode()
        cage.asks(runtime, *lines, f"Content-Length: {len(body)}", body=body)


@canary("postgres")
def password_of_an_sql_source(cage: Cage) -> None:
    source = f"postgres://user:{cage.canary}@127.0.0.1:{free_port()}/shop"
    with cage.flow(f"{{kind: sql, name: db, driver: postgres, source: '{source}'}}") as runtime:
        cage.calls(runtime, "db", "SELECT 1")


@canary("postgres")
def sql_source_of_a_value(cage: Cage) -> None:
    source = f"postgres://user:{cage.canary}@127.0.0.1:{free_port()}/shop"
    text = f"{{kind: sql, name: db, driver: postgres, {ENV}, source: '{{{{ .K }}}}'}}"
    with cage.flow(text, source) as runtime:
        cage.calls(runtime, "db", "SELECT 1")


@canary("cannot read '***'")
def file_name_of_a_value(cage: Cage) -> None:
    text = f"{{kind: read, name: file, {ENV}, filename: '{{{{ .K }}}}'}}"
    with cage.flow(text, f"/lost/{cage.canary}") as runtime:
        cage.calls(runtime, "file")


@canary("redis://***@host")
def password_in_the_url_of_a_broker(cage: Cage) -> None:
    cage.look(Settings(broker=BrokerSettings(url=f"redis://:{cage.canary}@host/0")))


@canary("redis")
def password_of_a_broker_that_is_away(cage: Cage) -> None:
    url = f"redis://:{cage.canary}@127.0.0.1:{free_port()}/0"
    settings = Settings(grace=1.0, broker=BrokerSettings(url=url, timeout=0.1))
    hear = "- {kind: trigger, name: hear, topic: t, links: {out: [{name: tell}]}}\n"
    with cage.flow(hear + "- {kind: trigger, name: tell, topic: t}", settings=settings) as runtime:
        cage.calls(runtime, "tell", "an event")


@canary("Could not connect to the endpoint")
def secret_of_a_queue_service_that_is_away(cage: Cage) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    url = f"sqs://AK:a/b{cage.canary}@eu-central-1?endpoint={endpoint}"
    settings = Settings(grace=1.0, broker=BrokerSettings(url=url, timeout=0.1))
    cage.look(settings)
    hear = "- {kind: trigger, name: hear, topic: t, links: {out: [{name: tell}]}}\n"
    with cage.flow(hear + "- {kind: trigger, name: tell, topic: t}", settings=settings) as runtime:
        cage.calls(runtime, "tell", "an event")


@canary("no such key")
def payload_of_an_event_that_fails(cage: Cage) -> None:
    text = """
- {kind: trigger, name: tell, topic: t}
- {kind: trigger, name: hear, topic: t, links: {out: [{name: next}]}}
- {kind: snippet, name: next, language: cel, code: 'self.lost.field'}
"""
    with cage.flow(text) as runtime:
        runtime.call("tell", {"password": cage.canary})
        until(lambda: not runtime.services.processes)


@canary("assert failed")
def payload_of_an_assert_in_a_service(cage: Cage) -> None:
    with cage.flow("{kind: assert, name: a, expect: 'self == 1'}") as runtime:
        cage.calls(runtime, "a", [cage.canary, -1])


# -- the test --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shown", "row"), rows, ids=[row.__name__ for _, row in rows])
@pytest.mark.usefixtures("templates")
def test_it_is_nowhere(shown: str, row: Row, tmp_path: Path, hurried: None) -> None:
    cage = Cage(f"canary-{uuid4().hex}", tmp_path)
    with listening(cage):
        row(cage)
    everything = "\n".join(cage.seen)
    assert shown in everything
    where = everything.find(cage.canary)
    assert where < 0, everything[max(where - 500, 0) : where + 100]
    assert secret.held() == 0


def test_there_are_enough_of_them() -> None:
    assert len(rows) >= 40


def test_what_is_shown_is_found(tmp_path: Path) -> None:
    cage = Cage("canary-that-got-out", tmp_path)
    with listening(cage):
        logging.getLogger("shop").debug("see: %s", cage.canary)
        cage.look(ValueError(cage.canary))
    assert "\n".join(cage.seen).count(cage.canary) >= 4

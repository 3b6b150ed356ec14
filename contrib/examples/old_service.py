"""An old service, as it is: greenflow needs no change of it. Flask is not a part of greenflow."""

from __future__ import annotations

import flask

app = flask.Flask(__name__)
PRICES = {"A1": 12, "B2": 7}


@app.get("/prices/<sku>")
def price(sku: str) -> flask.typing.ResponseReturnValue:
    return {"sku": sku, "price": PRICES[sku]} if sku in PRICES else ({"error": "unknown"}, 404)


@app.get("/stock/<sku>")
def stock(sku: str) -> flask.typing.ResponseReturnValue:
    return {"sku": sku, "stock": 3}


@app.post("/login")
def login() -> flask.typing.ResponseReturnValue:
    answer = flask.redirect("/stock/A1")
    answer.set_cookie("user", flask.request.form["user"])
    return answer

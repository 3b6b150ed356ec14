"""Old code that knows nothing of workflows. `python.yaml` calls it."""

PRICES = {"A1": 4.5, "B2": 20.0}


class UnknownArticle(Exception):
    """Nobody sells that."""


def price(sku: str, amount: int = 1) -> dict[str, object]:
    if sku not in PRICES:
        raise UnknownArticle(f"we have no {sku}")
    return {"sku": sku, "total": PRICES[sku] * amount}


def primes(below: int) -> list[int]:
    """Takes a while, and nobody waits for it but its caller."""
    return [n for n in range(2, below) if all(n % d for d in range(2, int(n**0.5) + 1))]

"""A warehouse that is not always at its best."""

reserved = []
given_up = []
asked = {}


def reserve(order):
    """B2 is found when somebody looks for the third time, C3 never."""
    sku = order["sku"]
    asked[sku] = asked.get(sku, 0) + 1
    if sku == "C3" or (sku == "B2" and asked[sku] < 3):
        raise LookupError(f"{sku} is not to be found")
    reserved.append(sku)


def give_up(letter):
    """A dead letter: the order, and what became of it."""
    given_up.append([letter["payload"]["sku"], letter["error"], letter["deliveries"]])


def report(request):
    return {"reserved": reserved, "given up": given_up}

"""What a running engine counts, as Prometheus reads it.

Lives here: which metrics there are (catalogue.py), their values taken from the parts of a runtime
(collecting.py), how many series there may be of one (limiting.py), and the text (exposing.py). The
numbers themselves live where things happen, as plain integers; nothing here is on the way of a
packet.
"""

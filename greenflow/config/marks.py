"""What a field of the settings says of itself beyond its type."""

from __future__ import annotations

#: It takes a duration.
DURATION = {"format": "duration"}

#: It takes a list of hosts, addresses and networks.
HOSTS = {"format": "hosts"}

#: It takes a list of texts; and one whose texts are secrets.
TEXTS = {"format": "texts"}
SECRETS = {"format": "secrets"}

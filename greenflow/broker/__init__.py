"""Events between workflows, and the brokers that carry them.

Lives here: the public names. The contract is base.py's; memory.py carries events inside a runtime.
remote.py holds the rules that are the same with every server: acknowledging, delivering again, dead
letters. How a server is spoken to is in a module of its own (redis.py, sqs/), found through the
entry points `greenflow.brokers` and imported when `broker.url` asks for it.
"""

from greenflow.broker.base import LOCAL_TOPICS, Broker, Deliver, Done, Parcel, Subscription
from greenflow.broker.memory import MemoryBroker
from greenflow.broker.opening import open_broker

__all__ = [
    "LOCAL_TOPICS",
    "Broker",
    "Deliver",
    "Done",
    "MemoryBroker",
    "Parcel",
    "Subscription",
    "open_broker",
]

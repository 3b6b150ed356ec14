"""Amazon SQS as a broker: a standard queue for each queue of ours.

Lives here: names.py has the URL and the names of queues, bodies.py what a message looks like there,
transport.py speaks with the server. Through botocore, the client that boto3 is made of. Not by
kombu's transport, which knows which queues a topic has in the memory of one OS process only: what
another runtime subscribed to would never get there.

Which queues a topic has the server says: their names begin alike. Publishers ask for them, every
LIST_SECONDS at most. A message that was received is invisible for the visibility time-out, which is
said anew again and again while the message is in hand; so what a runtime had that died comes back,
and nothing else. A message that failed is made visible at once when its back-off is over, and the
server counts how often it was received: what a stopping runtime gives back counts, too.

The server keeps messages for 14 days at most. It never deletes a queue; that is done by those who
have another queue of the same topic, by a tag that says until when it is kept.
"""

from greenflow.broker.sqs.transport import SqsTransport

__all__ = ["SqsTransport"]

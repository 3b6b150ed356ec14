"""Every metric of an engine: its name, type and labels, and what it is for.

Lives here: the declarations, by subject. The page of metrics is made of them; what the values are
is collecting.py's. No label is a path, an id or a client: what a stranger may choose would be
without end.
"""

from __future__ import annotations

from greenflow.metrics.declaring import Metric

INFO = Metric("greenflow_info", "gauge", ("version", "store"), "Always 1: which engine this is.")
STARTED = Metric(
    "greenflow_start_time_seconds", "gauge", (), "When the runtime began, since the epoch."
)

REQUESTS = Metric(
    "greenflow_http_requests_total",
    "counter",
    ("listener", "route", "method", "status"),
    "Requests answered; by the pattern of the route, and the class of the status. A client that "
    "left before its answer counts as 4xx.",
)
REQUEST_TIMES = Metric(
    "greenflow_http_request_seconds",
    "histogram",
    ("listener", "route"),
    "From the end of a request to the end of its answer; without WebSockets, and without what the "
    "server refused for itself.",
)
REQUESTS_IN_FLIGHT = Metric(
    "greenflow_http_requests_in_flight", "gauge", ("listener",), "Requests that have no answer yet."
)
CONNECTIONS = Metric(
    "greenflow_http_connections", "gauge", ("listener",), "Open connections, WebSockets too."
)

PACKETS = Metric(
    "greenflow_node_packets_total", "counter", ("node", "kind"), "Packets that came to a node."
)
ERRORS = Metric(
    "greenflow_node_errors_total",
    "counter",
    ("node", "kind"),
    "Errors that arose in a node, whoever handled them.",
)
NODE_TIMES = Metric(
    "greenflow_node_seconds",
    "summary",
    ("node", "kind"),
    "How long a packet took in a node, waiting counted in: of a sample of its packets, which is "
    "all of them where there are few. Of a source, how long its processes took.",
)
NODES_IN_FLIGHT = Metric(
    "greenflow_node_in_flight", "gauge", ("node", "kind"), "Packets under way in a node."
)

PROCESSES = Metric(
    "greenflow_processes_total", "counter", ("source", "kind"), "Processes that a source began."
)
PROCESSES_FAILED = Metric(
    "greenflow_processes_failed_total",
    "counter",
    ("source", "kind"),
    "Processes of a source that ended with an error that nobody took.",
)
PROCESSES_RUNNING = Metric(
    "greenflow_processes_running", "gauge", (), "Processes that run, and that no other began."
)

NODES = Metric(
    "greenflow_nodes",
    "gauge",
    ("state",),
    "Nodes that are active, are inactive, or are active while their newest version was refused.",
)
CHANGES = Metric("greenflow_changes_total", "counter", (), "Changes of what runs, carried out.")
CHANGES_REFUSED = Metric(
    "greenflow_changes_refused_total",
    "counter",
    (),
    "New versions of nodes that were refused while the old one runs on, or that cannot run.",
)
DRAINING = Metric(
    "greenflow_versions_draining", "gauge", (), "Old versions of nodes that finish what they have."
)

LAG = Metric(
    "greenflow_hub_lag_seconds",
    "histogram",
    (),
    "How late the hub was with what was due: whatever waits for it waits so long.",
)
BLOCKED = Metric(
    "greenflow_hub_blocked_total",
    "counter",
    ("node",),
    "How often a node blocked the hub longer than hub_guard; without a node, the program itself.",
)
BLOCKED_SECONDS = Metric(
    "greenflow_hub_blocked_seconds_total", "counter", ("node",), "For how long in all."
)

POOL_SIZE = Metric(
    "greenflow_pool_size",
    "gauge",
    ("pool", "name"),
    "Workers or connections that a pool may have: javascript, python or sql.",
)
POOL_BUSY = Metric("greenflow_pool_busy", "gauge", ("pool", "name"), "Those that work now.")
POOL_WAITING = Metric(
    "greenflow_pool_waiting", "gauge", ("pool", "name"), "Jobs that wait for one of them."
)
POOL_AGE = Metric(
    "greenflow_pool_age_seconds", "gauge", ("pool", "name"), "How long the oldest one is there."
)

STORE_CONNECTED = Metric(
    "greenflow_store_connected", "gauge", (), "1 while the changes of the store are followed."
)
STORE_LOST = Metric("greenflow_store_lost_total", "counter", (), "How often the store was lost.")
STORE_CHANGES = Metric(
    "greenflow_store_change_seconds",
    "histogram",
    (),
    "From the store's word of a change to its end: what was changed runs, or was refused.",
)
STORE_COMPARED = Metric(
    "greenflow_store_compared_timestamp_seconds",
    "gauge",
    (),
    "When all revisions were compared with the store last, since the epoch.",
)

BROKER_CONNECTED = Metric(
    "greenflow_broker_connected", "gauge", (), "1 while no connection to the broker is missing."
)
BROKER_LOST = Metric("greenflow_broker_lost_total", "counter", (), "How often it was lost.")
BROKER_UNPUBLISHED = Metric(
    "greenflow_broker_unpublished", "gauge", (), "Events that wait to be published."
)
BROKER_WAITING = Metric(
    "greenflow_broker_waiting",
    "gauge",
    (),
    "Events in the memory of this engine that wait for a trigger; not those at a server.",
)
BROKER_REDELIVERED = Metric(
    "greenflow_broker_redelivered_total",
    "counter",
    ("topic", "node"),
    "Deliveries that failed and are tried again.",
)
BROKER_DEAD = Metric(
    "greenflow_broker_dead_letters_total",
    "counter",
    ("topic", "node"),
    "Messages that nobody could process.",
)

LOG_DROPPED = Metric(
    "greenflow_log_dropped_total",
    "counter",
    ("log",),
    "Lines that were not read in time, or could not be written: of the log, or the access log.",
)

RECORDS = Metric("greenflow_records", "gauge", (), "Records of processes that are kept in memory.")
RECORDS_BYTES = Metric("greenflow_records_bytes", "gauge", (), "What they take there.")
RECORDS_DROPPED = Metric(
    "greenflow_records_dropped_total",
    "counter",
    ("reason",),
    "Records that are not there: they made room for newer ones (forgotten), more of their kind "
    "came than are made (shed), or they could not be written (unwritten).",
)

#: All of them, in the order in which they are shown.
METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)

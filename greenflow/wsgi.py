"""`greenflow.wsgi:app`: a namespace as a WSGI application, for gunicorn's gevent worker.

Lives here: the patches of gevent, and `app`, built from the settings of the environment and
greenflow.toml. The runtime starts with the first request, in the worker that got it: importing
this in a master that forks opens nothing. It opens no sockets, and stops when the worker exits.
"""

from gevent import monkey

monkey.patch_all()

import atexit  # noqa: E402

from greenflow.config.loading import load  # noqa: E402
from greenflow.runtime import Runtime  # noqa: E402

_settings = load({})
runtime = Runtime(_settings.database, settings=_settings, listen=False)
app = runtime.wsgi
atexit.register(runtime.stop)

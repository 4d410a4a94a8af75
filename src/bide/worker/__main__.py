"""The way in of a worker process that a supervisor starts."""

from bide.server.supervised import main

main()

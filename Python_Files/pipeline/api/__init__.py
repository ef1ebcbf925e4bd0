"""The read API: what is stored, over HTTP. One process, started by both ways; ``application.create`` makes it.

Its parts: application (what is mounted where), server (the process), health, documentation (/docs), answers (JSON and
errors), headers (of security). The page and the metrics are the package ``page``, mounted beside it.
"""

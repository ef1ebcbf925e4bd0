"""What every process counts, in Prometheus' format: docs/metrics.md tells the names and how to scrape them.

A process has no port of its own for it. It writes its figures into a small file of the run directory, which the API's
process reads with those of all others and serves as one page, /metrics. So any number of processes need no further
address, a scrape holds up no stage, and what a process counted last can still be read when it is gone.
"""

"""0-Get_Data: what a run asks the API for, and how a fetch gets into Kafka whole or not at all.

``plan`` decides what is to be fetched, ``sources`` where from, ``records`` makes the records, ``run`` does it once and
``again`` asks for what is missing of former fetches. ``command`` is the program.
"""

"""Moving an installation between the native and the container way: what Administrator_scripts/Move.sh needs of Python.

The same verbs run natively and among the containers, each against its own side's servers.
"""

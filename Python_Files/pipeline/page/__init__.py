"""The page at /: whether the feed lives, at a glance. One collector a process asks, whoever looks is told."""

"""Faults injected for real into a running instance, and the proof afterwards that nothing is lost and nothing is twice.

``Administrator_scripts/Torture.sh`` runs the long form; ``tests/integration/test_faults.py`` the short one.
"""

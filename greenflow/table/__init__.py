"""What runs and how it changes: symbols, the plan of a change, opening, draining, the loader.

A store is known by its contract alone (store/base.py).
"""

"""What moves: packets, ports, processes, and the nodes that they pass.

Nothing here knows a kind, a table of nodes or a store; what a runtime shares with its nodes is
handed to them (services.py).
"""

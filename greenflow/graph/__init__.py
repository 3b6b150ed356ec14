"""Drawings of graphs: what is connected with what, as Mermaid, DOT and SVG.

Lives here: a drawing without a place (drawing.py), its places (layout.py), and the forms in which
it is written, a module each. Nothing here knows what a node of greenflow is.
"""

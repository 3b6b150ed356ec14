"""From text to a checked spec: syntax, documents with places, fields, placeholders, durations.

Nothing here knows which kinds there are; that is scheme/.
"""

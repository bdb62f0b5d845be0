"""Packs from what people bring: files, data set directories and the hub, through a mapping of columns to fields.

A file is only read: nothing in it is evaluated, unpickled or imported, and every refusal is one sentence.
"""

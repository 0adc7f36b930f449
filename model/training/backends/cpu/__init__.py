"""Backpropagation through time by hand, for a CPU: the fast backend.

Everything here is tested equal to the reference.
"""

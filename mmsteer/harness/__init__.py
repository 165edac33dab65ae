"""Steered models inside evaluation harnesses of others: lm-evaluation-harness, lmms-eval and inspect_ai.

Each module subclasses the harness's own class for transformers models, so that strength 0 gives what it gives.
"""

"""Steer multimodal models while they generate."""

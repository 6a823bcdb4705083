"""Encoders, transforms, generated features, texts."""

"""Frozen, validated types: the nouns that every other part speaks of."""

"""Answers that are kept: who gets them, what they cost, when they go."""

"""The bottom layer: errors, identifiers, money, secrets, the snapshot, deadlines, settings."""

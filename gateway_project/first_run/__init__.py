"""The first-run wizard: upstream, test, key, first chat, client; afterwards never in the way again."""

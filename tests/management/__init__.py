"""The management API: keys, models, upstreams."""

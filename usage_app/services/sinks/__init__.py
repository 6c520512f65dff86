"""Usage events pushed to webhooks, buckets and OTLP collectors, each at least once."""

"""Tests of usage_app: the ledger, prices, token extraction, `/spend/logs`."""

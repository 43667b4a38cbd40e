"""Networks, heads, queues and momentum updates that methods share."""

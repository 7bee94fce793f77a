"""The processes of a suite: the gateway under test, the servers that stand for upstreams, and a small client."""

"""Outbound I/O: key sets, policy files and watching them. Reports by callbacks and knows nothing of telemetry."""

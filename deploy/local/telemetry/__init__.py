"""What a local stack is watched by, where it is on the PATH: Jaeger, the OpenTelemetry collector, Prometheus."""

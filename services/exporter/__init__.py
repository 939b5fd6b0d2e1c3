"""Metrics of one host of the fleet for Prometheus: ``python -m services.exporter``.

It runs on the controller's host and on every worker's host, and each says what can be seen from there. ``host`` reads
the plan, the probe's report, the links of environments and releases, and disks. ``gpus`` asks NVML where there is a
driver. On the controller's host ``fleet`` asks the controller which workers serve and each API server what it counted,
and ``gateway`` asks through each gateway as a client does. ``page`` is the page ``/status`` of the gateway.

Nothing is kept but what GPUs report as events. A label takes its values from the plan, from the controller's registry,
or from a fixed list, so the number of time series is bounded by the fleet and not by what clients send:
docs/operations/monitoring.md has the sum.
"""

"""Families of metrics, made from plain rows."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily


def gauge(name, text, rows):
    """Return a gauge of rows (labels as a dict, value); rows of one family have the same labels."""
    return _family(GaugeMetricFamily, name, text, rows)


def counter(name, text, rows):
    """Return a counter, whose name ends in _total; rows are those of ``gauge``."""
    return _family(CounterMetricFamily, name, text, rows)


def states(name, text, rows, every):
    """Return a gauge that is 1 for the state in which something is and 0 for ``every`` other.

    ``rows`` are (labels, state).
    """
    return gauge(name, text, [({**labels, "state": one}, int(one == now)) for labels, now in rows for one in every])


def histogram(name, text, rows):
    """Return a histogram; rows are (labels, counted), where counted has bounds, counts (one more, for +Inf) and sum."""
    rows = list(rows)
    family = HistogramMetricFamily(name, text, labels=list(rows[0][0]) if rows else [])
    for labels, counted in rows:
        so_far, buckets = 0, []
        for number, bound in enumerate([*counted["bounds"], "+Inf"]):
            so_far += counted["counts"][number]
            buckets.append((str(bound), so_far))
        family.add_metric([str(value) for value in labels.values()], buckets, counted["sum"])
    return family


def _family(kind, name, text, rows):
    rows = list(rows)
    family = kind(name, text, labels=list(rows[0][0]) if rows else [])
    for labels, value in rows:
        family.add_metric([str(label) for label in labels.values()], float(value))
    return family

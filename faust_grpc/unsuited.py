"""Settings of an application under which its sources cannot keep their promise."""

from __future__ import annotations

from faust.types import AppT

__all__ = ["unsuited_setting"]


def unsuited_setting(app: AppT) -> str:
    """Return why sources do not work with the app's settings; empty if they do."""
    if app.conf.stream_publish_on_commit:
        return (
            "stream_publish_on_commit=True: what agents send would wait for the commit of a "
            "topic's offset, which a source's events do not have; leave it False"
        )
    if app.in_transaction:
        return (
            "processing_guarantee='exactly_once': Faust's transactions do not know a source's "
            "cursors; leave it at 'at_least_once' and give the source delivery='exactly_once'"
        )
    return ""

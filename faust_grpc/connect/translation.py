"""A connector's options → what a source is declared with, and what has no equal here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import Keepalive
from ..credentials import check_metadata
from ..exceptions import ConfigurationError, CredentialsError, FieldError, nearest
from ..schema import Method
from ..targets import parse_target
from .expressions import Code, Lookup, expression, has_reference, literal, variable
from .options import CONNECTOR_CLASS, FRAMEWORK, METADATA_PREFIX, OPTIONS, Options
from .reading import Connector
from .requests import fields_from_json, parsed_json

__all__ = ["Argument", "Call", "Note", "Translation", "translate"]

#: Pings more often than this close the connection to a server that was left as it comes.
_PATIENT_SECONDS = 300
#: Names of metadata whose values do not belong into a file of code.
_SECRET = re.compile(r"auth|token|secret|passw|credential|cookie|signature|session|key", re.I)


@dataclass(frozen=True)
class Call:
    """A call with keyword arguments: ``TLS(roots="ca.pem")``."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Argument:
    """One option of the source.

    Arguments:
        name: as :class:`~faust_grpc.GrpcSource` calls it.
        value: a Python value, :class:`Code` or a :class:`Call`.
    """

    name: str
    value: Any


@dataclass(frozen=True)
class Note:
    """What a person must know about an option.

    Arguments:
        option: the connector's.
        text: what became of it, and why.
    """

    option: str
    text: str


@dataclass
class Translation:
    """What a connector's configuration becomes.

    Arguments:
        name: of the application and the source.
        target: where the server is.
        method: what is called.
        topic: where the connector wrote.
        arguments: options of the source.
        metadata: sent with every call, when some of it is looked up.
        lookups: what is no longer in the file.
        notes: what has no equal, or another meaning.
    """

    name: str
    target: Code
    method: Code
    topic: Code
    arguments: list[Argument] = field(default_factory=list)
    metadata: dict[str, Code] = field(default_factory=dict)
    lookups: list[Lookup] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def translate(connector: Connector, *, method: Method | None = None) -> Translation:
    """Translate a connector's configuration.

    Arguments:
        connector: as it was read.
        method: the method with its types, if they are at hand: the request is then checked, and
            its names are those of the ``.proto`` file.

    Raises:
        ConfigurationError: it is another connector, or an option cannot be what it is.
    """
    _check_class(connector)
    return _Translator(connector, method).result()


def _check_class(connector: Connector) -> None:
    given = connector.options.get("connector.class", CONNECTOR_CLASS).strip()
    short = CONNECTOR_CLASS.rpartition(".")[2]
    if given not in (CONNECTOR_CLASS, short, short.removesuffix("Connector")):
        raise ConfigurationError(
            f"connector.class={given}: another connector; this reads {CONNECTOR_CLASS}"
        )


class _Translator:
    """Builds one translation, concern by concern."""

    def __init__(self, connector: Connector, method: Method | None) -> None:
        self._given = connector.options
        self._options = Options(connector.options)
        self._method = method
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", connector.name).strip("-.") or "grpc-source"
        self._lookups: list[Lookup] = []
        self._done = Translation(
            name,
            self._target(),
            self._method_name(),
            self._expression(self._options.text("kafka.topic"), "kafka.topic"),
        )

    def result(self) -> Translation:
        self._request()
        self._schema()
        self._tls()
        self._metadata()
        self._keepalive()
        self._backoff()
        self._timeouts()
        self._buffer()
        self._framework()
        self._done.lookups = list(dict.fromkeys(self._lookups))
        return self._done

    def _say(self, option: str, text: str) -> None:
        self._done.notes.append(Note(option, text))

    def _add(self, name: str, value: Any) -> None:
        self._done.arguments.append(Argument(name, value))

    def _expression(self, text: str, option: str) -> Code:
        code, lookups = expression(text, option)
        self._lookups += lookups
        return code

    def _text(self, option: str) -> Code:
        return self._expression(self._options.text(option), option)

    # Where and what

    def _target(self) -> Code:
        host, port = self._options.text("grpc.server.host"), self._options.text("grpc.server.port")
        if ":" in host and not has_reference(host):
            host = f"[{host.strip('[]')}]"
        text = f"{host}:{port}"
        if has_reference(text):
            # One expression, but each part is named for its own option.
            parts = [
                self._expression(host, "grpc.server.host"),
                Code('":"'),
                self._expression(port, "grpc.server.port"),
            ]
            return Code(" + ".join(part.text for part in parts))
        try:
            parse_target(text)
        except ConfigurationError as exc:
            reason = str(exc).partition(": ")[2]
            raise ConfigurationError(f"grpc.server.host, grpc.server.port: {reason}") from exc
        return Code(literal(text))

    def _method_name(self) -> Code:
        service, method = "grpc.service.name", "grpc.method.name"
        return Code(literal(f"{self._options.text(service)}/{self._options.text(method)}"))

    def _request(self) -> None:
        option = "grpc.request.message"
        text = self._options.text(option)
        if has_reference(text):
            self._say(option, "it has values that Connect looks up: fill them in")
        fields = parsed_json(text)
        if not fields:
            return
        if self._method is not None:
            fields = fields_from_json(self._method, fields)
        else:
            self._say(
                option,
                "its names are taken as they stand; request= has those of the .proto file "
                "(page_size, not pageSize), a Timestamp as a datetime, a Duration as a timedelta: "
                "give from-connect the types, --descriptor-set FILE, and it translates them",
            )
        self._add("request", fields)

    def _schema(self) -> None:
        option = "grpc.proto.descriptor"
        if option in self._options:
            self._add("schema", self._text(option))
        else:
            self._say(
                option,
                "it is not given, and without it the connector receives nothing; here the server "
                "is asked for its types (server reflection)",
            )

    # The connection

    def _tls(self) -> None:
        names = {
            "roots": "grpc.tls.ca.cert",
            "certificate": "grpc.tls.client.cert",
            "key": "grpc.tls.client.key",
        }
        given = {part: option for part, option in names.items() if option in self._options}
        if not self._options.boolean("grpc.tls.enabled"):
            for option in given.values():
                self._say(option, "the connector ignores it: grpc.tls.enabled is not true")
            return
        pair = {"certificate", "key"} & set(given)
        if len(pair) == 1:
            (part,) = pair
            self._say(given.pop(part), "the connector ignores one half of a pair; it is left out")
        if "roots" not in given:
            self._say(
                "grpc.tls.enabled",
                "Java trusts the roots of its own installation, gRPC for Python those that it "
                "ships; for others: TLS(roots=FILE)",
            )
        tls = {part: self._text(option) for part, option in given.items()}
        self._add("tls", Call("TLS", tls) if tls else True)

    def _metadata(self) -> None:
        entries = dict(self._listed_metadata()) | dict(self._single_metadata())
        found: dict[str, Code] = {}
        for name, (option, value) in entries.items():
            if _is_sendable(name, value):
                found[name] = self._metadata_value(name, option, value)
            else:
                self._say(option, f"gRPC does not take {name!r} or its value; it is left out")
        if not found:
            return
        if any("os.environ" in code.text for code in found.values()):
            self._done.metadata = found
            self._add("metadata", Code("metadata"))
        else:
            self._add("metadata", found)

    def _metadata_value(self, name: str, option: str, value: str) -> Code:
        own = f"{METADATA_PREFIX}{name}"
        if not has_reference(value) and _SECRET.search(name):
            lookup = Lookup(variable(own), "")
            self._lookups.append(lookup)
            self._say(option, f"{name!r} may be a secret: set {lookup.variable} to its value")
            return Code(lookup.code)
        return self._expression(value, own)

    def _listed_metadata(self) -> Iterator[tuple[str, tuple[str, str]]]:
        option = "grpc.metadata"
        text = self._options.text(option)
        for number, pair in enumerate(text.split(",") if text else (), 1):
            name, colon, value = pair.partition(":")
            if colon:
                yield name.strip().lower(), (option, value.strip())
            else:
                self._say(
                    option,
                    f"part {number} has no ':', so the connector drops it (a value cannot hold a "
                    "comma); it is left out",
                )

    def _single_metadata(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for option, value in self._given.items():
            if option.startswith(METADATA_PREFIX) and len(option) > len(METADATA_PREFIX):
                name = option[len(METADATA_PREFIX) :]
                self._say(option, "the connector documents it, and sends it never; it is sent now")
                yield name.lower(), (option, value.strip())

    def _keepalive(self) -> None:
        time, timeout = "grpc.keepalive.time.ms", "grpc.keepalive.timeout.ms"
        options: dict[str, float] = {}
        if time in self._options:
            seconds = self._options.integer(time, least=0) / 1000
            if not seconds:
                default = Keepalive().interval_seconds
                self._say(time, f"pings cannot be switched off; they come every {default:g} s")
            else:
                options["interval_seconds"] = seconds
                if seconds < _PATIENT_SECONDS:
                    self._say(
                        time,
                        "servers as they come close a connection that pings more often than every "
                        "5 minutes (too_many_pings): leave keepalive= out unless yours allows it",
                    )
        if timeout in self._options:
            options["timeout_seconds"] = self._options.integer(timeout, least=1) / 1000
        if options:
            self._add("keepalive", Call("Keepalive", options))

    def _backoff(self) -> None:
        interval, maximum = "grpc.reconnect.interval.ms", "grpc.reconnect.backoff.max.ms"
        options: dict[str, float] = {}
        if interval in self._options or maximum in self._options:
            # The other one is the connector's default: ours might be on the wrong side of it.
            most = self._options.integer(maximum, least=1) / 1000
            first = self._options.integer(interval, least=0) / 1000
            if not first:
                first = min(0.1, most)
                self._say(interval, f"calling again at once, for ever, is refused; {first:g} s")
            options |= {"initial_seconds": min(first, most), "maximum_seconds": most}
        options |= self._attempts()
        if options:
            self._add("backoff", Call("Backoff", options))

    def _attempts(self) -> dict[str, float]:
        enabled, attempts = "grpc.reconnect.enabled", "grpc.reconnect.max.attempts"
        most = self._options.integer(attempts)
        if not self._options.boolean(enabled):
            self._add("on_end", "stop")
            self._say(
                enabled,
                "the first end of the stream is the last; the connector's task stays RUNNING all "
                "the same, here the split is finished, or fatal and says why",
            )
            return {"max_attempts": 1}
        if most <= 0:
            return {}
        self._say(
            attempts,
            "counted anew once a call brought a message, and then the split stops and says so; the "
            "connector counts over its whole life, then stays RUNNING and reads nothing",
        )
        return {"max_attempts": most}

    def _timeouts(self) -> None:
        timeout = "grpc.connection.timeout.ms"
        if timeout in self._options:
            seconds = self._options.integer(timeout, least=1) / 1000
            self._add("timeouts", Call("Timeouts", {"connect_seconds": seconds}))
            self._say(
                timeout,
                "taken as its documentation says: how long connecting may take; the connector "
                "itself closes a connection without calls after it",
            )

    def _buffer(self) -> None:
        queue, size = "grpc.message.queue.size", "grpc.max.inbound.message.size"
        options: dict[str, int] = {}
        if queue in self._options:
            options["messages"] = self._options.integer(queue, least=1)
            self._say(
                queue,
                "a full buffer holds the server back; the connector drops messages, as "
                "overflow='drop_newest' does",
            )
        if size in self._options:
            options["message_size_bytes"] = self._options.integer(size, least=1)
        if options:
            self._add("buffer", Call("Buffer", options))

    # The rest

    def _framework(self) -> None:
        for name in self._given:
            if name in OPTIONS or name.startswith(METADATA_PREFIX):
                continue
            reason = _framework_reason(name)
            if reason is None:
                known = [*OPTIONS, *FRAMEWORK]
                self._say(name, f"unknown, to the connector too: {nearest(name, known)}")
            elif name not in ("name", "connector.class", "tasks.max"):
                self._say(name, reason)
        if self._given.get("tasks.max", "1").strip() not in ("", "1"):
            self._say("tasks.max", FRAMEWORK["tasks.max"])


def _framework_reason(name: str) -> str | None:
    for known, reason in FRAMEWORK.items():
        if name == known or (known.endswith(".") and name.startswith(known)):
            return reason
    return None


def _is_sendable(name: str, value: str) -> bool:
    try:
        check_metadata({name: "x" if has_reference(value) else value})
    except (CredentialsError, FieldError):
        return False
    return True

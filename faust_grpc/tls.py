"""TLS credentials that follow their files: certificates are renewed while streams run."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import grpc

from .config import TLS
from .exceptions import CredentialsError
from .pems import Pems, check_pems, expiry, read_pems

__all__ = ["RotatingCredentials"]

logger = logging.getLogger(__name__)


class RotatingCredentials:
    """The credentials of a connection, made anew when its files change.

    A channel keeps the certificate it was made with, and would fail weeks later, when it connects
    again with one that has expired. So the files are read before every call.

    Arguments:
        tls: what to read.
        call_credentials: added to each call.

    Raises:
        CredentialsError: they cannot work as they are now.
    """

    def __init__(self, tls: TLS, call_credentials: grpc.CallCredentials | None = None) -> None:
        self._tls = tls
        self._call_credentials = call_credentials
        self._pems = read_pems(tls)
        check_pems(self._pems)
        self._expires_at = expiry(self._pems)
        self._made = self._make(self._pems)
        #: What was wrong with the files last time: told once.
        self._refused = ""

    def current(self) -> grpc.ChannelCredentials:
        """Return the credentials for the next call: the same object while the files are the same.

        Files that cannot work (a new certificate beside the old key, say) are told once, and what
        worked before is kept.
        """
        try:
            pems = read_pems(self._tls)
            if pems != self._pems:
                check_pems(pems)
                self._take(pems)
            self._refused = ""
        except CredentialsError as error:
            if str(error) != self._refused:
                logger.warning("%s; going on with what was read before", error)
            self._refused = str(error)
        return self._made

    @property
    def expired(self) -> str:
        """That our own certificate has expired and nobody renewed its file, or empty."""
        if self._expires_at is None or self._expires_at > datetime.now(timezone.utc):
            return ""
        return f"our own certificate expired on {self._expires_at}: renew the file of certificate="

    def _take(self, pems: Pems) -> None:
        self._pems, self._expires_at = pems, expiry(pems)
        self._made = self._make(pems)
        until = f", valid until {self._expires_at}" if self._expires_at else ""
        logger.info("TLS: certificates were renewed%s: new calls use them", until)

    def _make(self, pems: Pems) -> grpc.ChannelCredentials:
        made = grpc.ssl_channel_credentials(
            root_certificates=pems.roots,
            private_key=pems.key,
            certificate_chain=pems.certificate,
        )
        if self._call_credentials is not None:
            made = grpc.composite_channel_credentials(made, self._call_credentials)
        return made

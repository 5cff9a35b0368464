from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
import trustme

from faust_grpc.config import TLS
from faust_grpc.exceptions import CredentialsError
from faust_grpc.tls import RotatingCredentials

AUTHORITY = trustme.CA()


@pytest.fixture
def files(tmp_path: Path) -> TLS:
    """A certificate and its key, as files."""
    tls = TLS(
        roots=AUTHORITY.cert_pem.bytes(),
        certificate=tmp_path / "tls.crt",
        key=tmp_path / "tls.key",
    )
    write(tls)
    return tls


def write(
    tls: TLS, *, valid: timedelta = timedelta(days=1), only_certificate: bool = False
) -> None:
    ends = datetime.now(timezone.utc) + valid
    issued = AUTHORITY.issue_cert("reader", not_before=ends - timedelta(days=9), not_after=ends)
    assert isinstance(tls.certificate, Path)
    assert isinstance(tls.key, Path)
    tls.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    if not only_certificate:
        tls.key.write_bytes(issued.private_key_pem.bytes())


def test_the_same_files_are_the_same_credentials(files: TLS) -> None:
    credentials = RotatingCredentials(files)
    assert isinstance(credentials.current(), grpc.ChannelCredentials)
    assert credentials.current() is credentials.current()


def test_new_files_are_new_credentials(files: TLS) -> None:
    credentials = RotatingCredentials(files)
    before = credentials.current()
    write(files)
    after = credentials.current()
    assert after is not before
    assert credentials.current() is after


def test_files_that_cannot_work_leave_the_old_ones_and_are_told_once(
    files: TLS, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = RotatingCredentials(files)
    before = credentials.current()
    write(files, only_certificate=True)
    assert credentials.current() is credentials.current() is before
    assert isinstance(files.key, Path)
    files.key.unlink()
    assert credentials.current() is before
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert ["does not belong" in line for line in told] == [True, False]
    assert "cannot be read" in told[1]
    write(files)
    assert credentials.current() is not before


def test_files_that_never_worked_are_refused(files: TLS) -> None:
    write(files, only_certificate=True)
    with pytest.raises(CredentialsError, match="does not belong"):
        RotatingCredentials(files)


def test_our_own_certificate_may_end_while_we_run(files: TLS) -> None:
    assert RotatingCredentials(files).expired == ""
    assert RotatingCredentials(TLS()).expired == ""
    write(files, valid=timedelta(milliseconds=1500))
    credentials = RotatingCredentials(files)
    assert isinstance(credentials._expires_at, datetime)
    credentials._expires_at -= timedelta(days=2)
    assert "our own certificate expired on" in credentials.expired

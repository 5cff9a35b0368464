from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from faust_grpc.credentials import CallMetadata, Pairs, ask, check_metadata
from faust_grpc.exceptions import CredentialsError


def test_metadata_in_the_form_that_grpc_sends() -> None:
    expected = (("authorization", "Bearer x"), ("trace-bin", b"\0\xff"))
    given = {"Authorization": "Bearer x", "trace-bin": b"\0\xff"}
    assert check_metadata(given) == expected
    assert check_metadata(list(given.items())) == expected
    assert check_metadata([("a", "1"), ("a", "2")]) == (("a", "1"), ("a", "2"))
    assert check_metadata(None) == ()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({"x y": "secret"}, "may only hold"),
        ({"": "secret"}, "may only hold"),
        ({"naïve": "secret"}, "may only hold"),
        ({":path": "secret"}, "may only hold"),
        ({"grpc-timeout": "secret"}, "reserved"),
        ({"token": "secret\n"}, "outside printable ASCII"),
        ({"token": "sécret"}, "outside printable ASCII"),
        ({"token": b"secret"}, "must be str, not bytes"),
        ({"token": None}, "must be str, not NoneType"),
        ({"token-bin": "secret"}, "must be bytes, not str"),
        ({1: "secret"}, "a name is int"),
        ("secret", "not str"),
        (17, "not int"),
        (["secret"], "not a (name, value) pair"),
        ([("a", "secret", "c")], "not a (name, value) pair"),
    ],
)
def test_unusable_metadata_is_named_but_not_shown(pairs: Any, says: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        check_metadata(pairs)
    assert says in str(caught.value)
    assert "cret" not in str(caught.value)


async def test_asking() -> None:
    async def later() -> Pairs:
        return {"Token": "2"}

    assert await ask(None) == ()
    assert await ask({"Token": "0"}) == (("token", "0"),)
    assert await ask(lambda: [("token", "1")]) == (("token", "1"),)
    assert await ask(lambda: None) == ()
    assert await ask(later) == (("token", "2"),)


async def test_a_provider_s_own_error_is_passed_on() -> None:
    def broken() -> Pairs:
        raise LookupError("vault is sealed")

    with pytest.raises(LookupError, match="vault is sealed"):
        await ask(broken)


def test_what_is_sent_knows_when_it_ends_and_shows_no_value() -> None:
    sent = CallMetadata({"Authorization": "Bearer hunter2", "x-bin": b"hunter2"}, expires_at=12.5)
    assert sent == (("authorization", "Bearer hunter2"), ("x-bin", b"hunter2"))
    assert sent.expires_at == 12.5
    assert repr(sent) == "<CallMetadata authorization, x-bin>"
    assert repr(CallMetadata()) == "<CallMetadata empty>"
    ends = datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert CallMetadata({}, expires_at=ends).expires_at == ends.timestamp()


@pytest.mark.parametrize(
    ("expires_at", "says"),
    [(datetime(2030, 1, 1), "no time zone"), ("2030", "not str")],
)
def test_a_time_that_cannot_be_used(expires_at: Any, says: str) -> None:
    with pytest.raises(CredentialsError, match=says):
        CallMetadata({}, expires_at=expires_at)


async def test_a_provider_tells_when_its_answer_ends() -> None:
    given = CallMetadata({"token": "1"}, expires_at=99.0)
    assert await ask(lambda: given) is given
    assert (await ask({"token": "1"})).expires_at is None


def test_a_value_that_a_server_repeats_is_hidden() -> None:
    sent = CallMetadata({"authorization": "Bearer hunter2", "x-tenant": "shop"})
    assert sent.hide("bad token hunter2") == "bad token <authorization>"
    assert sent.hide("got 'Bearer hunter2'") == "got '<authorization>'"
    assert sent.hide("no such shop") == "no such shop"

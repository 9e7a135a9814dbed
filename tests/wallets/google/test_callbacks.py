"""Google's callbacks: what Google signed is believed, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from loyalty_wallet.exceptions import ForgedCallbackError, NetworkError, UnavailableError
from loyalty_wallet.wallets.google import callbacks
from loyalty_wallet.wallets.google.callbacks import Event, RootKeys, claimed_issuer, verify

from .signing import ISSUER, KeyServer, Signer, length_value, millis, serving, signature

VECTORS = json.loads((Path(__file__).parent / "callback_vectors.json").read_text())


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with serving() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[KeyServer]:
    """A server that Google's keys are not to be had from."""
    with serving() as server:
        yield server


@pytest.fixture
def google(server: KeyServer) -> Signer:
    signer = Signer()
    server.publish(signer.keys())
    return signer


@pytest.fixture
def roots(server: KeyServer) -> RootKeys:
    return RootKeys(server.url)


def body(callback: dict[str, Any]) -> bytes:
    return json.dumps(callback).encode()


class TestBelieved:
    def test_a_save(self, google: Signer, roots: RootKeys) -> None:
        """What Google signed for us says which card, what happened, and until when it holds."""
        callback = verify(body(google.callback()), issuer_id=ISSUER, roots=roots)
        assert callback.event is Event.SAVE
        assert callback.object_id == f"{ISSUER}.4711"
        assert callback.class_id == f"{ISSUER}.club"
        assert callback.nonce == "c1359b53"
        assert callback.expires_at > datetime.now(UTC)

    def test_lengths_are_counted_in_bytes(self, google: Signer, roots: RootKeys) -> None:
        """A nonce, or any text, beyond ASCII is longer in bytes than in characters."""
        callback = google.callback(nonce="größe-ключ")
        assert verify(body(callback), issuer_id=ISSUER, roots=roots).nonce == "größe-ключ"

    def test_the_keys_are_fetched_once(
        self, google: Signer, roots: RootKeys, server: KeyServer
    ) -> None:
        """They are kept until they expire."""
        for _ in range(3):
            verify(body(google.callback()), issuer_id=ISSUER, roots=roots)
        assert server.requests == 1

    def test_a_new_root_key_is_fetched(
        self, google: Signer, roots: RootKeys, server: KeyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Google rotates its keys: a signature by none of ours asks for them again."""
        monkeypatch.setattr(callbacks, "REFETCH_SECONDS", 0)
        verify(body(google.callback()), issuer_id=ISSUER, roots=roots)
        successor = Signer()
        server.publish(successor.keys())
        callback = verify(body(successor.callback(eventType="del")), issuer_id=ISSUER, roots=roots)
        assert callback.event is Event.DELETE

    def test_one_of_several_root_keys(
        self, google: Signer, roots: RootKeys, server: KeyServer
    ) -> None:
        """While Google changes its keys there are two, and two signatures of the same key."""
        other = Signer()
        server.publish({"keys": other.keys()["keys"] + google.keys()["keys"]})
        callback = google.callback()
        key = callback["intermediateSigningKey"]
        key["signatures"].insert(0, other.callback()["intermediateSigningKey"]["signatures"][0])
        assert verify(body(callback), issuer_id=ISSUER, roots=roots).event is Event.SAVE

    @pytest.mark.parametrize("vector", VECTORS, ids=[vector["source"] for vector in VECTORS])
    def test_real_callbacks(self, vector: dict[str, Any], roots: RootKeys, google: Signer) -> None:
        """Callbacks that Google sent to others: all but the root step holds, at their own time."""
        payload = vector["payload"]
        message = json.loads(payload["signedMessage"])
        issuer = message["classId"].partition(".")[0]
        # The root that signed them is not published any more; ours signs the same key in its place.
        signed_key = payload["intermediateSigningKey"]["signedKey"]
        by_root = length_value("GooglePayPasses", "ECv2SigningOnly", signed_key)
        payload["intermediateSigningKey"]["signatures"] = [signature(google.root, by_root)]
        with time_machine.travel(datetime.fromtimestamp(message["expTimeMillis"] / 1000 - 1, UTC)):
            callback = verify(body(payload), issuer_id=issuer, roots=roots)
        assert callback.event == message["eventType"]
        assert callback.object_id == message["objectId"]


class TestRefused:
    """Case 56: forged or expired callbacks change nothing."""

    def refuse(self, content: bytes, roots: RootKeys, words: str, issuer: str = ISSUER) -> None:
        with pytest.raises(ForgedCallbackError, match=words):
            verify(content, issuer_id=issuer, roots=roots)

    def test_a_changed_message(self, google: Signer, roots: RootKeys) -> None:
        """One character more or less breaks the signature."""
        callback = google.callback()
        callback["signedMessage"] = callback["signedMessage"].replace("4711", "4712")
        self.refuse(body(callback), roots, "signature is wrong")

    def test_another_issuers(self, google: Signer, roots: RootKeys) -> None:
        """A genuine callback to another issuer is not one to us, whatever it says of itself."""
        other = "3388000000000000002"
        self.refuse(body(google.callback(issuer=other)), roots, "another issuer")
        signed_for_us = google.callback(classId=f"{other}.club")
        self.refuse(body(signed_for_us), roots, "another issuer's card")

    def test_an_issuer_whose_id_begins_like_ours(self, google: Signer, roots: RootKeys) -> None:
        """The id ends at the dot."""
        self.refuse(body(google.callback(objectId=f"{ISSUER}9.4711")), roots, "another issuer's")

    def test_a_strangers_root(self, google: Signer, roots: RootKeys, server: KeyServer) -> None:
        """Whoever makes keys of his own is refused, and cannot make us ask Google each time."""
        for _ in range(5):
            self.refuse(body(Signer().callback()), roots, "root keys")
        assert server.requests == 1

    def test_expired(self, google: Signer, roots: RootKeys) -> None:
        """The message and the intermediate key end, each at its own time."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        self.refuse(
            body(google.callback(expTimeMillis=millis(past))), roots, "callback has expired"
        )
        google.expires_at = past
        self.refuse(body(google.callback()), roots, "intermediate key has expired")

    def test_an_expired_root(self, google: Signer, roots: RootKeys, server: KeyServer) -> None:
        """A root key past its end signs nothing any more."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        server.publish(google.keys(keyExpiration=str(millis(past))))
        self.refuse(body(google.callback()), roots, "root keys")

    def test_keys_of_another_kind(self, google: Signer, roots: RootKeys) -> None:
        """Only those of the curve P-256, as the protocol says: others may be weaker."""
        google.intermediate = ec.generate_private_key(ec.SECP384R1())
        self.refuse(body(google.callback()), roots, "curve P-256")

        rsa_key = rsa.generate_private_key(65537, 2048).public_key()
        der = rsa_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        callback = google.callback()
        signed_key = json.loads(callback["intermediateSigningKey"]["signedKey"])
        signed_key["keyValue"] = base64.b64encode(der).decode()
        callback["intermediateSigningKey"]["signedKey"] = json.dumps(signed_key)
        self.refuse(body(callback), roots, "curve P-256")

    def test_a_signature_that_is_padded_with_other_characters(
        self, google: Signer, roots: RootKeys
    ) -> None:
        """One text a signature: a decoder that skips what it does not know takes many."""
        callback = google.callback()
        callback["signature"] = f"{callback['signature'][:8]}!{callback['signature'][8:]}"
        self.refuse(body(callback), roots, "not base64")

    @pytest.mark.parametrize("signatures", [None, "MEUCIQ", [1], [None, "MEUCIQ"]])
    def test_signatures_that_are_none(
        self, google: Signer, roots: RootKeys, signatures: object
    ) -> None:
        """A list of texts is what they have to be."""
        callback = google.callback()
        callback["intermediateSigningKey"]["signatures"] = signatures
        self.refuse(body(callback), roots, "no signatures")

    def test_half_a_character(self, google: Signer, roots: RootKeys) -> None:
        """JSON can spell what no encoding has: it is refused like any other message."""
        callback = google.callback()
        callback["signedMessage"] += "\ud800"
        self.refuse(body(callback), roots, "signature is wrong")

    @pytest.mark.parametrize("protocol", ["ECv1", "ECv2", ""])
    def test_another_protocol(self, google: Signer, roots: RootKeys, protocol: str) -> None:
        """Only ECv2SigningOnly, in the callback and of the root keys."""
        self.refuse(body({**google.callback(), "protocolVersion": protocol}), roots, "protocol")

    def test_roots_of_another_protocol(
        self, google: Signer, roots: RootKeys, server: KeyServer
    ) -> None:
        """Google publishes keys for other protocols beside ours."""
        server.publish(google.keys(protocolVersion="ECv1"))
        self.refuse(body(google.callback()), roots, "root keys")

    @pytest.mark.parametrize(
        "change",
        [
            {"signature": "%%%"},
            {"signature": None},
            {"signature": base64.b64encode(b"no DER").decode()},
            {"intermediateSigningKey": None},
            {"intermediateSigningKey": {"signedKey": "[]", "signatures": []}},
            {"intermediateSigningKey": {"signedKey": "{}", "signatures": []}},
            {"signedMessage": 7},
        ],
    )
    def test_damaged(self, google: Signer, roots: RootKeys, change: dict[str, Any]) -> None:
        """Each part that is missing or of the wrong kind is refused in our own words."""
        self.refuse(body({**google.callback(), **change}), roots, "^It|^Its")

    @pytest.mark.parametrize("event", ["saved", "", 1, None])
    def test_unknown_events(self, google: Signer, roots: RootKeys, event: object) -> None:
        """An event that we do not know is not taken for another."""
        self.refuse(body(google.callback(eventType=event)), roots, "event")

    @pytest.mark.parametrize("value", ["soon", None, True, 10**30, -(10**30), 1.5])
    def test_senseless_moments(self, google: Signer, roots: RootKeys, value: object) -> None:
        """A time that is none is refused, not raised through."""
        self.refuse(body(google.callback(expTimeMillis=value)), roots, "expTimeMillis")

    @given(st.binary(max_size=200))
    def test_any_bytes(self, content: bytes) -> None:
        """Nothing that is sent gets further than a refusal."""
        with pytest.raises(ForgedCallbackError):
            verify(content, issuer_id=ISSUER, roots=RootKeys("http://127.0.0.1:1/"))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
            max_leaves=8,
        ),
        st.sampled_from(
            ["signature", "protocolVersion", "intermediateSigningKey", "signedMessage"]
        ),
    )
    def test_any_json(self, value: object, name: str) -> None:
        """Nor does any JSON in any place."""
        content = {**VECTORS[0]["payload"], name: value}
        with pytest.raises(ForgedCallbackError):
            verify(body(content), issuer_id=ISSUER, roots=RootKeys("http://127.0.0.1:1/"))


class TestIssuer:
    def test_it_is_that_of_the_card(self, google: Signer) -> None:
        """Which of several accounts to verify it for; it is not believed yet."""
        assert claimed_issuer(body(google.callback(objectId="42.a.b"))) == "42"

    @pytest.mark.parametrize("message", ["", "{}", '{"objectId": 7}', "[]", "no JSON"])
    def test_a_callback_that_does_not_say(self, message: str) -> None:
        """It is refused before anybody looks for an account."""
        with pytest.raises(ForgedCallbackError):
            claimed_issuer(body({"signedMessage": message}))


class TestKeysOutOfReach:
    def test_no_server(self, google: Signer) -> None:
        """Whoever calls us is told to come again, since we cannot judge now."""
        with pytest.raises(NetworkError):
            verify(body(google.callback()), issuer_id=ISSUER, roots=RootKeys("http://127.0.0.1:1/"))

    @pytest.mark.parametrize(
        ("status", "answer"),
        [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"keys": [{}, 1]}')],
    )
    def test_another_answer(
        self, google: Signer, roots: RootKeys, server: KeyServer, status: int, answer: bytes
    ) -> None:
        """An answer that is not the keys is Google's trouble, not the caller's."""
        server.status, server.answer = status, answer
        with pytest.raises(UnavailableError):
            verify(body(google.callback()), issuer_id=ISSUER, roots=roots)

    def test_a_redirect_leads_nowhere(
        self, google: Signer, roots: RootKeys, server: KeyServer, elsewhere: KeyServer
    ) -> None:
        """Whoever can have us sent elsewhere must not choose whose signatures we believe."""
        forger = Signer()
        elsewhere.publish(forger.keys())
        server.status, server.location = 302, elsewhere.url
        with pytest.raises(UnavailableError):
            verify(body(forger.callback()), issuer_id=ISSUER, roots=roots)
        assert (server.requests, elsewhere.requests) == (1, 0)

    def test_a_proxy_of_the_environment_is_not_asked(
        self,
        google: Signer,
        roots: RootKeys,
        elsewhere: KeyServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A variable that some other program needed must not decide whom we believe."""
        monkeypatch.setenv("http_proxy", elsewhere.url)
        verify(body(google.callback()), issuer_id=ISSUER, roots=roots)
        assert elsewhere.requests == 0

    def test_nobody_is_refused_after_a_fetch_that_failed(
        self, google: Signer, roots: RootKeys, server: KeyServer
    ) -> None:
        """Until the keys may be asked for again, all who call are told to come again."""
        server.status = 500
        for _ in range(3):
            with pytest.raises(UnavailableError):
                verify(body(google.callback()), issuer_id=ISSUER, roots=roots)
        assert server.requests == 1

    def test_plain_http_elsewhere(self) -> None:
        """Keys that came in the clear would be anybody's."""
        with pytest.raises(ValueError, match="https"):
            RootKeys("http://pay.google.com/gp/m/issuer/keys")

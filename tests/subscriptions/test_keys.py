"""The service's keys: what is published, what signs, how one follows another (Sections 6.5, 7.1, 12.9, 12.10)."""

from __future__ import annotations

from base64 import urlsafe_b64decode

from durable_streams.subscriptions.events import Key, KeyPurpose
from durable_streams.subscriptions.key_ring import public_key, webhook_signature
from durable_streams.subscriptions.settings import SubscriptionSettings
from tests.subscriptions.signatures import is_signed_by
from tests.subscriptions.world import NOW, KeptStore, World, result_of

# RFC 8037, appendix A.
SECRET = urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def kids(world: World) -> list[str]:
    """The published keys, the newest first."""
    return [key["kid"] for key in result_of(world.subscriptions.published_keys())]


def signed_with(world: World) -> str:
    """The key that signs the next wake, which is published."""
    world.append("events/a")
    call = world.receivers.next()
    kid = call.signature.split(",")[1].removeprefix("kid=")
    [key] = [key for key in result_of(world.subscriptions.published_keys()) if key["kid"] == kid]
    assert is_signed_by(key, call.signature, call.raw_body)
    call.done()
    return kid


def test_a_public_key_is_a_json_web_key() -> None:
    """6.5: Ed25519, and a kid that is the key's thumbprint, so that it is stable and unique."""
    assert public_key(SECRET) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": f"ds_{THUMBPRINT}",
        "use": "sig",
        "alg": "EdDSA",
        "x": X,
    }


def test_a_signature_has_the_form_of_the_specification() -> None:
    """7.1: over `<timestamp>.<body>`, base64url without padding; another body, time or key does not fit."""
    signature = webhook_signature(Key("k", KeyPurpose.SIGNATURE, SECRET, 0.0), b'{"a": 1}', NOW + 0.9).decode()
    assert signature.startswith(f"t={NOW},kid=k,ed25519=")
    assert "=" not in signature.rpartition("ed25519=")[2]
    key = {"kid": "k", "x": X}
    assert is_signed_by(key, signature, b'{"a": 1}')
    assert not is_signed_by(key, signature, b'{"a": 2}')
    assert not is_signed_by(key, signature.replace(f"t={NOW}", f"t={NOW + 1}"), b'{"a": 1}')


def test_keys_survive_a_restart() -> None:
    """6.5: receivers and the tokens of workers go on."""
    store = KeptStore()
    world = World(store)
    world.create("events/a")
    world.subscribe("sub")
    before = kids(world), signed_with(world)
    result_of(world.subscriptions.stopService())
    world.start(store)
    assert (kids(world), signed_with(world)) == before
    world.stop()


def test_a_new_key_is_published_before_it_signs_and_the_old_one_after(world: World) -> None:
    """6.5: at every moment the key of any signature within the replay window is published."""
    world.create("events/a")
    world.subscribe("sub")
    old = signed_with(world)
    result_of(world.subscriptions.rotate_signing_key())
    new, still = kids(world)
    assert (still, signed_with(world)) == (old, old)
    world.clock.advance(599)
    assert signed_with(world) == old
    world.clock.advance(1)
    assert signed_with(world) == new
    world.clock.advance(3599)
    assert kids(world) == [new, old]
    world.clock.pump([1800] * 3)
    assert kids(world) == [new]
    assert signed_with(world) == new


def test_keys_are_replaced_when_they_are_old() -> None:
    """6.5: by themselves, at the age that the operator has chosen."""
    world = World(settings=SubscriptionSettings(signing_key_lifetime=24 * 3600))
    [first] = kids(world)
    world.clock.pump([3600] * 23)
    assert kids(world) == [first]
    world.clock.pump([3600] * 2)
    assert len(kids(world)) == 2
    world.clock.pump([3600] * 3)
    [second] = kids(world)
    assert second != first
    world.stop()


def test_secrets_are_never_published(world: World) -> None:
    """6.5: no private member, and nothing of the key that signs tokens."""
    [key] = result_of(world.subscriptions.published_keys())
    assert set(key) == {"kty", "crv", "kid", "use", "alg", "x"}
    assert world.subscriptions._keys.token_secret not in urlsafe_b64decode(key["x"] + "=")

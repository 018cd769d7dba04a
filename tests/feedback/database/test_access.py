"""Who comes in: invitations, sessions and their end."""

import pytest
from feedback.stores import a_store, as_shown, key

from burnish.errors import MissingInput, UsageError
from burnish.feedback.database.access import csrf_of


def test_an_invitation_opens_one_session_and_no_secret_is_kept(tmp_path, clock):
    path = tmp_path / "s.db"
    with a_store(path, clock=clock) as store:
        token = store.invite("ann", clock.now + 100)
        session = store.redeem(token)
        assert store.session(session.secret) == session.annotator
        assert session.csrf == csrf_of(session.secret)
        assert store.redeem(token) is None
        assert store.session(token) is None
        late = store.invite("ann", clock.now + 100)
        clock.now += 101
        assert store.redeem(late) is None
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert all(secret.encode() not in kept for secret in (token, late, session.secret, session.csrf))


def test_revoking_ends_sessions_and_invitations_and_keeps_rankings(store):
    session = store.redeem(store.invite("ann"))
    store.submit(session.annotator, store.next_item(session.annotator).id, as_shown(), key())
    unused = store.invite("ann")
    assert store.revoke("ann") == 2
    assert store.session(session.secret) is None
    assert store.redeem(unused) is None
    assert len(list(store.rankings())) == 1
    with pytest.raises(MissingInput, match="no annotator 'eve' in this store; there are ann"):
        store.revoke("eve")
    again = store.redeem(store.invite("ann"))
    assert again.annotator == session.annotator


def test_logging_out_ends_one_session(store):
    one, other = (store.redeem(store.invite("ann")) for _ in range(2))
    store.end_session(one.secret)
    assert (store.session(one.secret), store.session(other.secret)) == (None, other.annotator)


def test_a_name_that_cannot_be_shown_is_refused(store):
    for name in ("", "  ", "a\x1b[31m", "x" * 81):
        with pytest.raises(UsageError, match="choose 1 to 80 printable characters"):
            store.invite(name)

"""What every kind of hook keeps, in one suite: who signed it is heard, nobody else, and what it says is plain data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.hooks.kind import Delivery, Kind, Options, Posted, Signature, Unreadable
from channels.hooks.kinds import KINDS
from tests.channels.hooks.samples import FOLDER, SAMPLES, Sample
from tests.channels.hooks.signing import ANOTHER, NOW, SECRET, WAYS, Sign

BODY = b'{"type": "a.b", "status": "firing"}'
HEADERS = ("authorization", "x-signature", "x-time")
ANYTHING: tuple[object, ...] = (None, True, -1, 10**30, 1.5, "", "\u202e</x>\n", [], {}, [1, "a"], {"a": {}})


def ways_that(wanted: Callable[[Options, Sign], bool]) -> pytest.MarkDecorator:
    found = {name: way for name, way in WAYS.items() if wanted(way[1], way[2])}
    return pytest.mark.parametrize(("kind", "options", "sign"), found.values(), ids=found)


EVERY_WAY = ways_that(lambda *_: True)
EVERY_SAMPLE = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def posted(headers: dict[str, str], body: bytes = BODY) -> Posted:
    return Posted({name.lower(): value for name, value in headers.items()}, body, NOW)


def wrong(kind: str, options: Options, it: Posted, *secrets: str) -> str:
    proof = KINDS[kind].proof(options)
    return proof.missing(it.headers) or proof.wrong(it, secrets or (SECRET,))


def read(kind: Kind, it: Posted, options: Options) -> Delivery | str:
    """What it says; or why it makes no sense, in a line for its sender."""
    try:
        return kind.read(it, options)
    except Unreadable as error:
        why = (error.status, str(error))
    assert why[0] == 400
    assert "\n" not in why[1]
    return why[1]


def test_every_kind_is_tried_here_and_has_samples() -> None:
    assert {kind for kind, _, _ in WAYS.values()} == set(KINDS)
    assert {one.name for one in FOLDER.iterdir() if one.is_dir()} == set(KINDS)


@EVERY_WAY
def test_who_has_the_secret_is_heard(kind: str, options: Options, sign: Sign) -> None:
    assert KINDS[kind].unfit(options) == ""
    assert wrong(kind, options, posted(sign(BODY, SECRET, NOW))) == ""
    assert wrong(kind, options, posted(sign(BODY, SECRET, NOW)), ANOTHER, SECRET) == ""  # while it is changed


@EVERY_WAY
def test_nobody_else_is(kind: str, options: Options, sign: Sign) -> None:
    right = sign(BODY, SECRET, NOW)
    assert wrong(kind, options, posted(sign(BODY, ANOTHER, NOW)))
    assert wrong(kind, options, posted(sign(BODY, "", NOW)), "")
    assert wrong(kind, options, posted({}))
    for name, value in right.items():
        assert wrong(kind, options, posted({**right, name: ""}))
        assert wrong(kind, options, posted({**right, name: value[:-1]}))
        assert wrong(kind, options, posted({**right, name: "\u00e9" * 40}))
        assert wrong(kind, options, posted({one: text for one, text in right.items() if one != name}))


@ways_that(lambda _, sign: "Authorization" not in sign(BODY, SECRET, NOW))
def test_a_byte_that_was_changed_is_seen(kind: str, options: Options, sign: Sign) -> None:
    signed = sign(BODY, SECRET, NOW)
    for changed in (BODY.replace(b"a.b", b"a.c"), BODY + b" ", BODY[:-1], b""):
        assert wrong(kind, options, posted(signed, changed))


@ways_that(lambda options, _: bool(options.signature and options.signature.timestamp))
def test_what_was_signed_long_ago_is_refused(kind: str, options: Options, sign: Sign) -> None:
    assert options.signature
    tolerance = timedelta(seconds=options.signature.tolerance_seconds)
    for away in (tolerance, -tolerance):
        assert wrong(kind, options, posted(sign(BODY, SECRET, NOW - away))) == ""
        beyond = away + (timedelta(seconds=2) if away > timedelta() else timedelta(seconds=-2))
        assert "from now" in wrong(kind, options, posted(sign(BODY, SECRET, NOW - beyond)))
    fresh = sign(BODY, SECRET, NOW)
    assert wrong(kind, options, posted({**fresh, options.signature.timestamp: "soon"}))


@EVERY_WAY
@given(
    headers=st.dictionaries(st.sampled_from(("authorization", "x-signature", "x-time")), st.text()), body=st.binary()
)
def test_whatever_comes_no_proof_breaks(
    kind: str, options: Options, sign: Sign, headers: dict[str, str], body: bytes
) -> None:
    names = list(sign(b"", SECRET, NOW))
    for value in headers.values():
        assert wrong(kind, options, Posted({name.lower(): value for name in names} | headers, body, NOW))


@EVERY_SAMPLE
def test_a_delivery_is_read_as_the_sample_says(sample: Sample) -> None:
    kind, expected = KINDS[sample.kind], sample.expected
    found = kind.read(sample.posted(), sample.options)
    read = {**asdict(found), "awaited": list(found.awaited)}
    assert {name: read[name] for name in ("id", "event", "ready", "awaited", "test")} == {
        name: expected[name] for name in ("id", "event", "ready", "awaited", "test")
    }
    if kind.is_mail:
        assert found.mail.startswith(expected["mail_begins"].encode())
        assert found.mail.endswith(b"\r\n\r\nPlease deploy v1.3.0 to production. \xe2\x9c\x93\r\n")
    else:
        assert found.body == json.loads(sample.body)
    assert kind.read(sample.posted(), sample.options) == found


@EVERY_SAMPLE
def test_a_ready_made_event_has_no_field_that_its_kind_does_not_name(sample: Sample) -> None:
    kind = KINDS[sample.kind]
    found = kind.read(sample.posted(), sample.options)
    if kind.raw is not None:
        assert found.event.partition(".")[0] in kind.raw
    if found.ready is None:
        return
    spec = kind.events[found.ready.event]
    assert set(found.ready.fields) <= set(spec.fields)
    assert set(spec.shown) <= set(spec.words)
    assert not set(spec.words) & set(spec.facts)
    assert bool(found.ready.subject) == spec.has_subject


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_ready_made_event_has_a_sample_with_all_its_fields(kind: Kind) -> None:
    seen: dict[str, set[str]] = {}
    for sample in SAMPLES:
        if sample.kind == kind.name and (ready := kind.read(sample.posted(), sample.options).ready):
            seen.setdefault(ready.event, set()).update(ready.fields)
    assert seen == {name: set(ready.fields) for name, ready in kind.events.items()}


ODD = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"{}", b'{"event": 7, "type": [], "id": {}}', b"[" * 5_000)


@pytest.mark.parametrize("body", ODD, ids=repr)
@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.is_mail], ids=lambda kind: kind.name)
def test_what_makes_no_sense_is_said_to_its_sender(kind: Kind, body: bytes) -> None:
    headers = {"x-github-event": "push", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    found = read(kind, Posted(headers, body, NOW), Options(bearer=True, event="body.type"))
    if isinstance(found, Delivery):
        assert kind.name == "github"
        assert found == Delivery(headers["x-github-delivery"], "push", json.loads(body))


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one.path.suffix == ".json"], ids=lambda one: one.name)
@given(data=st.data())
def test_whatever_stands_in_a_payload_it_is_read_or_refused(sample: Sample, data: st.DataObject) -> None:
    """One value after the other is replaced by something else."""
    document = json.loads(sample.body)
    holder: object = document
    while True:
        assert isinstance(holder, dict | list)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            holder = inner
            continue
        holder[key] = data.draw(
            st.sampled_from([None, True, -1, 10**30, 1.5, "", "\u202e</x>\n", [], {}, [1, "a"], {"a": {}}])
        )
        break
    found = read(
        KINDS[sample.kind], Posted(sample.posted().headers, json.dumps(document).encode(), NOW), sample.options
    )
    if isinstance(found, Delivery):
        assert found.id
        assert json.dumps(found.ready.fields) if found.ready else True


MAILS = [sample for sample in SAMPLES if sample.kind == "email"]


@pytest.mark.parametrize("sample", MAILS, ids=lambda sample: sample.name)
@given(data=st.data())
def test_whatever_is_posted_as_mail_is_read_or_refused(sample: Sample, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(sample.body)))
    body = (
        sample.body[:at]
        + data.draw(st.binary(max_size=20))
        + sample.body[data.draw(st.integers(at, len(sample.body))) :]
    )
    try:
        found = KINDS["email"].read(Posted({"content-type": sample.headers["Content-Type"]}, body, NOW), sample.options)
    except Unreadable as error:
        status = error.status
    else:
        status = 0
        assert found.mail
    assert status in (0, 400)


def test_the_same_mail_is_the_same_delivery_however_it_is_posted() -> None:
    assert len({KINDS["email"].read(sample.posted(), sample.options).id for sample in MAILS}) == 1


@pytest.mark.parametrize("sample", MAILS, ids=lambda sample: sample.name)
def test_mail_in_another_form_is_refused(sample: Sample) -> None:
    for other in MAILS:
        if other is not sample:
            with pytest.raises(Unreadable) as refused:
                KINDS["email"].read(sample.posted(), other.options)
            assert refused.value.status == 415


@pytest.mark.parametrize(
    "options", [Options(), Options(form="postmark"), Options(bearer=True, signature=Signature(header="X"))]
)
def test_mail_that_proves_nothing_is_no_hook(options: Options) -> None:
    assert KINDS["email"].unfit(options)

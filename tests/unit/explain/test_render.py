"""Properties of the output in every format, also for hostile texts in a config."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.explaining import CONFIG, ask, caller
from support.findings import ANY_TEXT, PATIENT
from support.process import ROOT

from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.findings import Span
from grpcsecure.explain.calls import Basis, CallVerdict, Explanation, StepFacts
from grpcsecure.explain.listener_facts import Caller, ListenerFacts
from grpcsecure.explain.phrases import count
from grpcsecure.explain.query_subject import CallerFacts
from grpcsecure.explain.render import render_table
from grpcsecure.explain.render.call_text import render_call_text
from grpcsecure.explain.render.explain_json import render_call_json, render_finding_json
from grpcsecure.explain.table import (
    Cell,
    Change,
    Exposure,
    Row,
    RuleFacts,
    Section,
    Table,
    build_table,
)
from grpcsecure.model.authorization import Effect, MetadataCondition, Rule

SCHEMA = json.loads((ROOT / "schemas" / "explain.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FORMATS = ("text", "json", "markdown", "html")


@pytest.mark.parametrize(
    ("counted", "text"),
    [
        ((0, "rule"), "0 rules"),
        ((1, "rule"), "1 rule"),
        ((1, "identity", "identities"), "1 identity"),
        ((2, "identity", "identities"), "2 identities"),
    ],
)
def test_nouns_are_counted(counted, text):
    """The noun is singular for one, and has its own plural if given."""
    assert count(*counted) == text


def hostile_listener(text):
    """Return a listener in which every text is `text`."""
    return ListenerFacts(
        name=text,
        address=text,
        mode="plaintext",
        engine=None,
        client_ca=text,
        certificates=(text,),
        trust_domains={text: text},
        place=Span(text, 1, 1, 1, 2),
        lets_in=text,
        names=text,
        clients=(("missing", "anonymous"),),
    )


def hostile_rule(text):
    """Return a rule in which every text is `text`."""
    return Rule(
        name=text,
        effect=Effect.DENY,
        identities=(text,),
        methods=(text,),
        listeners=(text,),
        metadata=(MetadataCondition(text, (text,)),),
        enforce=False,
    )


def hostile_table(text):
    """Return a table in which every text of the config is `text`."""
    place = Span(text, 1, 1, 1, 2)
    rule = hostile_rule(text)
    change = Change(Effect.ALLOW, rule, rule.metadata)
    cell = Cell(
        effect=Effect.DENY,
        rule=rule,
        names=(text,),
        conditions=(change,),
        shadows=(change,),
        is_only_claimed=True,
    )
    names = (*(one for one in ("anyone", "anonymous", "presented", "verified")), text)
    row = Row(
        method=f"/{text}/{text}",
        exposure=Exposure.NO_CALLER,
        cells=(cell,) * len(names),
    )
    return Table(
        subject=text,
        profile=text,
        production=False,
        has_rules=True,
        knows_methods=False,
        default=Effect.DENY,
        default_place=place,
        callers=tuple(
            Caller(
                name=name,
                is_built_in=False,
                means=text,
                matchers=(((text, text),),),
                place=place,
            )
            for name in names
        ),
        rules={text: RuleFacts(number=1, rule=rule, place=place)},
        sections=(Section(listeners=(hostile_listener(text),), rows=(row,)),),
    )


def hostile_explanation(text):
    """Return an explanation in which every text is `text`."""
    place = Span(text, 1, 1, 1, 2)
    rule = hostile_rule(text)
    step = StepFacts(
        number=1,
        rule=rule,
        place=place,
        is_match=False,
        is_decisive=False,
        is_about_method=True,
        words=text,
    )
    facts = CallerFacts(
        state="claimed", words=text, expiry="", identities=(text,), claimed=(text,)
    )
    verdict = CallVerdict(
        listener=hostile_listener(text),
        effect=Effect.DENY,
        basis=Basis.RULE,
        rule=rule,
        place=place,
        status="UNAUTHENTICATED",
        caller=facts,
        exists=False,
        steps=(step,),
        shadow=Change(Effect.ALLOW, rule),
        shadow_place=place,
    )
    return Explanation(
        subject=text,
        profile=text,
        method=text,
        verdicts=(verdict,),
        knows_methods=True,
        similar=text,
    )


class _Page(HTMLParser):
    """Collects the tags, attributes, links, ids and texts of a page."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read_page(html):
    """Parse a page, and check that its elements are nested correctly."""
    page = _Page()
    page.feed(html)
    page.close()
    assert not page.open
    return page


#: The only tags and attributes of a page: none of them runs or loads anything.
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p",
    "b", "br", "nav", "a", "div", "span", "code", "ul", "li", "table", "thead", "tbody",
    "tr", "th", "td", "dl", "dt", "dd",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "id", "class", "href", "title",
    "scope", "colspan", "rowspan",
}  # fmt: skip

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;&#60;",
    "`code` ``more`` | a | b | *bold* [link](http://evil.example) <b> \\| \\` !",
    "a\nb\r\nc\x00\x1b[31m\u202e\u2028",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_page_has_only_known_markup(text):
    """No text of a config becomes a tag, an attribute or a link, and none is lost."""
    page = read_page(render_table("html", hostile_table(text)))
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert all(re.fullmatch(r"#[a-z0-9-]+", link) for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= {*page.ids}
    if text.isprintable():
        assert text in page.text


@PATIENT
@given(text=ANY_TEXT)
def test_page_has_only_known_markup_for_any_text(text):
    """The same holds for any Unicode text."""
    page = read_page(render_table("html", hostile_table(text)))
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES


_CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(?:.*?[^`])??\1(?!`)")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_has_only_known_markup(text):
    """Outside of code spans no text of a config is unescaped."""
    for line in render_table("markdown", hostile_table(text)).splitlines():
        rest = re.sub(r"<code>(?:&#\d+;|[^!-/:-@\[-`{-~])*</code>", "", line)
        rest = _CODE_SPAN.sub("", rest)
        rest = re.sub(r"\\[!-/:-@\[-`{-~]", "", rest)
        assert not re.search(r"[<>\[\]`]|://", rest), line


@PATIENT
@given(text=ANY_TEXT)
def test_markdown_tables_have_their_columns(text):
    """No text can end a cell: each row has as many cells as the head of its table."""
    columns = None
    for line in render_table("markdown", hostile_table(text)).split("\n"):
        if not line.startswith("|"):
            columns = None
            continue
        cells = line.count("|")
        columns = cells if columns is None else columns
        assert cells == columns


@PATIENT
@given(text=ANY_TEXT, form=st.sampled_from(FORMATS))
def test_any_table_can_be_shown(text, form):
    """No text makes a renderer fail, and no control character gets through."""
    shown = render_table(form, hostile_table(text))
    shown.encode()
    assert shown.endswith("\n")
    assert all(line.isprintable() for line in shown.split("\n"))


@PATIENT
@given(text=ANY_TEXT)
def test_any_call_can_be_shown(text):
    """The same holds for one call, as text and as JSON."""
    explanation = hostile_explanation(text)
    shown = render_call_text(explanation)
    shown.encode(errors="backslashreplace")
    assert all(line.isprintable() for line in shown.split("\n"))
    VALIDATOR.validate(json.loads(render_call_json(explanation)))


@pytest.mark.parametrize("form", FORMATS)
def test_metadata_from_a_variable_is_not_shown(load_config, form):
    """A value from a variable is a secret, and reviewers read the table."""
    loaded = load_config(
        CONFIG + "identities: {a: {dns: a.test}}\nauthorization: {rules:"
        " {r: {allow: [a], methods: ['*'], metadata: {x-key: ['${KEY}', b]}}}}\n",
        environ={"KEY": "hunter2"},
    )
    shown = render_table(form, build_table(loaded))
    assert "hunter2" not in shown
    assert "x-key" in shown
    assert "…" in shown.replace(r"\u2026", "…")  # as JSON has it


def test_colour_only_decorates():
    """Without colour the text is the same."""
    painted = render_call_text(hostile_explanation("x"), color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render_call_text(
        hostile_explanation("x")
    )
    assert painted != render_call_text(hostile_explanation("x"))


class TestJson:
    """The JSON documents, and the schema that describes them."""

    @pytest.fixture(name="documents")
    def _documents(self, load_config):
        loaded = load_config(
            CONFIG + "identities: {a: {dns: a.test}}\nauthorization: {rules:"
            " {r: {allow: [a], methods: ['*'], enforce: false,"
            " metadata: {x-a: [b]}}}}\n"
        )
        return [
            json.loads(render_call_json(ask(loaded, caller(dns="a.test")))),
            json.loads(render_table("json", build_table(loaded))),
            json.loads(render_table("json", hostile_table("<x>"))),
            json.loads(render_call_json(hostile_explanation("<x>"))),
            *(json.loads(render_finding_json(kind)) for kind in CATALOG.values()),
        ]

    def test_as_the_schema_says(self, documents):
        """The published schema describes every document."""
        jsonschema.Draft202012Validator.check_schema(SCHEMA)
        for document in documents:
            VALIDATOR.validate(document)

    def test_schema_describes_every_key(self, documents):
        """The documents have no keys that the schema does not describe."""
        strict = json.loads(json.dumps(SCHEMA))
        for name, part in strict["$defs"].items():
            if name != "listener" and "properties" in part:
                part["additionalProperties"] = False
        validator = jsonschema.Draft202012Validator(strict)
        for document in documents:
            validator.validate(document)

    def test_the_same_bytes(self, load_config):
        """The same config gives the same bytes."""
        text = CONFIG + "authorization: {default: allow}\n"
        shown = {
            (form, render_table(form, build_table(load_config(text))))
            for form in FORMATS
            for _ in range(3)
        }
        assert len(shown) == len(FORMATS)

"""Tests of findings about SPIFFE trust domains and client CAs: GS314 and GS422."""

from __future__ import annotations

from support.configs import underlined
from support.policy_checks import check, rules

from grpcsecure.model.authorization import Effect
from grpcsecure.policy.feasibility import can_have

#: Two listeners with a plain `client_ca`, one that ties domains, one without any CA.
LISTENERS = """\
version: 1
services: [{servicer: 'helloworld.greeter:Greeter'}]
listeners:
  plain: {address: '127.0.0.1:1', tls: {certificate: c, private_key: k,
    client_certificate: require_and_verify, client_ca: a}}
  other: {address: '127.0.0.1:2', tls: {certificate: c, private_key: k,
    client_certificate: request_but_dont_verify, client_ca: b}}
  tied: {address: '127.0.0.1:3', tls: {certificate: c, private_key: k,
    client_certificate: require_and_verify, client_ca: {corp.test: d}}}
  blind: {address: '127.0.0.1:4', tls: {certificate: c, private_key: k,
    client_certificate: require_but_dont_verify}}
"""

DIGEST = "sha256:" + "9f" * 32
IDENTITIES = f"""\
identities:
  corp: {{spiffe: "spiffe://corp.test/*"}}
  corp-too: {{uri: "SPIFFE://CORP.test/a"}}
  partner: {{spiffe: "spiffe://partner.test/a"}}
  both: [{{spiffe: "spiffe://corp.test/b"}}, {{spiffe: "spiffe://partner.test/b"}}]
  pinned: {{spiffe: "spiffe://partner.test/c", fingerprint: "{DIGEST}"}}
  web: {{dns: web.partner.test}}
"""


def about(code, *lines):
    """Return the findings of one code for these rules, and the text."""
    findings, text = check(rules(*lines, identities=IDENTITIES), listeners=LISTENERS)
    return [one for one in findings if one.code == code], text


def rule(effect, names, *listeners):
    """Return a rule for all methods."""
    on = f", listeners: [{', '.join(listeners)}]" if listeners else ""
    listed = ", ".join(names)
    return f"{effect}-{len(listed)}: {{{effect}: [{listed}], methods: ['*']{on}}}"


class TestShared:
    """GS314: several trust domains, and any client CA may vouch for each."""

    def test_each_listener_with_a_plain_client_ca(self):
        """The finding is at the value, and shows the mapping to write."""
        found, text = about(
            "GS314", rule("allow", ["corp"]), rule("allow", ["partner"])
        )
        assert [(underlined(text, one), one.is_error) for one in found] == [
            ("a", False),
            ("b", False),
        ]
        assert found[0].message == (
            "on listener `plain` any client CA may vouch for the trust domains"
            " `corp.test` and `partner.test`"
        )
        assert found[0].help == (
            "give each its CAs: `client_ca: {corp.test: FILE, partner.test: FILE}`"
        )
        assert [(underlined(text, one), one.text) for one in found[0].secondary] == [
            ("corp", "is of `corp.test`"),
            ("partner", "is of `partner.test`"),
        ]

    def test_one_identity_may_have_both_domains(self):
        """The domains of all matchers count."""
        assert len(about("GS314", rule("allow", ["both"]))[0]) == 2

    def test_no_finding_where_no_other_ca_matters(self):
        """For example where one domain is denied, pinned, or on another listener."""
        for lines in (
            [rule("allow", ["corp", "corp-too", "web"])],
            [rule("allow", ["corp"]), rule("deny", ["partner"])],
            [rule("allow", ["corp", "pinned"])],
            [rule("allow", ["corp"], "plain"), rule("allow", ["partner"], "other")],
            [rule("allow", ["corp", "verified", "anyone"])],
        ):
            assert about("GS314", *lines)[0] == [], lines


class TestUnlisted:
    """GS422: a rule for an identity of a domain that has no CAs on its listeners."""

    def test_identity_of_a_domain_that_is_not_listed(self):
        """The finding is at the name in the rule; it is a warning."""
        found, text = about("GS422", rule("allow", ["corp", "partner"], "tied"))
        assert [(underlined(text, one), one.is_error) for one in found] == [
            ("partner", False)
        ]
        assert found[0].label == "of `partner.test`"
        assert [(underlined(text, one), one.text) for one in found[0].secondary] == [
            ("client_ca", "does not list it")
        ]

    def test_no_finding_where_a_client_can_have_it(self):
        """On another listener, by another matcher, or for a deny rule."""
        for lines in (
            [rule("allow", ["partner"], "tied", "plain")],
            [rule("allow", ["both", "web", "corp-too"], "tied")],
            [rule("deny", ["partner"], "tied")],
        ):
            assert about("GS422", *lines)[0] == [], lines

    def test_explain_asks_the_same(self):
        """`can_have`, which `explain` uses, agrees."""
        from support.policy_checks import load

        document = load(LISTENERS + IDENTITIES).document
        assert document is not None
        config = document.config
        (tied,) = (one for one in config.listeners if one.name == "tied")
        names = {one.name for one in config.identities}
        having = {
            name
            for name in names
            if can_have(name, Effect.ALLOW, tied, config.identities)
        }
        assert having == names - {"partner", "pinned"}
        for name in names:
            assert can_have(name, Effect.DENY, tied, config.identities)

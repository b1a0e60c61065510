"""Style sheet of the review page: for light and dark screens, and for print."""

from __future__ import annotations

__all__ = ["STYLE"]

#: No colour carries a meaning alone: there is always a word or a sign with it.
STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f7f9; --ink: #1a1f27; --quiet: #5b6472;
  --line: #d9dde3; --strong: #b3bac4; --link: #1f57a8;
  --anonymous: #b3261e; --unverified: #a84300; --verified: #1f57a8;
  --named: #1c6b3c; --no-caller: #5b6472;
  --allow: #e3f3e8; --allow-ink: #14532d; --deny: #fbe6e4; --deny-ink: #8c1d18;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --panel: #1d2129; --ink: #e4e7ec; --quiet: #a0a9b6;
    --line: #333a45; --strong: #566070; --link: #8db8f5;
    --anonymous: #ff8a80; --unverified: #ffb070; --verified: #8db8f5;
    --named: #7fd39b; --no-caller: #a0a9b6;
    --allow: #173322; --allow-ink: #a5e3b9; --deny: #3d1a18; --deny-ink: #ffb4ab;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 2rem 2rem 4rem; max-width: 84rem;
  background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
}
code, .code {
  font: 0.92em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
    monospace;
}
code { overflow-wrap: break-word; }
.value { overflow-wrap: anywhere; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 0.4rem; font-size: 1.25rem; }
h3 { margin: 1.6rem 0 0.3rem; font-size: 1rem; }
p { margin: 0.3rem 0; max-width: 62rem; }
ul { margin: 0.3rem 0; padding-left: 1.2rem; }
li { margin: 0.15rem 0; }
.quiet { color: var(--quiet); }
.eyebrow { margin: 0; color: var(--quiet); }
.facts { margin: 0.5rem 0 0; }
nav { margin: 1rem 0 0; }
nav a { margin-right: 1.2rem; white-space: nowrap; }

.cards {
  display: grid; gap: 0.8rem; margin: 1.5rem 0 0;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
}
.card {
  padding: 0.7rem 0.9rem; background: var(--panel);
  border: 1px solid var(--line); border-top: 4px solid var(--tone); border-radius: 4px;
}
.card b { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--tone); }
.card.zero b { color: var(--quiet); }
.card .quiet { font-size: 0.87rem; line-height: 1.35; }
.anonymous { --tone: var(--anonymous); } .unverified { --tone: var(--unverified); }
.verified { --tone: var(--verified); } .named { --tone: var(--named); }
.no-caller { --tone: var(--no-caller); }

.look { margin: 0.9rem 0 0; padding: 0.1rem 0 0.1rem 0.9rem;
  border-left: 4px solid var(--tone, var(--strong)); }
.look h3 { margin: 0; color: var(--tone, inherit); }

table { border-collapse: collapse; margin: 0.7rem 0 0; }
th, td { padding: 0.3rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--strong); vertical-align: bottom;
  font-weight: 600; }
table.wide { width: 100%; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.place { white-space: nowrap; }
.effect-allow { color: var(--allow-ink); font-weight: 600; }
.effect-deny { color: var(--deny-ink); font-weight: 600; }
th.over { border-bottom: 1px solid var(--line); }
td.client.refused { color: var(--quiet); }
td.client.verified { color: var(--named); }
td.client.claimed { color: var(--unverified); }
td.client.anonymous { color: var(--anonymous); }
tr.off td { color: var(--quiet); }
tr:target td, tr:target th { background: var(--panel); }

table.matrix { border-collapse: separate; border-spacing: 0; margin-bottom: 1rem; }
.matrix thead th { position: sticky; top: 0; z-index: 2; background: var(--paper); }
.matrix thead th.who { padding: 0.4rem 0.1rem; height: 9rem; text-align: left; }
.matrix thead th.who > span {
  writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
  max-height: 13rem; overflow: hidden; text-overflow: ellipsis; font-weight: 500;
}
.matrix th.method { position: sticky; left: 0; z-index: 1; background: var(--paper);
  padding-left: 1rem; font-weight: 400; white-space: nowrap; }
.matrix thead th.method { z-index: 3; }
.matrix tr.service th { position: sticky; left: 0; padding: 0.9rem 0.6rem 0.25rem 0;
  font-weight: 600; }
.matrix tbody tr:hover th, .matrix tbody tr:hover td.none {
  background: var(--panel); }
.matrix td.open { white-space: nowrap; }
.matrix td.cell { min-width: 2.2rem; padding: 0.3rem 0.15rem; text-align: center;
  border-left: 1px solid var(--line); font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.matrix .first { border-left: 2px solid var(--strong); }
.matrix td.allow, .key.allow { background-color: var(--allow);
  color: var(--allow-ink); }
.matrix td.deny, .key.deny { background-color: var(--deny); color: var(--deny-ink); }
.matrix td.none, .key.none { color: var(--quiet); }
.matrix td a { color: inherit; }
.chip { padding: 0 0.5rem; border: 1px solid var(--tone); border-radius: 1rem;
  color: var(--tone); font-size: 0.85rem; white-space: nowrap; }
.key { display: inline-block; min-width: 2.2rem; padding: 0 0.4rem;
  text-align: center; border: 1px solid var(--line); }
dl.legend { display: grid; grid-template-columns: max-content 1fr;
  gap: 0.3rem 0.8rem; margin: 0.6rem 0; max-width: 62rem; }
dl.legend dd { margin: 0; }

@media print {
  @page { size: A4 landscape; margin: 12mm; }
  :root {
    --paper: #fff; --panel: #fff; --ink: #000; --quiet: #444; --line: #bbb;
    --strong: #777; --link: #000; --anonymous: #8c1d18; --unverified: #7a3300;
    --verified: #12397a; --named: #14532d; --no-caller: #444;
    --allow: #e3f3e8; --allow-ink: #0b3d20; --deny: #fbe6e4; --deny-ink: #6f1410;
  }
  body { padding: 0; max-width: none; font-size: 9.5pt; }
  nav { display: none; }
  h2 { break-after: avoid; margin-top: 1.6rem; }
  h3 { break-after: avoid; }
  tr, .card, .look { break-inside: avoid; }
  tr.service { break-after: avoid; }
  .matrix thead th, .matrix th.method, .matrix tr.service th { position: static; }
  .matrix thead th.who > span { max-height: none; }
  .matrix td, .key, .card { print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
}
"""

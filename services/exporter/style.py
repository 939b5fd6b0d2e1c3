"""The style of the page ``/status``: light and dark as the system is, and whole on a telephone."""

STYLE = """
:root {
  --paper: #fbfaf8; --card: #fff; --ink: #1c2024; --quiet: #5f666e; --line: #e5e2dc; --soft: #efece6;
  --good: #3f9b6b; --good-ink: #1f6b45; --bad: #cf3f3a; --bad-ink: #a8231f; --wash: #fdf1f0; --now: #5a86ad; --then:
    #b4aea3;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e6e8ea; --quiet: #9aa3ac; --line: #2d3338; --soft: #262c31;
    --good: #4caf7d; --good-ink: #8fdcb3; --bad: #e0605a; --bad-ink: #ff9f99; --wash: #2a1c1c; --now: #6f9fc9;
      --then: #59616a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 0 clamp(16px, 4vw, 48px) 48px; max-width: 1080px; background: var(--paper); color:
    var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1, h2, p, ul { margin: 0; } ul { padding: 0; list-style: none; }
h1 { font-size: clamp(27px, 4.6vw, 42px); line-height: 1.15; letter-spacing: -.02em; font-weight: 650; text-wrap:
  balance; }
h2 { font-size: 20px; letter-spacing: -.01em; font-weight: 620; margin-bottom: 4px; }
code { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap:
  anywhere; }
.quiet, .line span:first-child { color: var(--quiet); }
.top { padding: 44px 0 24px; --tone: var(--good); --tone-ink: var(--good-ink); }
.top.bad { --tone: var(--bad); --tone-ink: var(--bad-ink); }
.over { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; margin-bottom: 14px; }
.pill { padding: 2px 11px; border-radius: 99px; font-weight: 600; font-size: 13px; color: var(--tone-ink); border:
  1.5px solid var(--tone); }
.faults { display: grid; gap: 6px; margin-bottom: 24px; }
.faults li { padding: 9px 16px; background: var(--wash); border-left: 4px solid var(--bad); border-radius: 8px;
  overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; }
.tile { padding: 14px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; color:
  var(--quiet); font-size: 13px; line-height: 1.35; }
.tile strong { display: block; font-size: 23px; line-height: 1.3; font-weight: 620; color: var(--ink);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile.bad strong { color: var(--bad-ink); }
section { margin-top: 40px; } .names { margin-bottom: 14px; } section > h2 + ul { margin-top: 12px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 12px; }
.card, .gpu { padding: 14px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.card.bad, .gpu.bad { background: var(--wash); border-color: var(--bad); }
.head, .line { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; }
.head b { overflow-wrap: anywhere; font-weight: 620; }
.state { font-size: 13px; font-weight: 600; color: var(--good-ink); white-space: nowrap; }
.bad .state { color: var(--bad-ink); }
.line { margin-top: 8px; font-size: 13.5px; font-variant-numeric: tabular-nums; } .line span:last-child {
  white-space: nowrap; }
.bar { display: block; height: 7px; margin-top: 6px; border-radius: 4px; background: var(--soft); overflow: hidden;
  }
.bar i { display: block; height: 100%; border-radius: 4px; background: var(--now); }
.bar.then i { background: var(--then); } .bar.full i { background: var(--bad); }
.workers { grid-template-columns: repeat(4, minmax(0, 1fr)); }
.gpus { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 8px; margin-top: 12px; }
.gpu { padding: 10px 11px; } .gpu .line { font-size: 12.5px; gap: 4px; white-space: nowrap; }
.gpu .line { margin: 0; } .gpu p { font-size: 12px; margin-top: 6px; white-space: nowrap; } .gpu b { font-weight: 600; }
.disks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 4px 24px;
  margin-top: 10px; }
.missing { padding: 14px 16px; border: 1px dashed var(--bad); border-radius: 12px; color: var(--bad-ink); }
footer { margin-top: 48px; padding-top: 16px; border-top: 1px solid var(--line); color: var(--quiet); font-size:
  13px; }
@media (max-width: 900px) {
  .tiles { grid-template-columns: repeat(3, 1fr); } .workers { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .gpus { grid-template-columns: repeat(4, minmax(0, 1fr)); }
}
@media (max-width: 520px) {
  .top { padding-top: 26px; } .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; } section { margin-top:
    32px; }
  .tile { padding: 10px 14px; } .workers { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .gpu .line { flex-wrap: wrap; } .gpu .state { white-space: normal; } .disks { grid-template-columns: 1fr; }
  .workers .card { padding: 11px 13px; } .workers .head { flex-wrap: wrap; gap: 0 8px; }
}
"""

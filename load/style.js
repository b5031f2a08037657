// The look of the report; colours that people with any colour vision can tell apart.
export const STYLE = `
:root { color-scheme: light dark; --back: #f6f8fa; --card: #fff; --text: #1b2430; --quiet: #566170; --line: #d5dbe2;
  --good: #12703f; --bad: #a4161a; --c0: #0b57d0; --c1: #a86400; --c2: #00788a; --c3: #c2410c; --c4: #8a3ffc; }
@media (prefers-color-scheme: dark) { :root { --back: #10151c; --card: #19212b; --text: #e8edf3; --quiet: #a9b4c2; --line: #34404d;
  --good: #4cc79b; --bad: #ff9d9d; --c0: #8ab4f8; --c1: #f0b35a; --c2: #5ccfe0; --c3: #ff9a63; --c4: #c6a7ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--back); color: var(--text); font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.2rem 0 .4rem; }
header p { margin: .25rem 0 0; color: var(--quiet); overflow-wrap: anywhere; }
.verdict { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; margin: 0 0 1rem; }
dl > div, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem; }
dt { color: var(--quiet); font-size: .85rem; } dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: .8rem; }
figure { margin: 0; } figcaption { font-size: .9rem; min-height: 3rem; } svg { display: block; width: 100%; }
svg text { font: 13px system-ui, sans-serif; fill: var(--quiet); }
.grid { stroke: var(--line); fill: none; } .line { stroke: var(--c); fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
path.c1 { stroke-dasharray: 8 4; } .column { fill: transparent; } .column:hover { fill: var(--quiet); fill-opacity: .15; }
.key { color: var(--quiet); margin-right: .6rem; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 1em; height: .25em; margin-right: .35em; vertical-align: middle; background: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 400; } thead th { color: var(--quiet); font-weight: 600; }
details { margin-top: 1.2rem; } summary { cursor: pointer; }
`;

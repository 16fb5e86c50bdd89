"""The style sheet of every page: light and dark, phone and paper.

Colours are from Okabe and Ito's palette, which the colour-blind can tell apart.
"""

STYLE = """
:root{--bg:#fff;--fg:#1b1f24;--muted:#57606a;--line:#d8dee4;--card:#f6f8fa;--train:#0072b2;--holdout:#6e7781;--synthetic:#d55e00}
@media (prefers-color-scheme:dark){:root{--bg:#14171c;--fg:#e6e9ed;--muted:#9aa4b0;--line:#333a44;--card:#1c2128;
--train:#56b4e9;--holdout:#aab2bc;--synthetic:#ff9a45}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0 0}h2{font-size:1.15rem;margin:0 0 .5rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
section{margin:1.6rem 0}p{margin:.4rem 0}small,.muted,.notes{color:var(--muted)}.muted,.notes{font-size:.9rem}
.notes{padding-left:1.2rem}
.cards{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr))}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem}
.card h2{margin:0}.figure{font-size:2rem;font-weight:600;line-height:1.2;margin:.2rem 0 0}
.charts{display:grid;align-items:start;margin-bottom:.8rem;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
figure{margin:0;padding:.6rem}figcaption{font-weight:600;font-size:.9rem;line-height:1.3;margin-bottom:.3rem}
figcaption small{font-weight:400}
svg{display:block;width:100%;height:auto;overflow:visible}.wide{max-width:600px}
.warn{border-left:5px solid var(--synthetic)}
svg text{fill:var(--fg);font-size:10.5px;font-family:inherit}.mid{text-anchor:middle}.end{text-anchor:end}
svg .axis{fill:var(--muted)}
.grid{stroke:var(--line);stroke-width:.7}.one{stroke:var(--fg);stroke-width:1.2}
.curve{fill:none;stroke-width:1.7;stroke-linejoin:round}
.curve.holdout{stroke-dasharray:5 3}.curve.synthetic{stroke-width:2.1}
.stem{stroke-width:1.5;opacity:.55}
.train{--c:var(--train)}.holdout{--c:var(--holdout)}.synthetic{--c:var(--synthetic)}
.curve,.stem,.hollow{stroke:var(--c)}.dot,.bar{fill:var(--c)}.hollow{fill:none;stroke-width:1.6}
.key{color:var(--c);font-size:1.1em}
.swatch{display:inline-block;width:1.6em;height:0;border-top:3px solid var(--c);
vertical-align:middle;margin:0 .4em 0 1em}
.named{white-space:nowrap}.swatch.holdout{border-top-style:dashed}.legend{margin-left:-1em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;width:100%}
th,td{padding:.28rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
@media (max-width:600px){table{font-size:.8rem}th,td{padding:.25rem .35rem}}
td:first-child{min-width:8.5em}th{font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
summary{cursor:pointer;font-weight:600;margin:.5rem 0}
pre{overflow-x:auto;background:var(--card);padding:.6rem;font-size:.85rem}
thead th[tabindex]{cursor:pointer}thead th[tabindex]:hover{text-decoration:underline}
th[aria-sort=ascending]::after{content:" ▲"}th[aria-sort=descending]::after{content:" ▼"}
.uses .cards{grid-template-columns:1fr}.uses li{break-inside:avoid;margin-bottom:.35rem}
.uses ul{columns:2 24rem;column-gap:2.2rem;padding-left:1.1rem;margin:.4rem 0 0;font-size:.92rem}.uses h3{margin:0}
@media print{:root{--bg:#fff;--fg:#000;--muted:#444;--line:#bbb;--card:#fff;--train:#0072b2;--holdout:#6e7781;
--synthetic:#d55e00}main{max-width:none;padding:0}details{display:block}.scroll{overflow:visible}
figure,tr,.card{break-inside:avoid}h2,h3{break-after:avoid}}
"""

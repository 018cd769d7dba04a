"""The page's style sheet: one column of calm type, colours as variables for light, dark and paper."""

LIGHT = """
--paper:#fcfbf8;--raised:#f5f3ee;--ink:#22211f;--soft:#55524c;--muted:#716d65;--line:#e2dfd7;--warn:#9a4a12;--mark:#f1e4c4;
--hue-0:#2f6fb3;--hue-1:#c0661a;--hue-2:#2f8067;--hue-3:#8a4fa3;--hue-4:#b23a5b;--hue-5:#7a7420;--hue-6:#3f8fa8;
--hue-7:#6b5b4d;
"""
DARK = """
--paper:#171614;--raised:#211f1c;--ink:#ece8e0;--soft:#c0bab0;--muted:#979086;--line:#37342f;--warn:#e39a5c;--mark:#4a3d22;
--hue-0:#74aee8;--hue-1:#e69a54;--hue-2:#6cc3a4;--hue-3:#c595dc;--hue-4:#e88aa5;--hue-5:#c2bb62;--hue-6:#7ec6dc;
--hue-7:#b9a694;
"""
CSS = f"""
:root{{color-scheme:light dark;{LIGHT}
--serif:Charter,"Bitstream Charter","Iowan Old Style","Palatino Linotype",Palatino,Georgia,"Noto Serif","Songti SC",
"Noto Serif CJK SC","Source Han Serif SC",SimSun,serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,"PingFang SC","Microsoft YaHei",
"Noto Sans CJK SC","Source Han Sans SC",sans-serif;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}}
@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}
"""
CSS += """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.6 var(--serif);overflow-wrap:break-word}
main{max-width:66rem;margin:0 auto;padding:4.5rem 1.5rem 5rem}
h1,h2,h3{font-weight:600;line-height:1.2;text-wrap:balance;margin:0}
.run{font:600 .8125rem/1.4 var(--sans);letter-spacing:.04em;color:var(--muted);margin:0 0 1rem}
h1{font-size:clamp(1.75rem,1.2rem + 2.4vw,2.75rem);letter-spacing:-.012em;max-width:24em}
.lead{font-size:1.1875rem;color:var(--soft);max-width:40em;margin:1.25rem 0 0}
.lead b{color:var(--ink);font-weight:600}
section{margin-top:4.5rem}
h2{font-size:1.5rem;letter-spacing:-.005em}
h3{font:600 1rem/1.3 var(--sans)}
p{margin:.6rem 0;max-width:40em}
.aside{color:var(--soft)}
.small,figcaption,th,td,.facts{font-family:var(--sans);font-variant-numeric:tabular-nums}
.small{font-size:.875rem;line-height:1.5;color:var(--muted)}
.warn{color:var(--warn)}
figure{margin:0;display:flex;flex-direction:column}
figure > svg{margin-top:auto}
figcaption{font-size:.9375rem;font-weight:600;line-height:1.35;margin-bottom:.5rem}
figcaption span{display:block;font-weight:400;font-size:.8125rem;line-height:1.45;color:var(--muted)}
svg{display:block;max-width:100%;height:auto}
svg *{stroke-linejoin:round}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,13.75rem),1fr));gap:1.75rem;
margin-top:1.25rem}
.pictures svg,.pair svg{width:100%}
figure text{paint-order:stroke;stroke:var(--paper);stroke-width:3px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:2.25rem 3rem;
margin-top:1.75rem}
.failed{border:1px dashed var(--line);border-radius:.375rem;padding:.75rem 1rem;color:var(--warn);
font:.875rem/1.5 var(--sans)}

.chain{margin:1.75rem auto 0;font-family:var(--sans)}
.chain.down{display:none}
.chain path{fill:none;stroke:var(--muted);stroke-width:1.75}
.chain path.data{stroke-width:1.25;stroke-dasharray:3 4;opacity:.75}
.chain rect{fill:var(--raised);stroke:var(--line);stroke-width:1}
.chain text{text-anchor:middle;stroke:none;fill:var(--muted);font-size:11px}
.chain text.name{fill:var(--ink);font-size:13.5px;font-weight:600}
.chain text.figure{fill:var(--soft);font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:1rem 0 0;max-width:none}
.key span::before{content:"";display:inline-block;width:1.75rem;margin-right:.5rem;vertical-align:.25em;
border-top:2px solid var(--muted)}
.key .data::before{border-top:1.5px dashed var(--muted)}

.wide{overflow-x:auto;margin-top:2.25rem}
.wide:focus-visible{outline:2px solid var(--hue-0);outline-offset:.25rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem;line-height:1.4}
th,td{text-align:right;padding:.6rem 0 .6rem 1rem;vertical-align:top;border-top:1px solid var(--line);font-weight:400}
tr > :first-child{text-align:left;padding-left:0}
th.text,td.text{text-align:left}
td code{color:var(--muted)}
thead :is(th,td){border-top:0}
thead th{font-weight:600;padding-bottom:.5rem;vertical-align:bottom}
tbody th{font-weight:600;min-width:8.5rem}
tbody tr:last-child > *{border-bottom:1px solid var(--line)}
th small,td small{display:block;font-size:.8125rem;color:var(--muted);font-weight:400}
th small{max-width:26em}
thead small{margin-left:auto}
.verdict.few{table-layout:fixed}
.verdict.few tr > :first-child{width:36%}
.dot::before{content:"";display:inline-block;width:.625rem;height:.625rem;border-radius:50%;background:currentColor;
margin-right:.4rem}
td.watch{color:var(--warn);font-weight:600}
td.watch::after{content:" ▾"}
td.watch small{color:inherit}
.surely-wins{font-weight:600;color:var(--ink)}
.surely-loses{font-weight:600;color:var(--soft)}
mark{background:var(--mark);color:inherit;border-radius:.15rem;padding:0 .1em;-webkit-print-color-adjust:exact;
print-color-adjust:exact}
h3.later{margin-top:2.75rem}
h3.later + .small + .wide{margin-top:1rem}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;max-width:none}

.prompt{border-top:1px solid var(--line);padding:1.5rem 0 1.75rem}
.prompt:last-child{border-bottom:1px solid var(--line)}
.prompt > p{font-size:1.0625rem;font-style:italic;margin:0 0 1rem;white-space:pre-wrap}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,13.5rem),1fr));gap:1.25rem 1.75rem}
.answer{contain:paint;min-width:0}
.answer h3{font:600 .8125rem/1.4 var(--sans);margin:0 0 .3rem;display:flex;justify-content:space-between;gap:1rem}
.answer h3 > span:last-child{color:var(--muted);font-weight:400;font-variant-numeric:tabular-nums}
.answer p{margin:0;font-size:1rem;line-height:1.5;white-space:pre-wrap;overflow-wrap:anywhere}
.answer .cut,.answer .none{font:.8125rem var(--sans);color:var(--muted);white-space:nowrap}

.stage{border-top:1px solid var(--line);padding:1.75rem 0 2.25rem}
.stage:first-of-type{margin-top:1.5rem}
.stage:not(:has(.pictures)){padding-bottom:1.75rem}
.stage h3 span{font-weight:400;color:var(--muted);margin-left:.5rem}
.facts{font-size:.875rem;line-height:1.6;color:var(--soft);margin:.35rem 0 0;max-width:none}
.facts b{font-weight:600;color:var(--ink)}
.facts.warn{color:var(--warn)}
.facts > span{white-space:nowrap;margin-right:1.25rem}

pre{font:.8125rem/1.6 var(--mono);background:var(--raised);border-radius:.375rem;padding:1rem 1.25rem;margin:1rem 0;
overflow-x:auto;
white-space:pre-wrap;overflow-wrap:anywhere;tab-size:2}
code{font:.875em var(--mono)}
details{margin-top:1.25rem}
summary{font:600 .9375rem/1.4 var(--sans);cursor:pointer;padding:.25rem 0}
footer{margin-top:4.5rem;padding-top:1.25rem;border-top:1px solid var(--line)}
.base{color:var(--muted)}
"""
CSS += "".join(
    f".hue-{number}{{color:var(--hue-{number})}}.hue-{number} rect{{stroke:var(--hue-{number});stroke-width:1.75}}"
    for number in range(8)
)
CSS += """
:lang(zh) :is(h1,h2){letter-spacing:0}
:lang(zh) .prompt > p{font-style:normal;color:var(--soft)}
@media (max-width:60rem){.chain.across{display:none}.chain.down{display:block}}
@media (max-width:34rem){
body{font-size:1rem}main{padding:2.5rem 1.125rem 3rem}section{margin-top:3.25rem}.lead{font-size:1.0625rem}
th,td{padding-left:.5rem}table{font-size:.8125rem}th small,td small{font-size:.75rem}tbody th{min-width:7rem}
thead .dot::before{display:block;margin:0 0 .25rem auto}
}
"""
CSS += f"""
@page{{margin:16mm 15mm}}
@media print{{
:root{{color-scheme:light;{LIGHT}--paper:#fff}}
html{{font-size:13px}}body{{font-size:10pt}}main{{padding:0;max-width:none}}section{{margin-top:9mm}}.lead{{font-size:11.5pt}}
h1{{font-size:22pt}}h2{{font-size:14pt}}
.chain.across{{display:block}}.chain.down{{display:none}}
h2,h3,.aside,.facts,figcaption,thead{{break-after:avoid}}figure,.prompt,tr,.chain,pre{{break-inside:avoid}}
.pictures{{grid-template-columns:repeat(3,1fr);gap:5mm}}.pair{{grid-template-columns:1fr 1fr;gap:8mm}}
.answers{{grid-template-columns:repeat(auto-fit,minmax(36mm,1fr))}}
.wide{{overflow:visible}}
summary{{list-style:none}}
}}
"""

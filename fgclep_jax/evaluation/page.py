"""Pieces of a self-contained HTML page: style, tables, pictures, safe text.

Pictures are embedded, nothing is fetched, every text from outside passes
`text`.
"""

import base64
import html

from fgclep_jax.evaluation.results import inert

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;
max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:.2rem}
h2{border-bottom:2px solid #1a1a1a;padding-bottom:.2rem;margin-top:2.5rem}
h3{margin:1.6rem 0 .4rem}
table{border-collapse:collapse;margin:.6rem 0;font-size:.9rem}
th,td{padding:.25rem .55rem;text-align:right;border-bottom:1px solid #ccc;
font-variant-numeric:tabular-nums;vertical-align:top;white-space:nowrap}
thead th{border-bottom:2px solid #1a1a1a;vertical-align:bottom;
white-space:normal}
th:first-child,td:first-child,td.text,.prompts th{text-align:left}
.prompts td.text{white-space:normal}
tr.own td{font-weight:600}tr.few td{color:#595959;font-style:italic}
figure{margin:1rem 0}figcaption,.note{font-size:.88rem;color:#444}
img{max-width:100%;height:auto}.wide{overflow-x:auto}
.notice{border:2px solid #1a1a1a;padding:.4rem .8rem;font-weight:600;
display:inline-block}
pre{background:#f4f4f4;padding:.8rem;overflow-x:auto;font-size:.8rem}
"""


def grid(head, rows):
  """A table: `head` and `rows` are HTML, cells and whole `<tr>`s."""
  cells = "</th><th>".join(head)
  return (
    f"<div class='wide'><table><thead><tr><th>{cells}</th></tr></thead>"
    f"<tbody>{''.join(rows)}</tbody></table></div>"
  )


def text(value):
  """Any value as HTML text that does nothing; None is a dash."""
  return html.escape(inert(value) if value is not None else "-")


def percent(value):
  """A share in [0, 1] times 100; None is a dash."""
  return "&ndash;" if value is None else f"{100 * value:.1f}"


def between(bounds):
  """(low, high) shares times 100; None is a dash."""
  if not bounds or bounds[0] is None:
    return "&ndash;"
  return f"{100 * bounds[0]:.1f}&ndash;{100 * bounds[1]:.1f}"


def paired(head, named):
  """A table of paired differences, empty where there are none.

  Args:
    head: title of the first column.
    named: (HTML, difference) pairs; a difference has `difference`, `ci95`
      and `share_not_above_zero`.
  """
  if not named:
    return ""
  rows = [
    f"<tr><td>{name}</td><td>{100 * found['difference']:+.1f}</td>"
    f"<td>{100 * found['ci95'][0]:+.1f} to {100 * found['ci95'][1]:+.1f}</td>"
    f"<td>{percent(found['share_not_above_zero'])}</td></tr>"
    for name, found in named
  ]
  return grid((head, "Points", "95 %", "Share &le; 0"), rows)


def picture(png, caption):
  """PNG bytes embedded; `caption` is plain text."""
  data = base64.b64encode(png).decode()
  return (
    f"<figure><img alt='{text(caption)}' src='data:image/png;base64,{data}'>"
    f"<figcaption>{text(caption)}</figcaption></figure>"
  )

"""What a judge found in outputs, as a page: clips to listen to, and the table."""

from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } audio { width: 14rem; height: 2rem; }
</style>
<h1>{{ title }}</h1>
<div class="scroll"><table><tr>{% if clips %}<th></th>{% endif %}
{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>
{% if clips %}<td><audio controls preload="none" src="{{ clips[loop.index0] }}"></audio></td>{% endif %}
{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
</html>
"""


def eval_page(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], clips: Sequence[str]) -> str:
    """The page; audio stays where it is.

    Args:
        title: What was judged.
        headings: Of the columns; underscores become spaces.
        rows: The lines of the table, as texts.
        clips: For each line the address of its clip; empty where lines are no clips.
    """
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
    return template.render(title=title, headings=[one.replace("_", " ") for one in headings], rows=rows, clips=clips)

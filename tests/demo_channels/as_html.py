"""The same as two pages to open in a browser: the channel with its cards, and each mail as its program shows it.

Everything that somebody wrote is escaped; a mail's own HTML stands in a frame that runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from html import escape
from typing import Any

from tests.demo_channels.as_text import author
from tests.fakes.slack import Message, SlackServer

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
article {{ margin: 0 0 1.25rem; padding-left: 1rem; border-left: 3px solid #8886 }}
article.card {{ border-left-color: #3b82f6 }} h2 {{ font-size: 1em; margin: 0 }} time {{ opacity: .6 }}
button {{ font: inherit; padding: .25em .9em; margin: .5em .5em 0 0; border: 1px solid #8888; border-radius: 6px }}
button.primary {{ background: #15803d; color: #fff }} button.danger {{ background: #b91c1c; color: #fff }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }} small {{ opacity: .75 }}
td {{ padding: 0 1em 0 0; vertical-align: top }}
iframe {{ width: 100%; height: 44rem; border: 1px solid #8886; border-radius: 8px }}
</style></head><body><h1>{title}</h1>
"""


def slack_page(slack: SlackServer, messages: Sequence[Message]) -> str:
    parts = [_HEAD.format(title=f"#{escape(slack.workspace.channel(messages[0].channel).name)}")]
    for message in messages:
        blocks = "".join(_html(slack, block) for block in message.blocks) or f"<p>{escape(message.text)}</p>"
        kind = ' class="card"' if slack.buttons_of(message) else ""
        parts.append(f"<article{kind}><h2>{escape(author(slack, message))}</h2>{blocks}</article>\n")
    return "".join([*parts, "</body></html>\n"])


def mail_page(mails: Sequence[EmailMessage]) -> str:
    parts = [_HEAD.format(title="Mail")]
    for mail in mails:
        html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
        rows = "".join(
            f"<tr><td>{name}</td><td>{escape(str(mail[name]))}</td></tr>" for name in ("From", "To", "Subject")
        )
        if html:
            content = escape(html.get_content(), quote=True)
            shown = f'<iframe sandbox srcdoc="{content}" title="{escape(str(mail["Subject"]), quote=True)}"></iframe>'
        else:
            shown = f"<pre>{escape(plain.get_content() if plain else '')}</pre>"
        parts.append(f"<article><table>{rows}</table>{shown}</article>\n")
    return "".join([*parts, "</body></html>\n"])


def _html(slack: SlackServer, node: Any) -> str:
    """One object of Block Kit. Of what it does not know it shows the parts."""
    if isinstance(node, list | tuple):
        return "".join(_html(slack, each) for each in node)
    if not isinstance(node, dict):
        return ""
    match node.get("type"):
        case "header":
            return f"<h2>{_html(slack, node['text'])}</h2>"
        case "divider":
            return "<hr>"
        case "context":
            return f"<p><small>{_html(slack, node['elements'])}</small></p>"
        case "section":
            return "".join(
                f"<p>{_html(slack, part)}</p>" for part in [node.get("text"), *node.get("fields", ())] if part
            )
        case "button":
            style = escape(str(node.get("style", "")), quote=True)
            return f'<button class="{style}">{_html(slack, node["text"])}</button>'
        case "rich_text_section":
            return f"<div>{_html(slack, node['elements'])}</div>"
        case "rich_text_list":
            return f"<ul>{''.join(f'<li>{_html(slack, item)}</li>' for item in node['elements'])}</ul>"
        case "rich_text_preformatted":
            return f"<pre>{_html(slack, node['elements'])}</pre>"
        case "rich_text_quote":
            return f"<blockquote>{_html(slack, node['elements'])}</blockquote>"
        case "table":
            rows = "".join(
                f"<tr>{''.join(f'<td>{_html(slack, cell)}</td>' for cell in row)}</tr>" for row in node["rows"]
            )
            return f"<table>{rows}</table>"
        case "link":
            return f'<a href="{escape(node["url"], quote=True)}">{escape(str(node.get("text", node["url"])))}</a>'
        case "user":
            return f"<b>@{escape(slack.workspace.user(node['user_id']).name)}</b>"
        case "channel":
            return f"<b>#{escape(slack.workspace.channel(node['channel_id']).name)}</b>"
        case "text" | "plain_text" | "mrkdwn" | "raw_text" | "markdown":
            return _styled(escape(str(node.get("text", ""))).replace("\n", "<br>"), node.get("style") or {})
        case _:
            return _html(slack, [value for value in node.values() if isinstance(value, dict | list | tuple)])


def _styled(text: str, style: Any) -> str:
    for name, tag in (("bold", "b"), ("italic", "i"), ("strike", "s"), ("code", "code")):
        if isinstance(style, dict) and style.get(name):
            text = f"<{tag}>{text}</{tag}>"
    return text

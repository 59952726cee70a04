"""Opens mails and pages in headless Chromium, at a given width and in light or dark, and measures what is drawn.

The document stands in a frame of that width on a page of ours, whose script measures it and writes what it found into
the page. The frame takes over whether the page around it is dark.
"""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
SECONDS_MAX = 60
FRAME_HEIGHT = 2_400

_MEASURE = """
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const doc = frame.contentDocument, view = frame.contentWindow;
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(view.getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of doc.body.querySelectorAll("*")) {
    const own = [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data).join("").trim();
    const box = node.getBoundingClientRect(), style = view.getComputedStyle(node);
    const [a, b] = [light(rgb(style.color)), light(behind(node))].sort((x, y) => y - x);
    const words = [];
    const walker = doc.createTreeWalker(node, 4);
    for (let text; (text = walker.nextNode()); ) {
      if (text.parentNode !== node) continue;
      for (const match of text.data.matchAll(/\\S+/g)) {
        const range = doc.createRange();
        range.setStart(text, match.index);
        range.setEnd(text, match.index + match[0].length);
        const rects = [...range.getClientRects()];
        if (new Set(rects.map((one) => Math.round(one.top))).size > 1) words.push(match[0]);
        for (const one of rects) if (one.right > view.innerWidth + 0.5) words.push("CUT " + match[0]);
      }
    }
    found.push({tag: node.tagName.toLowerCase(), kind: node.className, text: own, top: box.top, bottom: box.bottom,
      left: box.left, right: box.right, contrast: (a + 0.05) / (b + 0.05), colour: style.color,
      background: style.backgroundColor, broken: words});
  }
  const said = document.createElement("pre");
  said.id = "found";
  said.textContent = JSON.stringify({width: view.innerWidth, scrolls: doc.documentElement.scrollWidth, found});
  document.body.append(said);
});
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    tag: str
    kind: str
    text: str
    top: float
    bottom: float
    left: float
    right: float
    contrast: float
    """Of the text against what is behind it, as in WCAG."""
    colour: str
    background: str
    broken: tuple[str, ...]
    """Words on two lines; `CUT` before those that leave the window."""


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    scroll_width: int
    all: tuple[Drawn, ...]

    def one(self, text: str, kind: str = "") -> Drawn:
        [found] = [one for one in self.all if one.text == text and kind in one.kind]
        return found


def drawn(document: str, folder: Path, *, width: int, dark: bool) -> Picture:
    """`document` is HTML without scripts; `folder`: an empty one for files."""
    scheme = "dark" if dark else "light"
    around = (
        f'<!doctype html><html style="color-scheme:{scheme}"><meta charset="utf-8"><body style="margin:0">'
        f'<iframe style="border:0;width:{width}px;height:{FRAME_HEIGHT}px;color-scheme:{scheme}"'
        f' srcdoc="{html.escape(document)}"></iframe>'
        f"<script>{_MEASURE}</script></body></html>"
    )
    page = folder / f"{width}-{scheme}.html"
    page.write_text(around, encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"),
        *(f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{FRAME_HEIGHT}"),
        *(f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    said = html.unescape(done.stdout.partition('<pre id="found">')[2].partition("</pre>")[0])
    measured: dict[str, Any] = json.loads(said)
    boxes = ({**one, "broken": tuple(one["broken"])} for one in measured["found"])
    return Picture(measured["width"], measured["scrolls"], tuple(Drawn(**one) for one in boxes))

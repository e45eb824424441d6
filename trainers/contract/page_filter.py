"""The one script that a report's page may run: it filters the rows of a long table. Its digest lets no other run."""

import base64
import hashlib

FILTER = """
for (const box of document.querySelectorAll(".filtered")) {
  const rows = [...box.querySelectorAll("tr")].slice(1);
  const form = box.querySelector("form"), search = form.querySelector("input"), count = form.querySelector("output");
  const choices = [...form.querySelectorAll("select")];
  const apply = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = (one) => !one.value || row.cells[one.dataset.column].textContent === one.value;
      row.hidden = !(words.every((word) => text.includes(word)) && choices.every(fits));
      shown += !row.hidden;
    }
    count.value = `${shown} / ${rows.length}`;
  };
  for (const one of [search, ...choices]) one.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
"""
FILTER_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(FILTER.encode()).digest()).decode()}'"
"""As a Content-Security-Policy names it. Who serves the page must name it, too (`commands/webserver.py`)."""

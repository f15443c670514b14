"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const make = (tag, words, kind) => {
    const made = document.createElement(tag);
    if (words !== undefined) made.textContent = words;
    if (kind) made.className = kind;
    return made;
  };

  // Light or dark, whatever the system says.
  const theme = at("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // The table: one click sorts the better way round, the next one the other way, the third as it was.
  const table = at("results");
  const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const heads = [...table.tHead.rows[0].cells];
  const order = (column, descending) => (a, b) => {
    const x = a.cells[column].dataset.v, y = b.cells[column].dataset.v;
    if (x === "" || y === "") return (x === "") - (y === "");
    const number = x - y;
    const found = Number.isNaN(number) ? x.localeCompare(y, "en", { numeric: true }) : number;
    return descending ? -found : found;
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const ways = head.dataset.first === "desc" ? ["descending", "ascending"] : ["ascending", "descending"];
    const now = head.getAttribute("aria-sort");
    const next = now === null ? ways[0] : now === ways[0] ? ways[1] : null;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    if (next) head.setAttribute("aria-sort", next);
    table.classList.toggle("sorted", Boolean(next));
    for (const [body, rows] of bodies) {
      const group = rows.filter((row) => row.classList.contains("group"));
      const models = rows.filter((row) => !row.classList.contains("group"));
      if (next) models.sort(order(column, next === "descending"));
      body.append(...group, ...models);
    }
  }));
  const models = at("models");
  if (models) {
    models.parentElement.hidden = false;
    models.addEventListener("input", () => {
      const wanted = models.value.trim().toLowerCase();
      for (const row of table.querySelectorAll("tbody tr:not(.group)"))
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // The answers: one prompt at a time is drawn, so thousands cost nothing.
  const source = at("data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const [TEXT, FAILURE, CUT, SCORES] = [0, 1, 2, 3];
  const prompts = data.prompts.map(([number, question, expected, answers]) => ({ number, question, expected, answers }));
  const PAGE = 40;
  const chosen = new Set(data.first);
  let shown = [], place = 0;

  const score = (prompt, model, metric) => prompt.answers[model]?.[SCORES][metric] ?? null;
  const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
  const judged = () => {
    const tuned = [...chosen].filter((model) => data.models[model].tuned);
    return tuned.length ? tuned : [...chosen];
  };
  const level = (prompt, metric) =>
    mean(judged().map((model) => score(prompt, model, metric)).filter((value) => value !== null));
  const gains = (prompt, metric) => judged().flatMap((model) => {
    const base = data.models[model].base;
    const now = score(prompt, model, metric), then = base === null ? null : score(prompt, base, metric);
    return now === null || then === null ? [] : [(now - then) * (data.metrics[metric].sign || 1)];
  });
  // The smallest comes first; where two are equal the other metrics decide.
  const keys = {
    number: (prompt) => prompt.number,
    worst: (prompt, metric) => {
      if (judged().some((model) => prompt.answers[model]?.[FAILURE])) return -Infinity;
      const found = level(prompt, metric);
      return found === null ? Infinity : found * (data.metrics[metric].sign || 1);
    },
    changed: (prompt, metric) => -(mean(gains(prompt, metric).map(Math.abs)) ?? -Infinity),
    worsened: (prompt, metric) => mean(gains(prompt, metric)) ?? Infinity,
    improved: (prompt, metric) => -(mean(gains(prompt, metric)) ?? -Infinity),
  };
  const matches = (prompt, wanted) => !wanted
    || [prompt.expected, ...prompt.question.map((turn) => turn[1]),
        ...[...chosen].map((model) => prompt.answers[model]?.[TEXT] ?? "")]
      .some((text) => text.toLowerCase().includes(wanted));

  const rank = () => {
    const wanted = at("search").value.trim().toLowerCase();
    const key = keys[at("order").value], metric = Number(at("metric").value) || 0;
    const others = data.metrics.map((_, i) => i).filter((i) => i !== metric && data.metrics[i].sign);
    const ranked = prompts.filter((prompt) => matches(prompt, wanted))
      .map((prompt) => [[metric, ...others].map((i) => key(prompt, i)), prompt]);
    ranked.sort(([a, first], [b, second]) => {
      for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
      return first.number - second.number;
    });
    shown = ranked.map(([, prompt]) => prompt);
    go(0);
  };

  const marked = (words, kind) => {
    const made = make("p", undefined, kind);
    const wanted = at("search").value.trim().toLowerCase(), lower = words.toLowerCase();
    // Some signs change their length with their case; then nothing is marked.
    if (!wanted || lower.length !== words.length) { made.textContent = words; return made; }
    let from = 0;
    for (let found = lower.indexOf(wanted); found >= 0; found = lower.indexOf(wanted, from)) {
      made.append(words.slice(from, found), make("mark", words.slice(found, found + wanted.length)));
      from = found + wanted.length;
    }
    made.append(words.slice(from));
    return made;
  };

  const told = (metric, value) => metric.yes ? (value ? "yes" : "no") : value.toFixed(metric.places);
  const chips = (prompt, model) => {
    const row = make("div", undefined, "chips"), base = data.models[model].base;
    data.metrics.forEach((metric, i) => {
      const value = score(prompt, model, i);
      if (value === null) return;
      const chip = make("span", `${metric.label} ${told(metric, value)}`);
      const then = base === null ? null : score(prompt, base, i);
      if (then !== null && then !== value) {
        const gain = value - then;
        const kind = metric.sign ? (gain * metric.sign > 0 ? "up" : "down") : "";
        const size = metric.yes ? "" : ` ${Math.abs(gain).toFixed(metric.places)}`;
        const sign = make("b", ` ${gain > 0 ? "▲" : "▼"}${size}`, kind);
        sign.title = `base: ${told(metric, then)}`;
        chip.append(sign);
      }
      row.append(chip);
    });
    return row;
  };
  const card = (prompt, model) => {
    const { label, tuned } = data.models[model], answer = prompt.answers[model];
    const made = make("div", undefined, `card ${tuned ? "tuned" : "base"}`);
    made.append(make("h3", label));
    if (!answer) made.append(make("p", "not asked", "none"));
    else if (answer[FAILURE]) made.append(make("p", `no answer: ${answer[FAILURE]}`, "failure words"));
    else {
      made.append(answer[TEXT].trim() ? marked(answer[TEXT], "words") : make("p", "(empty)", "none"));
      const row = chips(prompt, model);
      if (answer[CUT]) row.append(make("span", "cut at the token limit", "down"));
      made.append(row);
    }
    return made;
  };
  const read = (prompt) => {
    const made = [];
    for (const [role, words] of prompt.question) {
      const turn = make("div", undefined, `turn ${["system", "developer"].includes(role) ? role : ""}`);
      if (prompt.question.length > 1) turn.append(make("span", role, "role"));
      turn.append(marked(words, "words question"));
      made.push(turn);
    }
    if (prompt.expected) {
      const expected = make("div", undefined, "card expected");
      expected.append(make("h3", "expected"), marked(prompt.expected, "words"));
      made.push(expected);
    }
    const answers = make("div", undefined, "answers");
    answers.append(...data.models.map((_, i) => i).filter((i) => chosen.has(i)).map((i) => card(prompt, i)));
    return [...made, answers];
  };

  const go = (to) => {
    place = Math.max(0, Math.min(to, shown.length - 1));
    const prompt = shown[place], metric = Number(at("metric").value) || 0;
    at("prompt").replaceChildren(...(prompt ? read(prompt) : [make("p", "no prompt holds these words", "none")]));
    at("place").textContent = prompt ? `${place + 1} of ${shown.length} · row ${prompt.number}` : "";
    at("previous").disabled = place === 0;
    at("next").disabled = place >= shown.length - 1;
    const page = Math.floor(place / PAGE), start = page * PAGE;
    at("index").replaceChildren(...shown.slice(start, start + PAGE).map((each, i) => {
      const item = make("li"), button = make("button"), value = level(each, metric);
      button.type = "button";
      const asked = each.question.length ? each.question[each.question.length - 1][1] : "";
      const known = data.metrics[metric];
      const number = value === null || !known ? "" : known.yes ? `${Math.round(100 * value)} %` : told(known, value);
      button.append(make("i", `${each.number}`), make("span", asked), make("i", number));
      if (start + i === place) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => go(start + i));
      item.append(button);
      return item;
    }));
    // Within the list only: the page stays where its reader is.
    const list = at("index"), current = list.querySelector("[aria-current]")?.parentElement;
    if (current) {
      const above = current.offsetTop - list.offsetTop - list.scrollTop;
      if (above < 0) list.scrollTop += above;
      else list.scrollTop += Math.max(0, above + current.offsetHeight - list.clientHeight);
    }
    at("pages").textContent = shown.length ? `${start + 1}–${Math.min(start + PAGE, shown.length)}` : "";
    at("earlier").disabled = page === 0;
    at("later").disabled = start + PAGE >= shown.length;
  };
  const step = (by) => {
    go(place + by);
    const box = at("browser").getBoundingClientRect();
    if (box.bottom < 80 || box.top > innerHeight - 80) at("answers").scrollIntoView();
  };

  data.metrics.forEach((metric, i) => {
    const option = make("option", metric.label);
    option.value = i;
    at("metric").append(option);
  });
  const choices = at("chooser").querySelector(".choices"), summary = at("chooser").firstElementChild;
  const count = () => { summary.textContent = `models: ${chosen.size} of ${data.models.length}`; };
  data.models.forEach((model, i) => {
    const label = make("label"), box = make("input");
    box.type = "checkbox";
    box.checked = chosen.has(i);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(i); else chosen.delete(i);
      count();
      rank();
    });
    label.append(box, make("span", model.label));
    choices.append(label);
  });
  count();
  document.addEventListener("click", (event) => {
    if (!at("chooser").contains(event.target)) at("chooser").open = false;
  });
  for (const id of ["order", "metric"]) at(id).addEventListener("change", rank);
  at("search").addEventListener("input", rank);
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("earlier").addEventListener("click", () => go((Math.floor(place / PAGE) - 1) * PAGE));
  at("later").addEventListener("click", () => go((Math.floor(place / PAGE) + 1) * PAGE));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
      // The browser would empty the field.
      if (event.key === "Escape") { event.preventDefault(); event.target.blur(); }
      return;
    }
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") { event.preventDefault(); at("search").focus(); }
  });
  if (!data.metrics.length) at("metric").parentElement.hidden = true;
  at("browser").hidden = false;
  rank();
})();

// One voter's page. Text of models is only ever set as text; the server decides what is shown and keeps every vote.
"use strict";

const part = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("button")];
const home = location.pathname.replace(/\/+$/, "");
const keys = { "1": "1", "2": "2", "=": "tie", t: "tie", s: "skip" };

let state = null;
let busy = false;
let began = 0;
let away = 0;
let left = null;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    left = performance.now();
  } else if (left !== null) {
    away += performance.now() - left;
    left = null;
  }
});

async function ask(path, body) {
  const options = body === undefined
    ? {}
    : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(home + path, { ...options, cache: "no-store", credentials: "omit" });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(data.error ? data.error.message : "The server answered with an error.");
  }
  return data;
}

async function change(path, body, chosen) {
  if (busy) {
    return;
  }
  busy = true;
  enable();
  chosen?.classList.add("chosen");
  try {
    show(await ask(path, body));
  } catch (error) {
    const lost = error instanceof TypeError;
    tell(lost ? "The server cannot be reached. Nothing is lost: try again when it is back." : error.message, true);
  } finally {
    busy = false;
    chosen?.classList.remove("chosen");
    enable();
  }
}

function vote(choice) {
  if (state?.item) {
    const ms = Math.max(0, Math.round(performance.now() - began - away));
    const chosen = buttons.find((button) => button.dataset.choice === choice);
    return change("/vote", { item: state.item.id, choice, ms }, chosen);
  }
}

function undo() {
  if (state?.last) {
    return change("/undo", { vote: state.last }, part("undo"));
  }
}

function enable() {
  for (const button of buttons) {
    button.disabled = busy || (button.id === "undo" ? !state?.last : !state?.item);
  }
}

function tell(text, warning) {
  part("news").textContent = text;
  part("news").classList.toggle("shown", Boolean(warning));
}

function show(next) {
  const back = state !== null && next.done < state.done;
  state = next;
  part("criterion").textContent = next.criterion;
  part("bar").max = Math.max(1, next.total);
  part("bar").value = next.done;
  part("vote").hidden = next.item === null;
  part("thanks").hidden = next.item !== null;
  part("choices").hidden = false;
  for (const button of buttons) {
    button.hidden = next.item === null && button.id !== "undo";
  }
  if (next.item) {
    lay(next.item);
  } else {
    part("total").textContent = next.total === 1 ? "You have seen the question." : `You have seen all ${next.total} questions.`;
  }
  part("asked").textContent = `Question ${next.done + 1} of ${next.total}`;
  tell(next.heard ? (back ? "Taken back." : "") : "That was settled already, perhaps in another window.", !next.heard);
  began = performance.now();
  away = 0;
  left = document.hidden ? began : null;
  scrollTo(0, 0);
  part(next.item ? "asked" : "done").focus({ preventScroll: true });
}

function lay(item) {
  part("question").replaceChildren(...item.question.map((turn) => spoken(turn, item.question.length > 1)));
  part("first").textContent = item.answers[0];
  part("second").textContent = item.answers[1];
  part("expected").hidden = item.expected === null;
  part("good").textContent = item.expected ?? "";
}

function spoken(turn, several) {
  const block = document.createElement("div");
  block.className = `turn ${turn.role === "user" ? "user" : "assistant"}`;
  if (several) {
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = turn.role === "user" ? "Question" : "Answer before";
    block.append(who);
  }
  const text = document.createElement("p");
  text.className = "text";
  text.dir = "auto";
  text.textContent = turn.text;
  block.append(text);
  return block;
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
    return;
  }
  const key = event.key.toLowerCase();
  if (key === "u") {
    event.preventDefault();
    undo();
  } else if (Object.hasOwn(keys, key)) {
    event.preventDefault();
    vote(keys[key]);
  }
});

for (const button of buttons) {
  button.addEventListener("click", () => (button.id === "undo" ? undo() : vote(button.dataset.choice)));
}

change("/state");

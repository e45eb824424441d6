// The chat page: one question to each model that is served, their answers as they come, side by side.
"use strict";

const REASONS = {
  stop: ["it ended its turn", "스스로 끝냄"],
  length: ["cut at the most tokens", "최대 토큰에서 잘림"],
  stopped: ["stopped by you", "사용자가 멈춤"],
};
const byId = (id) => document.getElementById(id);
const models = [];
let running = null;

/** A text in both languages; the style sheet shows the one that is chosen. */
function inBoth(target, english, korean) {
  const spans = [["en", english], ["ko", korean]].map(([lang, text]) => {
    const span = document.createElement("span");
    span.lang = lang;
    span.textContent = text;
    return span;
  });
  target.replaceChildren(...spans);
}

function turn(model, role, text) {
  const line = document.createElement("p");
  line.className = role;
  line.textContent = text;
  model.turns.append(line);
  model.turns.scrollTop = model.turns.scrollHeight;
  return line;
}

function fail(model, why) {
  model.outcome.className = "outcome bad";
  inBoth(model.outcome, why, why);
}

async function asked(path, body, signal) {
  const response = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  });
  if (!response.ok) {
    const told = await response.text();
    let why = told;
    try { why = JSON.parse(told).error.message ?? told; } catch { /* a server's own words */ }
    throw new Error(`${response.status}: ${why}`);
  }
  return response;
}

/** The JSON of each event of a stream, as it comes. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function showPrompt(model) {
  const answer = await (await asked("prompt", { model: model.id, messages: model.messages })).json();
  model.prompt.textContent = answer.prompt ?? answer.error;
}

function tellOutcome(model, reason, tokens, seconds, first) {
  const [english, korean] = REASONS[reason] ?? [reason, reason];
  const speed = (tokens / seconds).toFixed(1);
  model.outcome.className = "outcome";
  inBoth(
    model.outcome,
    `${english} (${reason}) · ${tokens} tokens · ${speed} tokens/s · first after ${first.toFixed(2)} s`,
    `${korean} (${reason}) · ${tokens}토큰 · 초당 ${speed}토큰 · 첫 토큰까지 ${first.toFixed(2)}초`,
  );
}

async function answer(model, question, signal) {
  model.messages.push({ role: "user", content: question });
  turn(model, "user", question);
  const prompt = showPrompt(model).catch((error) => { model.prompt.textContent = String(error.message); });
  const line = turn(model, "assistant", "");
  const begun = performance.now();
  let text = "", reason = null, usage = null, pieces = 0, first = null;
  try {
    const response = await asked("v1/chat/completions", {
      model: model.id,
      messages: model.messages,
      max_tokens: Number(byId("tokens").value),
      temperature: Number(byId("temperature").value),
      stream: true,
      stream_options: { include_usage: true },
    }, signal);
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message ?? event.error);
      const choice = event.choices?.[0];
      const piece = choice?.delta?.content ?? "";
      if (piece) {
        first ??= (performance.now() - begun) / 1000;
        pieces += 1;
        text += piece;
        line.textContent = text;
        model.turns.scrollTop = model.turns.scrollHeight;
      }
      reason = choice?.finish_reason ?? reason;
      usage = event.usage ?? usage;
    }
    if (reason === null) throw new Error("the answer broke off: the server's log says why");
  } catch (error) {
    if (error.name === "AbortError") reason = "stopped";
    else fail(model, error.message);
  }
  const seconds = (performance.now() - begun) / 1000;
  if (reason !== null) tellOutcome(model, reason, usage?.completion_tokens ?? pieces, seconds, first ?? seconds);
  if (text) model.messages.push({ role: "assistant", content: text });
  else model.messages.pop();
  await prompt;
}

async function send(event) {
  event.preventDefault();
  const question = byId("question").value.trim();
  if (!question || running) return;
  running = new AbortController();
  byId("send").disabled = true;
  byId("stop").disabled = false;
  byId("question").value = "";
  await Promise.all(models.map((model) => answer(model, question, running.signal)));
  running = null;
  byId("send").disabled = false;
  byId("stop").disabled = true;
  byId("question").focus();
}

function clear() {
  running?.abort();
  for (const model of models) {
    model.messages = [];
    for (const part of [model.turns, model.outcome, model.prompt]) part.replaceChildren();
  }
}

async function begin() {
  const about = await (await fetch("chat.json")).json();
  byId("tokens").max = about["most tokens"];
  for (const { id, words } of about.models) {
    const shown = byId("model").content.cloneNode(true);
    const [title, turns, outcome, prompt] = ["h2", ".turns", ".outcome", "pre"].map((one) => shown.querySelector(one));
    title.textContent = words;
    turns.ariaLabel = words;
    models.push({ id, messages: [], turns, outcome, prompt });
    byId("models").append(shown);
  }
  byId("ask").addEventListener("submit", send);
  byId("stop").addEventListener("click", () => running?.abort());
  byId("clear").addEventListener("click", clear);
  byId("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) byId("ask").requestSubmit();
  });
}

begin();

// Shows openapi.json, and sends requests that are written here. All text goes through `textContent`.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const MOST_SHOWN = 500000; // characters of an answer
const SHOWN_HEADERS = /^(content-type|retry-after|x-request-id|x-llmproxy-.*|x-cache)$/;
const base = new URL(".", location.href);
const keys = {}; // by the name of the security scheme; kept nowhere
let api;

function make(tag, options = {}, ...children) {
  const { text, on = {}, ...rest } = options;
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(rest)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, handler] of Object.entries(on)) element.addEventListener(name, handler);
  element.append(...children);
  return element;
}

const find = (id) => document.getElementById(id);

async function load() {
  const headers = keys.adminKey ? { Authorization: `Bearer ${keys.adminKey}` } : {};
  const state = make("p", { id: "state", role: "status", text: "Loading ..." });
  find("operations").replaceChildren(state);
  try {
    const answer = await fetch(new URL("openapi.json", base), { headers });
    if (answer.status === 401 || answer.status === 403) return askForKey(await answer.json());
    if (!answer.ok) throw new Error(`openapi.json answers ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    state.textContent = `The description cannot be loaded: ${error.message}`;
    return;
  }
  show();
}

function askForKey(body) {
  const input = make("input", { type: "password", "aria-label": "Admin key", placeholder: "Admin key", autocomplete: "off" });
  const form = make("form", { class: "row" }, input, make("button", { class: "send", text: "Show" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keys.adminKey = input.value.trim();
    load();
  });
  const message = body.error?.message ?? body.detail ?? "This page needs the admin key";
  find("operations").replaceChildren(make("p", { id: "state", role: "status", text: message }), form);
  input.focus();
}

function show() {
  find("version").textContent = api.info.version;
  showKeys();
  const groups = grouped();
  const main = find("operations");
  main.replaceChildren(about(api.info.description));
  find("tags").replaceChildren();
  for (const [tag, rows] of groups) {
    const id = `tag-${tag}`;
    const link = make("a", { href: `#${id}` }, tag, make("span", { text: rows.length }));
    const section = make("section", {}, make("h2", { id, text: tag }), ...rows.map(row));
    find("tags").append(link);
    main.append(section);
    section.link = link;
  }
  filter();
}

// The little of Markdown that descriptions have: list items, and code between backticks.
function about(text) {
  const list = make("ul");
  for (const line of text.split("\n").filter((each) => each.startsWith("* "))) {
    const parts = line.slice(2).split("`");
    list.append(make("li", {}, ...parts.map((part, index) => (index % 2 ? make("code", { text: part }) : part))));
  }
  return make("div", { class: "about" }, make("p", { text: text.split("\n")[0] }), list);
}

function showKeys() {
  const labels = { clientKey: "Client key", adminKey: "Admin key", authorization: "Authorization key" };
  const inputs = Object.entries(labels).filter(([name]) => name in (api.components.securitySchemes ?? {}));
  find("keys").replaceChildren(
    ...inputs.map(([name, label]) => {
      const input = make("input", { type: "password", placeholder: label, "aria-label": label, autocomplete: "off" });
      input.value = keys[name] ?? "";
      input.addEventListener("input", () => {
        keys[name] = input.value.trim();
        document.dispatchEvent(new Event("keychange"));
      });
      return input;
    }),
  );
}

// Rows by tag: the methods of one path that say the same are one row.
function grouped() {
  const groups = new Map(api.tags.map(({ name }) => [name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    const rows = new Map();
    for (const method of METHODS.filter((each) => each in item)) {
      const operation = item[method];
      const key = `${operation.tags[0]} ${operation.summary}`;
      if (!rows.has(key)) rows.set(key, { path, operations: {} });
      rows.get(key).operations[method] = operation;
    }
    for (const each of rows.values()) groups.get(Object.values(each.operations)[0].tags[0]).push(each);
  }
  return [...groups].filter(([, rows]) => rows.length);
}

function row({ path, operations }) {
  const first = Object.values(operations)[0];
  const badges = Object.keys(operations).map((each) => make("span", { class: `method ${each}`, text: each.toUpperCase() }));
  const head = make(
    "summary",
    {},
    make("span", { class: "methods" }, ...badges),
    make("span", { class: "path", text: path }),
    make("span", { class: "what", text: first.summary }),
  );
  const details = make("details", {}, head);
  details.dataset.words = `${path} ${first.summary} ${first.tags[0]} ${Object.keys(operations).join(" ")}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(inside(path, operations));
  });
  return details;
}

function inside(path, operations) {
  const box = make("div", { class: "inside" });
  const methods = Object.keys(operations);
  const choice = make("select", { "aria-label": "Method" }, ...methods.map((each) => make("option", { value: each, text: each.toUpperCase() })));
  const form = make("div");
  const draw = () => form.replaceChildren(...tryIt(path, choice.value, operations[choice.value]));
  choice.addEventListener("change", draw);
  if (methods.length > 1) box.append(make("div", { class: "row" }, choice));
  box.append(form);
  draw();
  return box;
}

function tryIt(path, method, operation) {
  const inputs = new Map();
  const parts = [];
  if (operation.description) parts.push(make("p", { text: operation.description }));
  if (operation.parameters?.length) {
    parts.push(make("h3", { text: "Parameters" }), ...operation.parameters.map((each) => field(each, inputs)));
  }
  const type = operation.requestBody && Object.keys(operation.requestBody.content)[0];
  const media = type && operation.requestBody.content[type];
  const body = media && make("textarea", { spellcheck: "false", "aria-label": "Body" });
  if (media) {
    body.value = media.example === undefined ? "" : JSON.stringify(media.example, null, 2);
    const schema = outline(media.schema);
    const left = make("div", {}, make("h3", { text: `Body (${type === "*/*" ? "any type" : type})` }), body);
    const right = make("div", {}, make("h3", { text: "Schema" }), make("pre", { text: schema }));
    parts.push(schema ? make("div", { class: "two" }, left, right) : left);
  }
  parts.push(make("h3", { text: "Answers" }), responses(operation.responses));

  const curl = make("pre");
  const result = make("div", { "aria-live": "polite" });
  const request = () => written(path, method, operation, inputs, body, type === "*/*" ? "application/json" : type);
  const update = () => (curl.textContent = asCurl(request()));
  document.addEventListener("keychange", update);
  for (const each of [...inputs.values(), ...(body ? [body] : [])]) each.addEventListener("input", update);
  update();
  const copy = make("button", { type: "button", text: "Copy", on: { click: () => copyText(curl, copy) } });
  const send = make("button", { type: "button", class: "send", text: "Send" });
  const stop = make("button", { type: "button", text: "Stop", hidden: true });
  send.addEventListener("click", () => perform(request(), result, send, stop));
  parts.push(make("h3", { text: "Try it" }), curl, make("div", { class: "row" }, send, stop, copy), result);
  return parts;
}

function field(parameter, inputs) {
  const { name, schema = {}, required, description } = parameter;
  const label = `${name}${required ? " (required)" : ""}`;
  const choices = schema.enum && ["", ...schema.enum];
  const input = choices
    ? make("select", { "aria-label": name }, ...choices.map((each) => make("option", { value: each, text: each || "-" })))
    : make("input", { "aria-label": name, placeholder: schema.type ?? "", autocomplete: "off" });
  inputs.set(parameter, input);
  return make("label", { class: "field" }, make("code", { text: label }), input, ...(description ? [make("small", { text: description })] : []));
}

function responses(all) {
  const rows = Object.entries(all).map(([status, { description, content }]) => {
    const types = Object.keys(content ?? {}).join(", ");
    return make("li", {}, make("code", { text: status }), `${description}${types ? ` (${types})` : ""}`);
  });
  return make("ul", { class: "responses" }, ...rows);
}

// A schema in short: a line for each member.
function outline(schema, depth = 0) {
  const members = Object.entries(schema.properties ?? {});
  return members
    .map(([name, member]) => {
      const needed = schema.required?.includes(name) ? "" : "?";
      const type = member.enum ? member.enum.map((each) => JSON.stringify(each)).join(" | ") : [member.type ?? "any"].flat().join(" | ");
      const inner = outline(member.type === "array" ? (member.items ?? {}) : member, depth + 1);
      const note = member.description ? `  // ${member.description}` : "";
      return `${"  ".repeat(depth)}${name}${needed}: ${type}${note}${inner ? `\n${inner}` : ""}`;
    })
    .join("\n");
}

function written(path, method, operation, inputs, body, type) {
  const query = new URLSearchParams();
  let target = path.slice(1);
  for (const [parameter, input] of inputs) {
    const value = input.value;
    if (parameter.in === "query") {
      if (value) query.set(parameter.name, value);
    } else if (value) {
      const escaped = parameter.name === "path" ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value);
      target = target.replace(`{${parameter.name}}`, () => escaped);
    }
  }
  const url = new URL(target.replaceAll("{", "%7B").replaceAll("}", "%7D"), base);
  url.search = query.toString();
  const headers = {};
  const security = operation.security ?? [];
  const needed = security.length > 0 && security.every((each) => Object.keys(each).length);
  const scheme = security.flatMap((each) => Object.keys(each)).find((each) => keys[each]);
  if (scheme || needed) headers.Authorization = `Bearer ${keys[scheme] ?? ""}`;
  const content = body?.value;
  if (content) headers["Content-Type"] = type;
  return { url: url.href, method: method.toUpperCase(), headers, body: content || undefined };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function asCurl({ url, method, headers, body }) {
  const parts = [`curl ${method === "GET" ? "" : `-X ${method} `}${quoted(url)}`];
  for (const [name, value] of Object.entries(headers)) {
    parts.push(`-H ${quoted(`${name}: ${name === "Authorization" ? "Bearer $KEY" : value}`)}`.replace("'Authorization: Bearer $KEY'", '"Authorization: Bearer $KEY"'));
  }
  if (body) parts.push(`-d ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

async function copyText(from, button) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from); // without https there is no clipboard
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

async function perform(request, result, send, stop) {
  const control = new AbortController();
  const status = make("span", { text: "Waiting ..." });
  const output = make("pre");
  result.replaceChildren(make("div", { class: "row" }, status), output);
  send.disabled = true;
  stop.hidden = false;
  stop.onclick = () => control.abort();
  const began = performance.now();
  try {
    const { url, ...rest } = request;
    const answer = await fetch(url, { ...rest, signal: control.signal, redirect: "manual" });
    const headers = [...answer.headers].filter(([name]) => SHOWN_HEADERS.test(name)).map((each) => each.join(": "));
    status.className = answer.ok ? "good" : "bad";
    status.textContent = `${answer.status} ${answer.statusText}`;
    status.after(make("span", { class: "path", text: headers.join("  ") }));
    await showBody(answer, output);
    status.textContent += `, ${Math.round(performance.now() - began)} ms`;
  } catch (error) {
    status.className = "bad";
    status.textContent = control.signal.aborted ? "Stopped" : `No answer: ${error.message}`;
  } finally {
    send.disabled = false;
    stop.hidden = true;
  }
}

async function showBody(answer, output) {
  const type = answer.headers.get("content-type") ?? "";
  if (!/json|text|xml/.test(type)) {
    const size = (await answer.arrayBuffer()).byteLength;
    output.textContent = size ? `${size} bytes of ${type || "unknown type"}` : "";
    return;
  }
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let part = await reader.read(); !part.done && text.length < MOST_SHOWN; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true });
    output.textContent = text;
  }
  reader.cancel();
  if (/json/.test(type)) {
    try {
      output.textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      output.textContent = text;
    }
  }
}

function filter() {
  const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("main section")) {
    let shown = 0;
    for (const each of section.querySelectorAll("details")) {
      each.hidden = !words.every((word) => each.dataset.words.includes(word));
      shown += !each.hidden;
    }
    section.hidden = section.link.hidden = !shown;
    section.link.lastChild.textContent = shown;
  }
}

find("filter").addEventListener("input", filter);
find("keys").addEventListener("submit", (event) => event.preventDefault());
load();

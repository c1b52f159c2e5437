"use strict";
function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

function kind(schema) {
  const one = schema.anyOf ? schema.anyOf[0] : schema;
  const item = one.items && one.items.$ref ? ` of ${one.items.$ref.split("/").pop()}` : "";
  const values = one.enum ? one.enum.join(", ") : one.const || (one.$ref ? one.$ref.split("/").pop() : (one.type || "") + item);
  return values + (schema.default === undefined || schema.default === "" ? "" : `; ${JSON.stringify(schema.default)} unless given`);
}

function table(head, rows) {
  const cells = (name, row) => element("tr", "", ...row.map((text) => element(name, text)));
  return element("table", "", cells("th", head), ...rows.map((row) => cells("td", row)));
}

function described(method, path, one, schemas) {
  const made = element("section", "", element("h2", `${method.toUpperCase()} ${path}`), element("p", one.description || one.summary));
  const given = (one.parameters || []).map((p) => [p.name, kind(p.schema), (p.description || p.schema.description || "") + (p.required ? " (needed)" : "")]);
  if (one.requestBody) given.push(["body", Object.keys(one.requestBody.content)[0], one.requestBody.description]);
  if (given.length) made.append(table(["parameter", "value", "what it is"], given));
  const answer = one.responses["200"].content || {};
  const name = answer["application/json"]?.schema.$ref?.split("/").pop();
  made.append(element("p", `Answers ${name || Object.keys(answer).join(", ")}.`));
  if (name) {
    const fields = Object.entries(schemas[name].properties || {});
    made.append(table(["field", "value", "what it is"], fields.map(([field, s]) => [field, kind(s), s.description || ""])));
  }
  return made;
}

fetch("openapi.json").then((response) => response.json()).then((api) => {
  const parts = api.info.description.split("`").map((part, n) => element(n % 2 ? "code" : "span", part));
  document.getElementById("about").append(...parts);
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      document.getElementById("paths").append(described(method, path, one, api.components.schemas));
    }
  }
});

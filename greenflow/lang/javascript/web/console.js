// What console has beside the plain methods of realm.js (Console Standard): formats, groups, counts,
// times, tables. Every line goes through realm.js's, which counts them.
((library) => {
  "use strict";
  const { console, hidden, print, show } = library;
  const INDENT = "  ";

  // Each call has groups, counts and times of its own.
  const mine = () => {
    const kept = library.kept();
    return (kept.console ??= { indent: "", counts: new Map(), times: new Map() });
  };

  const written = (value, kind) => {
    if (kind === "s") return typeof value === "symbol" || typeof value !== "object" ? String(value) : show(value);
    if (kind === "d" || kind === "i") {
      if (typeof value === "bigint") return `${value}n`;
      if (typeof value === "symbol" || typeof value === "object") return "NaN";
      return `${kind === "d" ? Number(value) : parseInt(value, 10)}`;
    }
    if (kind === "f") return typeof value === "symbol" ? "NaN" : `${parseFloat(value)}`;
    return kind === "c" ? "" : show(value);
  };
  const formatted = (values) => {
    if (values.length < 2 || typeof values[0] !== "string") return values;
    let used = 1;
    const first = values[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
      if (kind === "%") return "%";
      return used < values.length ? written(values[used++], kind) : whole;
    });
    return [first, ...values.slice(used)];
  };
  const log = (...values) => {
    const made = formatted(values);
    const { indent } = mine();
    if (indent === "") print(...made);
    else print(indent + made.map(show).join(" ").replaceAll("\n", `\n${indent}`));
  };
  const group = (...values) => {
    if (values.length > 0) log(...values);
    mine().indent += INDENT;
  };

  const elapsed = (label) => `${label}: ${Date.now() - mine().times.get(label)}ms`;
  const table = (data, columns = undefined) => {
    if (typeof data !== "object" || data === null) return log(data);
    const rows = data instanceof Map ? [...data] : Object.entries(data);
    const isRow = (it) => typeof it === "object" && it !== null;
    const names = columns ?? [...new Set(rows.flatMap(([, it]) => (isRow(it) ? Object.keys(it) : [])))];
    const hasValues = rows.some(([, it]) => !isRow(it));
    const cell = (it) => (typeof it === "string" ? `'${it}'` : show(it));
    const lines = rows.map(([key, it]) => [
      `${key}`, ...names.map((name) => (isRow(it) && Object.hasOwn(it, name) ? cell(it[name]) : "")),
      ...(hasValues ? [isRow(it) ? "" : cell(it)] : []),
    ]);
    lines.unshift(["(index)", ...names.map(String), ...(hasValues ? ["Values"] : [])]);
    const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
    const shown = lines.map((line) => `| ${line.map((it, i) => it.padEnd(widths[i])).join(" | ")} |`);
    shown.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
    return log(shown.join("\n"));
  };

  const methods = {
    log, info: log, warn: log, error: log, debug: log, group, groupCollapsed: group, table,
    dir: (value) => log(show(value)),
    dirxml: log,
    clear: () => {},
    groupEnd: () => {
      mine().indent = mine().indent.slice(INDENT.length);
    },
    trace: (...values) => log(`Trace: ${formatted(values).map(show).join(" ")}\n${new Error().stack.split("\n").slice(2).join("\n")}`),
    assert: (condition, ...values) => {
      if (condition) return;
      if (typeof values[0] === "string") log(`Assertion failed: ${values[0]}`, ...values.slice(1));
      else log("Assertion failed", ...values);
    },
    count: (label = "default") => {
      mine().counts.set(`${label}`, (mine().counts.get(`${label}`) ?? 0) + 1);
      log(`${label}: ${mine().counts.get(`${label}`)}`);
    },
    countReset: (label = "default") => {
      if (!mine().counts.delete(`${label}`)) log(`Count for '${label}' does not exist`);
    },
    time: (label = "default") => {
      if (mine().times.has(`${label}`)) log(`Label '${label}' already exists for console.time()`);
      else mine().times.set(`${label}`, Date.now());
    },
    timeLog: (label = "default", ...values) => {
      if (mine().times.has(`${label}`)) log(elapsed(`${label}`), ...values);
      else log(`No such label '${label}' for console.timeLog()`);
    },
    timeEnd: (label = "default") => {
      if (mine().times.has(`${label}`)) log(elapsed(`${label}`));
      else log(`No such label '${label}' for console.timeEnd()`);
      mine().times.delete(`${label}`);
    },
  };
  for (const name of Object.keys(methods)) hidden(console, name, methods[name]);
  return { $console: console };
})

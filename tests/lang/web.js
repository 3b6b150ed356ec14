// What an expression comes to, as a text, in a snippet as in Node.js. Of an error its kind counts, not
// its words (test_javascript_web.py).
const shown = (it, depth = 0) => {
  if (depth > 6) return "...";
  if (typeof it === "string") return JSON.stringify(it);
  if (typeof it === "bigint") return `${it}n`;
  if (Object.is(it, -0)) return "-0";
  if (typeof it === "function") return "function";
  if (typeof it !== "object" || it === null) return String(it);
  const next = (value) => shown(value, depth + 1);
  const own = () => Object.keys(it).map((key) => `${key}: ${next(it[key])}`).join(", ");
  const kind = Object.prototype.toString.call(it).slice(8, -1);
  if (it instanceof Error) return `${it.constructor.name} ${it.name} ${it instanceof DOMException ? it.code : ""}`;
  if (it instanceof ArrayBuffer) return `ArrayBuffer ${[...new Uint8Array(it)]}`;
  if (ArrayBuffer.isView(it)) return `${kind} ${[...new Uint8Array(it.buffer, it.byteOffset, it.byteLength)]}`;
  if (it instanceof Date) return `Date ${it.getTime()}`;
  if (it instanceof RegExp) return `RegExp ${it} ${it.lastIndex}`;
  if (it instanceof Map) return `Map {${[...it].map(([k, v]) => `${next(k)} => ${next(v)}`).join(", ")}}`;
  if (it instanceof Set) return `Set {${[...it].map(next).join(", ")}}`;
  if (Array.isArray(it)) return `[${Array.from(it, next).join(", ")}]`;
  return `${kind} {${own()}}`;
};
const found = async (code) => {
  try {
    return shown(await new Function(`return (async () => (${code}))()`)());
  } catch (error) {
    return `throws ${shown(error)}`;
  }
};
const all = async (codes) => {
  const list = [];
  for (const code of codes) list.push(await found(code));
  return list;
};

// Reads a list of TypeScript texts from standard input, and writes what each gives after the
// compiler of TypeScript itself has taken its types away: its value, as JSON, or its error.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.argv[2] + "/");
const ts = require("typescript");

async function imported(code) {
  return (await import("data:text/javascript," + encodeURIComponent(code))).default;
}

function common(code) {
  const module = { exports: {} };
  new Function("module", "exports", code)(module, module.exports);
  return typeof module.exports === "function" ? module.exports : module.exports.default;
}

async function outcome(code) {
  const isCommon = /^export\s*=/m.test(code);
  const { outputText, diagnostics } = ts.transpileModule(code, {
    reportDiagnostics: true,
    compilerOptions: { target: "es2022", module: isCommon ? "commonjs" : "esnext" },
  });
  const faults = diagnostics.map((it) => ts.flattenDiagnosticMessageText(it.messageText, " "));
  try {
    const exported = isCommon ? common(outputText) : await imported(outputText);
    const value = await exported(null);
    return { value: JSON.stringify(value) ?? "null", faults, code: outputText };
  } catch (error) {
    return { error: String(error), faults, code: outputText };
  }
}

const results = [];
for (const code of JSON.parse(readFileSync(0, "utf8"))) results.push(await outcome(code));
console.log(JSON.stringify(results));

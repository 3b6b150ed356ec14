// The parser of URLs (WHATWG URL 4.4), the standard's, state by state. Hosts are host.js's.
((library) => {
  "use strict";
  const { $host, $utf8 } = library;
  const PORTS = { __proto__: null, "http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": "" };
  const isSpecial = (url) => url.scheme in PORTS;
  const isOpaque = (url) => typeof url.path === "string";

  // The sets of what is percent-encoded, beside controls and what is beyond ASCII (1.3).
  const FRAGMENT = " \"<>`";
  const QUERY = " \"#<>";
  const PATH = `${QUERY}?\`{}`;
  const USERINFO = `${PATH}/:;=@[\\]^|`;
  const $percent = (text, set) => {
    if (!/[^!-~]/.test(text) && ![...set].some((it) => text.includes(it))) return text;
    let made = "";
    for (const byte of $utf8.encode(text)) {
      const character = String.fromCharCode(byte);
      const isKept = byte >= 0x20 && byte <= 0x7e && !set.includes(character);
      made += isKept ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    }
    return made;
  };

  const isDrive = (text) => /^[a-z][:|]$/i.test(text);
  const isNormalDrive = (text) => /^[a-z]:$/i.test(text);
  const beginsWithDrive = (text) => /^[a-z][:|]([/\\?#]|$)/i.test(text);
  const isSingleDot = (text) => /^(\.|%2e)$/i.test(text);
  const isDoubleDot = (text) => /^(\.|%2e){2}$/i.test(text);
  const shorten = (url) => {
    if (url.scheme === "file" && url.path.length === 1 && isNormalDrive(url.path[0])) return;
    url.path.pop();
  };
  const fresh = () => ({
    scheme: "", username: "", password: "", host: null, port: "", path: [], query: null, fragment: null,
  });
  const FAILED = Symbol("failed");

  // The basic URL parser (4.4). With `url` and `override` it sets a part of a URL; FAILED, or the URL.
  const parse = (text, base, url, override) => {
    const isNew = url === undefined;
    url ??= fresh();
    if (isNew) text = text.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "");
    const input = Array.from(text.replace(/[\t\n\r]/g, ""));
    let state = override ?? "scheme start";
    let buffer = "";
    let [sawAt, inBrackets, sawPassword] = [false, false, false];
    for (let at = 0; ; at++) {
      const c = input[at];
      switch (state) {
        case "scheme start":
          if (c !== undefined && /[a-z]/i.test(c)) {
            buffer += c.toLowerCase();
            state = "scheme";
          } else if (override) return FAILED;
          else {
            state = "no scheme";
            at--;
          }
          break;
        case "scheme":
          if (c !== undefined && /[a-z0-9+.-]/i.test(c)) buffer += c.toLowerCase();
          else if (c === ":") {
            if (override) {
              if (isSpecial(url) !== buffer in PORTS) return url;
              if ((url.username !== "" || url.password !== "" || url.port !== "") && buffer === "file") return url;
              if (url.scheme === "file" && url.host === "") return url;
              url.scheme = buffer;
              if (url.port === PORTS[url.scheme]) url.port = "";
              return url;
            }
            url.scheme = buffer;
            buffer = "";
            if (url.scheme === "file") state = "file";
            else if (isSpecial(url)) state = base?.scheme === url.scheme ? "special relative or authority" : "special authority slashes";
            else if (input[at + 1] === "/") {
              state = "path or authority";
              at++;
            } else {
              url.path = "";
              state = "opaque path";
            }
          } else if (override) return FAILED;
          else {
            [buffer, state, at] = ["", "no scheme", -1];
          }
          break;
        case "no scheme":
          if (base === undefined || (isOpaque(base) && c !== "#")) return FAILED;
          if (isOpaque(base)) {
            Object.assign(url, { scheme: base.scheme, path: base.path, query: base.query, fragment: "" });
            state = "fragment";
          } else {
            state = base.scheme === "file" ? "file" : "relative";
            at--;
          }
          break;
        case "special relative or authority":
          if (c === "/" && input[at + 1] === "/") {
            state = "special authority ignore slashes";
            at++;
          } else {
            state = "relative";
            at--;
          }
          break;
        case "path or authority":
          if (c === "/") state = "authority";
          else {
            state = "path";
            at--;
          }
          break;
        case "relative":
          url.scheme = base.scheme;
          if (c === "/" || (c === "\\" && isSpecial(url))) state = "relative slash";
          else {
            const { username, password, host, port, path, query } = base;
            Object.assign(url, { username, password, host, port, path: [...path], query });
            if (c === "?") [url.query, state] = ["", "query"];
            else if (c === "#") [url.fragment, state] = ["", "fragment"];
            else if (c !== undefined) {
              url.query = null;
              shorten(url);
              state = "path";
              at--;
            }
          }
          break;
        case "relative slash":
          if (isSpecial(url) && (c === "/" || c === "\\")) state = "special authority ignore slashes";
          else if (c === "/") state = "authority";
          else {
            const { username, password, host, port } = base;
            Object.assign(url, { username, password, host, port });
            state = "path";
            at--;
          }
          break;
        case "special authority slashes":
          state = "special authority ignore slashes";
          if (c === "/" && input[at + 1] === "/") at++;
          else at--;
          break;
        case "special authority ignore slashes":
          if (c !== "/" && c !== "\\") {
            state = "authority";
            at--;
          }
          break;
        case "authority":
          if (c === "@") {
            if (sawAt) buffer = `%40${buffer}`;
            sawAt = true;
            for (const character of buffer) {
              if (character === ":" && !sawPassword) sawPassword = true;
              else url[sawPassword ? "password" : "username"] += $percent(character, USERINFO);
            }
            buffer = "";
          } else if (c === undefined || c === "/" || c === "?" || c === "#" || (c === "\\" && isSpecial(url))) {
            if (sawAt && buffer === "") return FAILED;
            at -= Array.from(buffer).length + 1;
            [buffer, state] = ["", "host"];
          } else buffer += c;
          break;
        case "host":
        case "hostname":
          if (override && url.scheme === "file") {
            at--;
            state = "file host";
          } else if (c === ":" && !inBrackets) {
            if (buffer === "" || override === "hostname") return FAILED;
            const host = $host(buffer, isSpecial(url), (it) => $percent(it, ""));
            if (host === undefined) return FAILED;
            [url.host, buffer, state] = [host, "", "port"];
          } else if (c === undefined || c === "/" || c === "?" || c === "#" || (c === "\\" && isSpecial(url))) {
            at--;
            if (isSpecial(url) && buffer === "") return FAILED;
            if (override && buffer === "" && (url.username !== "" || url.password !== "" || url.port !== "")) return FAILED;
            const host = buffer === "" ? "" : $host(buffer, isSpecial(url), (it) => $percent(it, ""));
            if (host === undefined) return FAILED;
            [url.host, buffer, state] = [host, "", "path start"];
            if (override) return url;
          } else {
            if (c === "[") inBrackets = true;
            if (c === "]") inBrackets = false;
            buffer += c;
          }
          break;
        case "port":
          if (c !== undefined && /[0-9]/.test(c)) buffer += c;
          else if (c === undefined || c === "/" || c === "?" || c === "#" || (c === "\\" && isSpecial(url)) || override) {
            if (buffer !== "") {
              if (+buffer > 65535) return FAILED;
              url.port = `${+buffer}` === PORTS[url.scheme] ? "" : `${+buffer}`;
              buffer = "";
              if (override) return url;
            }
            if (override) return FAILED;
            state = "path start";
            at--;
          } else return FAILED;
          break;
        case "file":
          url.scheme = "file";
          url.host = "";
          if (c === "/" || c === "\\") state = "file slash";
          else if (base?.scheme === "file") {
            Object.assign(url, { host: base.host, path: [...base.path], query: base.query });
            if (c === "?") [url.query, state] = ["", "query"];
            else if (c === "#") [url.fragment, state] = ["", "fragment"];
            else if (c !== undefined) {
              url.query = null;
              if (beginsWithDrive(input.slice(at, at + 3).join(""))) url.path = [];
              else shorten(url);
              state = "path";
              at--;
            }
          } else {
            state = "path";
            at--;
          }
          break;
        case "file slash":
          if (c === "/" || c === "\\") state = "file host";
          else {
            if (base?.scheme === "file") {
              url.host = base.host;
              if (!beginsWithDrive(input.slice(at, at + 3).join("")) && base.path.length > 0 && isNormalDrive(base.path[0])) {
                url.path.push(base.path[0]);
              }
            }
            state = "path";
            at--;
          }
          break;
        case "file host":
          if (c === undefined || c === "/" || c === "\\" || c === "?" || c === "#") {
            at--;
            if (!override && isDrive(buffer)) state = "path";
            else if (buffer === "") {
              url.host = "";
              if (override) return url;
              state = "path start";
            } else {
              const host = $host(buffer, true);
              if (host === undefined) return FAILED;
              url.host = host === "localhost" ? "" : host;
              if (override) return url;
              [buffer, state] = ["", "path start"];
            }
          } else buffer += c;
          break;
        case "path start":
          if (isSpecial(url)) {
            state = "path";
            if (c !== "/" && c !== "\\") at--;
          } else if (!override && c === "?") [url.query, state] = ["", "query"];
          else if (!override && c === "#") [url.fragment, state] = ["", "fragment"];
          else if (c !== undefined) {
            state = "path";
            if (c !== "/") at--;
          } else if (override && url.host === null) url.path.push("");
          break;
        case "path": {
          const isSlash = c === "/" || (c === "\\" && isSpecial(url));
          if (c === undefined || isSlash || (!override && (c === "?" || c === "#"))) {
            if (isDoubleDot(buffer)) {
              shorten(url);
              if (!isSlash) url.path.push("");
            } else if (isSingleDot(buffer)) {
              if (!isSlash) url.path.push("");
            } else {
              if (url.scheme === "file" && url.path.length === 0 && isDrive(buffer)) buffer = `${buffer[0]}:`;
              url.path.push(buffer);
            }
            buffer = "";
            if (c === "?") [url.query, state] = ["", "query"];
            if (c === "#") [url.fragment, state] = ["", "fragment"];
          } else buffer += $percent(c, PATH);
          break;
        }
        case "opaque path":
          if (c === "?") [url.query, state] = ["", "query"];
          else if (c === "#") [url.fragment, state] = ["", "fragment"];
          else if (c !== undefined) url.path += $percent(c, "");
          break;
        case "query":
          if ((!override && c === "#") || c === undefined) {
            url.query += $percent(buffer, isSpecial(url) ? `${QUERY}'` : QUERY);
            buffer = "";
            if (c === "#") [url.fragment, state] = ["", "fragment"];
          } else buffer += c;
          break;
        default:
          if (c !== undefined) url.fragment += $percent(c, FRAGMENT);
      }
      if (at >= input.length) return url;
    }
  };
  return { $parse: parse, $percent, $url: { FAILED, isSpecial, isOpaque, USERINFO } };
})

// URLSearchParams (WHATWG URL 5 and 6.2).
((library) => {
  "use strict";
  const { $interface, $need, $pairs, $iterable, $utf8 } = library;

  const written = (text) => {
    let made = "";
    for (const byte of $utf8.encode(text)) {
      const character = String.fromCharCode(byte);
      if (/[A-Za-z0-9*._-]/.test(character)) made += character;
      else made += byte === 0x20 ? "+" : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    }
    return made;
  };
  const read = (text) => {
    const plain = text.replaceAll("+", " ");
    if (!plain.includes("%")) return plain;
    const given = $utf8.encode(plain);
    const bytes = new Uint8Array(given.length);
    let size = 0;
    for (let i = 0; i < given.length; i++) {
      const hex = given[i] === 37 ? String.fromCharCode(given[i + 1], given[i + 2]) : "";
      if (/^[0-9a-f]{2}$/i.test(hex)) {
        bytes[size++] = parseInt(hex, 16);
        i += 2;
      } else bytes[size++] = given[i];
    }
    return $utf8.decode(bytes.subarray(0, size));
  };
  const parsed = (text) =>
    text.split("&").filter((it) => it !== "").map((it) => {
      const cut = it.indexOf("=");
      return cut < 0 ? [read(it), ""] : [read(it.slice(0, cut)), read(it.slice(cut + 1))];
    });
  const word = (value) => `${value}`.toWellFormed();

  let pairsOf;
  let $query;
  class URLSearchParams {
    #pairs = [];
    #tell; // the URL that this belongs to
    static {
      pairsOf = (params) => params.#pairs;
      $query = {
        of: (text, tell) => {
          const made = new URLSearchParams(text);
          made.#pairs = parsed(text);
          made.#tell = tell;
          return made;
        },
        renew: (params, text) => {
          params.#pairs = parsed(text);
        },
      };
    }
    constructor(init = "") {
      if ((typeof init === "object" && init !== null) || typeof init === "function") {
        const pairs = $pairs(init, "URLSearchParams").map(([name, value]) => [word(name), word(value)]);
        const isMap = typeof init[Symbol.iterator] !== "function";
        this.#pairs = isMap ? [...new Map(pairs)] : pairs;
      } else if (init !== null) this.#pairs = parsed(word(init).replace(/^\?/, ""));
    }
    #changed() {
      this.#tell?.(this.toString());
    }
    get size() { return this.#pairs.length; }
    append(name, value) {
      $need(arguments, 2);
      this.#pairs.push([word(name), word(value)]);
      this.#changed();
    }
    delete(name, value = undefined) {
      $need(arguments, 1);
      const [asked, also] = [word(name), value === undefined ? undefined : word(value)];
      this.#pairs = this.#pairs.filter((it) => it[0] !== asked || (also !== undefined && it[1] !== also));
      this.#changed();
    }
    get(name) {
      $need(arguments, 1);
      const asked = word(name);
      return this.#pairs.find((it) => it[0] === asked)?.[1] ?? null;
    }
    getAll(name) {
      $need(arguments, 1);
      const asked = word(name);
      return this.#pairs.filter((it) => it[0] === asked).map((it) => it[1]);
    }
    has(name, value = undefined) {
      $need(arguments, 1);
      const [asked, also] = [word(name), value === undefined ? undefined : word(value)];
      return this.#pairs.some((it) => it[0] === asked && (also === undefined || it[1] === also));
    }
    set(name, value) {
      $need(arguments, 2);
      const [asked, text] = [word(name), word(value)];
      const at = this.#pairs.findIndex((it) => it[0] === asked);
      if (at < 0) this.#pairs.push([asked, text]);
      else {
        this.#pairs = this.#pairs.filter((it, i) => i <= at || it[0] !== asked);
        this.#pairs[at] = [asked, text];
      }
      this.#changed();
    }
    sort() {
      this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
      this.#changed();
    }
    toString() {
      return this.#pairs.map(([name, value]) => `${written(name)}=${written(value)}`).join("&");
    }
  }
  $interface(URLSearchParams);
  $iterable(URLSearchParams, "URLSearchParams", (params, index) => pairsOf(params)[index]);
  return { URLSearchParams, $query };
})

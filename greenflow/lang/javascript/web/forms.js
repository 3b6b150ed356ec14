// Blob and File (File API) and FormData (XHR 4), as values in memory: a Blob has no stream.
((library) => {
  "use strict";
  const { $interface, $need, $iterable, $utf8 } = library;
  const word = (value) => `${value}`.toWellFormed();

  let bytesOf;
  class Blob {
    #bytes; #type;
    static {
      bytesOf = (blob) => blob.#bytes;
    }
    constructor(parts = undefined, options = undefined) {
      if (parts !== undefined && (typeof parts !== "object" || parts === null || typeof parts[Symbol.iterator] !== "function")) {
        throw new TypeError("the parts of a Blob are a list");
      }
      const { type = "", endings = "transparent" } = options ?? {};
      if (!["transparent", "native"].includes(`${endings}`)) throw new TypeError("there are no such endings");
      const pieces = Array.from(parts ?? [], (part) => {
        if (part instanceof Blob) return part.#bytes;
        if (part instanceof ArrayBuffer) return new Uint8Array(part);
        if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
        const text = word(part);
        return $utf8.encode(`${endings}` === "native" ? text.replace(/\r\n?/g, "\n") : text);
      });
      this.#bytes = new Uint8Array(pieces.reduce((sum, it) => sum + it.length, 0));
      let at = 0;
      for (const piece of pieces) {
        this.#bytes.set(piece, at);
        at += piece.length;
      }
      this.#type = /^[ -~]*$/.test(`${type}`) ? `${type}`.toLowerCase() : "";
    }
    get size() { return this.#bytes.length; }
    get type() { return this.#type; }
    slice(start = 0, end = this.size, type = "") {
      return new Blob([this.#bytes.subarray(Math.trunc(start), Math.trunc(end))], { type });
    }
    async arrayBuffer() { return this.#bytes.slice().buffer; }
    async bytes() { return this.#bytes.slice(); }
    async text() { return new library.TextDecoder().decode(this.#bytes); }
  }

  class File extends Blob {
    #name; #time;
    constructor(parts, name, options = undefined) {
      $need(arguments, 2);
      super(parts, options);
      this.#name = word(name);
      this.#time = Math.trunc(Number(options?.lastModified ?? Date.now())) || 0;
    }
    get name() { return this.#name; }
    get lastModified() { return this.#time; }
  }

  const entry = (given, hasName) => {
    const [name, value, file] = given;
    if (!(value instanceof Blob)) {
      if (hasName) throw new TypeError("only a Blob has a file name");
      return [word(name), word(value)];
    }
    if (value instanceof File && !hasName) return [word(name), value];
    const options = { type: value.type, lastModified: value.lastModified };
    return [word(name), new File([value], hasName ? word(file) : "blob", options)];
  };
  let entriesOf;
  class FormData {
    #entries = [];
    static {
      entriesOf = (form) => form.#entries;
    }
    constructor(form = undefined) {
      if (form !== undefined) throw new TypeError("a FormData is made of nothing");
    }
    append(name, value, filename = undefined) {
      $need(arguments, 2);
      this.#entries.push(entry(arguments, filename !== undefined));
    }
    delete(name) {
      $need(arguments, 1);
      this.#entries = this.#entries.filter((it) => it[0] !== word(name));
    }
    get(name) {
      $need(arguments, 1);
      return this.#entries.find((it) => it[0] === word(name))?.[1] ?? null;
    }
    getAll(name) {
      $need(arguments, 1);
      return this.#entries.filter((it) => it[0] === word(name)).map((it) => it[1]);
    }
    has(name) {
      $need(arguments, 1);
      return this.#entries.some((it) => it[0] === word(name));
    }
    set(name, value, filename = undefined) {
      $need(arguments, 2);
      const made = entry(arguments, filename !== undefined);
      const at = this.#entries.findIndex((it) => it[0] === made[0]);
      if (at < 0) this.#entries.push(made);
      else {
        this.#entries = this.#entries.filter((it, i) => i <= at || it[0] !== made[0]);
        this.#entries[at] = made;
      }
    }
  }
  for (const made of [Blob, File, FormData]) $interface(made);
  $iterable(FormData, "FormData", (form, index) => entriesOf(form)[index]);
  return { Blob, File, FormData };
})

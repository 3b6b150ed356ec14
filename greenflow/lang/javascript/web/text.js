// TextEncoder and TextDecoder (WHATWG Encoding): UTF-8, UTF-16, and encodings of one byte a character,
// whose tables the worker gives. Those of several bytes, of East Asia, are not here.
((library) => {
  "use strict";
  const { $interface, given } = library;
  const LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8",
    "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16",
    "utf-16be": "unicodefffe",
    "ibm866": "866 cp866 csibm866",
    "iso-8859-2": "csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso-8859-3": "csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso-8859-4": "csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso-8859-5": "csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso-8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6-e " +
      "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso-8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 iso88597 " +
      "iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso-8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 iso88598 " +
      "iso_8859-8 iso_8859-8:1988 visual",
    "iso-8859-8-i": "csiso88598i logical",
    "iso-8859-10": "csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso-8859-13": "iso8859-13 iso885913",
    "iso-8859-14": "iso8859-14 iso885914",
    "iso-8859-15": "csisolatin9 iso8859-15 iso885915 iso_8859-15 l9",
    "iso-8859-16": "",
    "koi8-r": "cskoi8r koi koi8 koi8_r",
    "koi8-u": "koi8-ru",
    "macintosh": "csmacintosh mac x-mac-roman",
    "x-mac-cyrillic": "x-mac-ukrainian",
    "windows-874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620",
    "windows-1250": "cp1250 x-cp1250",
    "windows-1251": "cp1251 x-cp1251",
    "windows-1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 " +
      "iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252",
    "windows-1253": "cp1253 x-cp1253",
    "windows-1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 " +
      "iso_8859-9:1989 l5 latin5 x-cp1254",
    "windows-1255": "cp1255 x-cp1255",
    "windows-1256": "cp1256 x-cp1256",
    "windows-1257": "cp1257 x-cp1257",
    "windows-1258": "cp1258 x-cp1258",
  };
  const encodings = new Map();
  for (const name of Object.keys(LABELS)) {
    for (const label of [name, ...LABELS[name].split(" ")]) if (label !== "") encodings.set(label, name);
  }
  const PIECE = 4096; // code units that are made a text at once
  const { fromCharCode } = String;

  const encode = (text) => {
    const bytes = new Uint8Array(text.length * 3);
    const { written } = into(text, bytes);
    return bytes.slice(0, written);
  };
  const into = (text, bytes) => {
    let read = 0;
    let written = 0;
    while (read < text.length) {
      let code = text.charCodeAt(read);
      let units = 1;
      if (code >= 0xd800 && code < 0xe000) {
        const low = code < 0xdc00 ? text.charCodeAt(read + 1) : 0;
        if (low >= 0xdc00 && low < 0xe000) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          units = 2;
        } else code = 0xfffd;
      }
      const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      if (written + size > bytes.length) break;
      if (size === 1) bytes[written] = code;
      else {
        bytes[written] = (0xf00 >> size) & 0xff | code >> (6 * (size - 1));
        for (let i = 1; i < size; i++) bytes[written + i] = 0x80 | (code >> (6 * (size - 1 - i)) & 0x3f);
      }
      written += size;
      read += units;
    }
    return { read, written };
  };

  // Takes code points, gives their text.
  class Writer {
    #units = [];
    #text = "";
    put(code) {
      if (code < 0x10000) this.#units.push(code);
      else this.#units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
      if (this.#units.length >= PIECE) this.text();
    }
    text() {
      this.#text += fromCharCode.apply(null, this.#units);
      this.#units = [];
      return this.#text;
    }
  }

  // Each decoder gives a function that takes bytes, where code points go, and whether they are the
  // last; -1 is a fault. What a character begins with that is not whole is kept.
  const utf8 = () => {
    let code = 0;
    let seen = 0;
    let size = 0;
    let lower = 0x80;
    let upper = 0xbf;
    const begin = (byte) => {
      if (byte < 0x80) return byte;
      if (byte >= 0xc2 && byte <= 0xdf) [size, code] = [1, byte & 0x1f];
      else if (byte >= 0xe0 && byte <= 0xef) {
        [size, code] = [2, byte & 0xf];
        if (byte === 0xe0) lower = 0xa0;
        if (byte === 0xed) upper = 0x9f;
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        [size, code] = [3, byte & 0x7];
        if (byte === 0xf0) lower = 0x90;
        if (byte === 0xf4) upper = 0x8f;
      } else return -1;
      return undefined;
    };
    return (bytes, put, isLast) => {
      for (let i = 0; i < bytes.length; i++) {
        const byte = bytes[i];
        if (size === 0) {
          const made = begin(byte);
          if (made !== undefined) put(made);
          continue;
        }
        const isNext = byte >= lower && byte <= upper;
        [lower, upper] = [0x80, 0xbf];
        if (!isNext) {
          [code, seen, size] = [0, 0, 0];
          put(-1);
          i--;
          continue;
        }
        code = code << 6 | byte & 0x3f;
        if (++seen < size) continue;
        put(code);
        [code, seen, size] = [0, 0, 0];
      }
      if (isLast && size !== 0) {
        [code, seen, size, lower, upper] = [0, 0, 0, 0x80, 0xbf];
        put(-1);
      }
    };
  };
  const utf16 = (isBig) => () => {
    let first; // byte of a unit
    let high; // unit of a pair
    const unit = (code, put) => {
      if (high !== undefined) {
        const before = high;
        high = undefined;
        if (code >= 0xdc00 && code < 0xe000) {
          put(0x10000 + ((before - 0xd800) << 10) + (code - 0xdc00));
          return;
        }
        put(-1);
      }
      if (code >= 0xd800 && code < 0xdc00) high = code;
      else put(code >= 0xdc00 && code < 0xe000 ? -1 : code);
    };
    return (bytes, put, isLast) => {
      for (let i = 0; i < bytes.length; i++) {
        if (first === undefined) first = bytes[i];
        else {
          const code = isBig ? first << 8 | bytes[i] : bytes[i] << 8 | first;
          first = undefined;
          unit(code, put);
        }
      }
      if (isLast && (first !== undefined || high !== undefined)) {
        [first, high] = [undefined, undefined];
        put(-1);
      }
    };
  };
  const single = (name) => () => {
    const table = given.tables[name === "iso-8859-8-i" ? "iso-8859-8" : name];
    return (bytes, put) => {
      for (let i = 0; i < bytes.length; i++) {
        const code = bytes[i] < 0x80 ? bytes[i] : table.charCodeAt(bytes[i] - 0x80);
        put(code === 0xfffd ? -1 : code);
      }
    };
  };
  const decoder = (name) =>
    ({ "utf-8": utf8, "utf-16le": utf16(false), "utf-16be": utf16(true) })[name] ?? single(name);

  const view = (given) => {
    if (given === undefined) return new Uint8Array();
    if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
    if (given instanceof ArrayBuffer) return new Uint8Array(given);
    throw new TypeError("what is decoded is an ArrayBuffer or a view of one");
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return encode(`${text}`); }
    encodeInto(text, bytes) {
      if (!(bytes instanceof Uint8Array)) throw new TypeError("encodeInto writes into a Uint8Array");
      return into(`${text}`, bytes);
    }
  }

  class TextDecoder {
    #name; #fatal; #ignoreBOM; #decode;
    #isFirst = true; // no character was read yet, so there may be a byte order mark
    constructor(label = "utf-8", options = undefined) {
      const asked = `${label}`.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase();
      const name = encodings.get(asked);
      if (name === undefined) {
        throw new RangeError(`The "${label}" encoding is not supported`);
      }
      if (options !== undefined && options !== null && typeof options !== "object" && typeof options !== "function") {
        throw new TypeError("the options are an object");
      }
      this.#name = name;
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }
    get encoding() { return this.#name; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input = undefined, options = undefined) {
      const bytes = view(input);
      const isLast = !options?.stream;
      const writer = new Writer();
      const hasMark = !this.#ignoreBOM && this.#name.startsWith("utf-");
      this.#decode ??= decoder(this.#name)();
      try {
        this.#decode(bytes, (code) => {
          if (code === -1) {
            if (this.#fatal) throw new TypeError(`The encoded data was not valid for encoding ${this.#name}`);
            code = 0xfffd;
          }
          if (this.#isFirst) {
            this.#isFirst = false;
            if (hasMark && code === 0xfeff) return;
          }
          writer.put(code);
        }, isLast);
      } catch (error) {
        [this.#decode, this.#isFirst] = [undefined, true];
        throw error;
      }
      if (isLast) [this.#decode, this.#isFirst] = [undefined, true];
      return writer.text();
    }
  }

  const $utf8 = {
    encode,
    decode: (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
  };
  return { TextEncoder: $interface(TextEncoder), TextDecoder: $interface(TextDecoder), $utf8 };
})

// URL (WHATWG URL 6.1): what is read and set of a record that parser.js made.
((library) => {
  "use strict";
  const { $interface, $need, $parse, $percent, $url, $query } = library;
  const { FAILED, isSpecial, isOpaque, USERINFO } = $url;

  const pathOf = (url) => (isOpaque(url) ? url.path : url.path.map((it) => `/${it}`).join(""));
  const serialize = (url) => {
    let made = `${url.scheme}:`;
    if (url.host !== null) {
      made += "//";
      if (url.username !== "" || url.password !== "") {
        made += `${url.username}${url.password === "" ? "" : `:${url.password}`}@`;
      }
      made += hostOf(url);
    } else if (!isOpaque(url) && url.path.length > 1 && url.path[0] === "") made += "/.";
    made += pathOf(url);
    if (url.query !== null) made += `?${url.query}`;
    if (url.fragment !== null) made += `#${url.fragment}`;
    return made;
  };
  const hostOf = (url) => `${url.host ?? ""}${url.port === "" ? "" : `:${url.port}`}`;
  const hasNoCredentials = (url) => url.host === null || url.host === "" || url.scheme === "file";
  const read = (text, base) => {
    let from;
    if (base !== undefined) {
      from = $parse(`${base}`.toWellFormed());
      if (from === FAILED) return FAILED;
    }
    return $parse(`${text}`.toWellFormed(), from);
  };
  const stripped = (url) => {
    if (isOpaque(url) && url.fragment === null && url.query === null) url.path = url.path.replace(/ +$/, "");
  };

  class URL {
    #url;
    #params;
    constructor(url, base = undefined) {
      $need(arguments, 1);
      const made = read(url, base);
      if (made === FAILED) {
        const error = new TypeError("Invalid URL");
        error.code = "ERR_INVALID_URL";
        error.input = `${url}`;
        if (base !== undefined) error.base = `${base}`;
        throw error;
      }
      this.#url = made;
    }
    static canParse(url, base = undefined) {
      $need(arguments, 1);
      return read(url, base) !== FAILED;
    }
    static parse(url, base = undefined) {
      $need(arguments, 1);
      return URL.canParse(url, base) ? new URL(url, base) : null;
    }
    #set(value, state, url = this.#url) {
      return $parse(`${value}`, undefined, url, state) !== FAILED;
    }
    get href() { return serialize(this.#url); }
    set href(value) {
      const made = $parse(`${value}`.toWellFormed());
      if (made === FAILED) throw new TypeError("Invalid URL");
      this.#url = made;
      this.#tell();
    }
    get origin() {
      const url = this.#url;
      if (url.scheme === "blob") {
        const inner = $parse(pathOf(url));
        return inner !== FAILED && /^https?$/.test(inner.scheme) ? `${inner.scheme}://${hostOf(inner)}` : "null";
      }
      return isSpecial(url) && url.scheme !== "file" ? `${url.scheme}://${hostOf(url)}` : "null";
    }
    get protocol() { return `${this.#url.scheme}:`; }
    set protocol(value) { this.#set(`${value}:`, "scheme start"); }
    get username() { return this.#url.username; }
    set username(value) {
      if (!hasNoCredentials(this.#url)) this.#url.username = $percent(`${value}`, USERINFO);
    }
    get password() { return this.#url.password; }
    set password(value) {
      if (!hasNoCredentials(this.#url)) this.#url.password = $percent(`${value}`, USERINFO);
    }
    get host() { return hostOf(this.#url); }
    set host(value) {
      if (!isOpaque(this.#url)) this.#try(value, "host");
    }
    get hostname() { return this.#url.host ?? ""; }
    set hostname(value) {
      if (!isOpaque(this.#url)) this.#try(value, "hostname");
    }
    // A host that is refused leaves the URL as it was; a port behind one that was taken may fail.
    #try(value, state) {
      const copy = { ...this.#url, path: [...this.#url.path] };
      this.#set(value, state, copy);
      this.#url.host = copy.host;
      this.#url.port = copy.port;
    }
    get port() { return this.#url.port; }
    set port(value) {
      if (hasNoCredentials(this.#url)) return;
      if (`${value}` === "") this.#url.port = "";
      else this.#set(value, "port");
    }
    get pathname() { return pathOf(this.#url); }
    set pathname(value) {
      if (isOpaque(this.#url)) return;
      this.#url.path = [];
      this.#set(value, "path start");
    }
    get search() { return this.#url.query ? `?${this.#url.query}` : ""; }
    set search(value) {
      const text = `${value}`;
      this.#url.query = text === "" ? null : "";
      if (text === "") stripped(this.#url);
      else this.#set(text.replace(/^\?/, ""), "query");
      this.#tell();
    }
    get searchParams() {
      this.#params ??= $query.of(this.#url.query ?? "", (text) => {
        this.#url.query = text === "" ? null : text;
        if (text === "") stripped(this.#url);
      });
      return this.#params;
    }
    #tell() {
      if (this.#params !== undefined) $query.renew(this.#params, this.#url.query ?? "");
    }
    get hash() { return this.#url.fragment ? `#${this.#url.fragment}` : ""; }
    set hash(value) {
      const text = `${value}`;
      this.#url.fragment = text === "" ? null : "";
      if (text === "") stripped(this.#url);
      else this.#set(text.replace(/^#/, ""), "fragment");
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }
  return { URL: $interface(URL) };
})

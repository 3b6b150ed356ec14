// Headers (Fetch 5.1), without a guard: nothing is forbidden here but what no header can have.
((library) => {
  "use strict";
  const { $interface, $need, $pairs, $iterable } = library;

  const nameOf = (given) => {
    const name = `${given}`;
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new TypeError(`${name} is no name of a header`);
    return name.toLowerCase();
  };
  const valueOf = (given) => {
    const value = `${given}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
    if (/[\0\r\n]|[^\0-\xff]/.test(value)) throw new TypeError("the value of a header has no line end, no NUL, and nothing beyond U+00FF");
    return value;
  };

  let sorted;
  class Headers {
    #list = new Map(); // names to the values that they were given
    static {
      sorted = (headers) =>
        [...headers.#list.keys()].sort().flatMap((name) => {
          const values = headers.#list.get(name);
          return name === "set-cookie" ? values.map((it) => [name, it]) : [[name, values.join(", ")]];
        });
    }
    constructor(init = undefined) {
      if (init === undefined) return;
      for (const [name, value] of $pairs(init, "Headers")) this.append(name, value);
    }
    append(name, value) {
      $need(arguments, 2);
      const [key, text] = [nameOf(name), valueOf(value)];
      this.#list.set(key, [...(this.#list.get(key) ?? []), text]);
    }
    delete(name) {
      $need(arguments, 1);
      this.#list.delete(nameOf(name));
    }
    get(name) {
      $need(arguments, 1);
      return this.#list.get(nameOf(name))?.join(", ") ?? null;
    }
    getSetCookie() { return [...(this.#list.get("set-cookie") ?? [])]; }
    has(name) {
      $need(arguments, 1);
      return this.#list.has(nameOf(name));
    }
    set(name, value) {
      $need(arguments, 2);
      const [key, text] = [nameOf(name), valueOf(value)];
      this.#list.set(key, [text]);
    }
  }
  $interface(Headers);
  $iterable(Headers, "Headers", (headers, index) => sorted(headers)[index]);
  return { Headers };
})

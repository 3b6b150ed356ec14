// Lists of pairs of texts, as Headers, FormData and URLSearchParams are made of and show (Web IDL 3.7.10).
((library) => {
  "use strict";
  const { $need } = library;

  // The pairs of what such a list is made of.
  const $pairs = (init, what) => {
    if (init === null || (typeof init !== "object" && typeof init !== "function")) {
      throw new TypeError(`${what} are made of pairs or of an object`);
    }
    const many = init[Symbol.iterator];
    if (many === undefined || many === null) {
      return Reflect.ownKeys(init)
        .filter((key) => Object.getOwnPropertyDescriptor(init, key)?.enumerable)
        .map((key) => {
          if (typeof key === "symbol") throw new TypeError("a name is no symbol");
          return [key, `${init[key]}`];
        });
    }
    if (typeof many !== "function") throw new TypeError(`${what}: the pairs cannot be iterated`);
    const list = [];
    for (const pair of { [Symbol.iterator]: () => many.call(init) }) {
      const isList = (typeof pair === "object" && pair !== null) || typeof pair === "function";
      if (!isList || typeof pair[Symbol.iterator] !== "function") throw new TypeError(`${what}: a pair is a list of two`);
      const both = [...pair];
      if (both.length !== 2) throw new TypeError(`${what}: a pair is a list of two`);
      list.push([`${both[0]}`, `${both[1]}`]);
    }
    return list;
  };

  const base = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  // Makes an interface iterable; `at` gives its pair at an index.
  const $iterable = (made, name, at, key = made.name) => {
    const steps = new WeakMap();
    const next = function () {
      const step = steps.get(this);
      if (step === undefined) throw new TypeError(`no iterator of ${key}`);
      const pair = at(step.of, step.index++);
      if (pair === undefined) return { value: undefined, done: true };
      return { value: step.take(pair), done: false };
    };
    const prototype = Object.create(base, {
      next: { value: next, writable: true, enumerable: true, configurable: true },
      [Symbol.toStringTag]: { value: `${name} Iterator`, configurable: true },
    });
    const begin = (of, take) => {
      at(of, 0);
      const iterator = Object.create(prototype);
      steps.set(iterator, { of, take, index: 0 });
      return iterator;
    };
    const methods = {
      entries() { return begin(this, (pair) => [pair[0], pair[1]]); },
      keys() { return begin(this, (pair) => pair[0]); },
      values() { return begin(this, (pair) => pair[1]); },
      forEach(action, self = undefined) {
        $need(arguments, 1);
        if (typeof action !== "function") throw new TypeError("forEach takes a function");
        for (let index = 0, pair; (pair = at(this, index)) !== undefined; index++) {
          action.call(self, pair[1], pair[0], this);
        }
      },
    };
    for (const method of Object.keys(methods)) {
      Object.defineProperty(made.prototype, method, {
        value: methods[method], writable: true, enumerable: true, configurable: true,
      });
    }
    Object.defineProperty(made.prototype, Symbol.iterator, {
      value: methods.entries, writable: true, configurable: true,
    });
  };
  return { $pairs, $iterable };
})

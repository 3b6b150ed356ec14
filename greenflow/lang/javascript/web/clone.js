// structuredClone (HTML 2.7): a copy of values that keeps what refers to the same.
((library) => {
  "use strict";
  const { DOMException, $need } = library;
  const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const getter = (prototype, name) => Object.getOwnPropertyDescriptor(prototype, name).get;

  // What an object is, by what it has inside: a text of its own cannot lie about that.
  const has = (method, ...given) => (value) => {
    try {
      Reflect.apply(method, value, given);
      return true;
    } catch {
      return false;
    }
  };
  const is = {
    Boolean: has(Boolean.prototype.valueOf),
    Number: has(Number.prototype.valueOf),
    String: has(String.prototype.valueOf),
    BigInt: has(BigInt.prototype.valueOf),
    Symbol: has(Symbol.prototype.valueOf),
    Date: has(Date.prototype.getTime),
    RegExp: (value) => has(getter(RegExp.prototype, "source"))(value) && value !== RegExp.prototype,
    Buffer: has(getter(ArrayBuffer.prototype, "byteLength")),
    Map: has(getter(Map.prototype, "size")),
    Set: has(getter(Set.prototype, "size")),
    WeakMap: has(WeakMap.prototype.has, {}),
    WeakSet: has(WeakSet.prototype.has, {}),
    WeakRef: has(WeakRef.prototype.deref),
    Promise: has(Promise.prototype.then),
  };
  const refuse = (value) => {
    let shown;
    try {
      shown = typeof value === "function" || typeof value === "symbol" ? String(value) : `#<${value.constructor.name}>`;
    } catch {
      shown = "the object";
    }
    throw new DOMException(`${shown} could not be cloned.`, "DataCloneError");
  };

  const copyOf = (root, moved) => {
    const known = new Map();
    const fill = []; // copies that have no members yet; without recursion, so any depth will do
    const copy = (value) => {
      if (typeof value === "symbol" || typeof value === "function") refuse(value);
      if (typeof value !== "object" || value === null) return value;
      if (known.has(value)) return known.get(value);
      const made = shell(value);
      known.set(value, made);
      return made;
    };
    const buffer = (value) => {
      if (moved.has(value)) return value.transfer();
      if (value.detached) throw new DOMException("an ArrayBuffer is detached and could not be cloned.", "DataCloneError");
      if (!value.resizable) return value.slice(0);
      const made = new ArrayBuffer(value.byteLength, { maxByteLength: value.maxByteLength });
      new Uint8Array(made).set(new Uint8Array(value));
      return made;
    };
    const shell = (value) => {
      for (const kind of ["Boolean", "Number", "String", "BigInt"]) {
        if (is[kind](value)) return Object(globalThis[kind].prototype.valueOf.call(value));
      }
      if (is.Symbol(value)) refuse(value);
      if (is.Date(value)) return new Date(Date.prototype.getTime.call(value));
      if (is.RegExp(value)) return new RegExp(value.source, value.flags);
      if (is.Buffer(value)) return buffer(value);
      if (ArrayBuffer.isView(value)) {
        const tag = getter(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).call(value);
        const [offset, length] = [value.byteOffset, tag === undefined ? value.byteLength : value.length];
        return new globalThis[tag ?? "DataView"](copy(value.buffer), offset, length);
      }
      if (is.Map(value)) {
        const made = new Map();
        const pairs = [...Map.prototype.entries.call(value)];
        fill.push(() => pairs.forEach(([key, held]) => made.set(copy(key), copy(held))));
        return made;
      }
      if (is.Set(value)) {
        const made = new Set();
        const held = [...Set.prototype.values.call(value)];
        fill.push(() => held.forEach((it) => made.add(copy(it))));
        return made;
      }
      if (Error.isError(value)) return failure(value);
      if (is.WeakMap(value) || is.WeakSet(value) || is.WeakRef(value) || is.Promise(value)) refuse(value);
      const made = Array.isArray(value) ? new Array(value.length) : {};
      fill.push(() => {
        for (const key of Object.keys(value)) {
          if (Object.hasOwn(value, key)) define(made, key, copy(value[key]));
        }
      });
      return made;
    };
    const failure = (value) => {
      if (value instanceof DOMException) {
        const made = new DOMException(value.message, value.name);
        hide(made, "stack", String(value.stack));
        return made;
      }
      const name = String(value.name);
      const type = Object.hasOwn(ERRORS, name) ? ERRORS[name] : Error;
      const message = Object.getOwnPropertyDescriptor(value, "message");
      const made = new type();
      if (message !== undefined && "value" in message) hide(made, "message", String(message.value));
      hide(made, "stack", String(value.stack));
      if (Object.hasOwn(value, "cause")) fill.push(() => hide(made, "cause", copy(value.cause)));
      return made;
    };
    const made = copy(root);
    for (const next of fill) next();
    return made;
  };
  const define = (made, key, value) =>
    Object.defineProperty(made, key, { value, writable: true, enumerable: true, configurable: true });
  const hide = (made, key, value) =>
    Object.defineProperty(made, key, { value, writable: true, configurable: true });

  function structuredClone(value, options = undefined) {
    $need(arguments, 1);
    const moved = new Set();
    for (const it of options?.transfer ?? []) {
      if (!is.Buffer(it) || it.detached || moved.has(it)) {
        throw new DOMException("Value could not be transferred.", "DataCloneError");
      }
      moved.add(it);
    }
    const made = copyOf(value, moved);
    for (const it of moved) if (!it.detached) it.transfer();
    return made;
  }
  return { structuredClone };
})

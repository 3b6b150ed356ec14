// What stands around a snippet in its isolate: values in and out, errors, console, timers.
//
// Evaluated first, before any code of an author, so every function used here was taken from an
// untouched realm. Nothing here is reachable from the snippet: no global refers to it, and its own
// realm is all that a snippet can spoil. The value is a function that is called with the snippet as
// `this`; it returns the function that the worker calls. That one gets a call as a string: "" asks
// for the outcome of a promise, else the first character tells whether the JSON text that follows
// has tags in it ("t") or not ("v"). It returns "p" (a promise is pending) or a line for the wire.
(() => {
  "use strict";
  const TAG = "@TAG@";
  const MAX_DEPTH = 200; // greenflow/payload/value.py has the same limit
  const MAX_LOG = 65536; // characters a call may log, with the word that says what was cut
  const MAX_LINES = 1000; // lines of them; each is a record of the engine's log
  const { parse, stringify } = JSON;
  const { apply } = Reflect;
  const { isArray } = Array;
  const { keys, defineProperty, create, getPrototypeOf } = Object;
  const bind = (method) => (self, ...args) => apply(method, self, args);
  const then = bind(Promise.prototype.then);
  const resolve = ((P) => (value) => apply(P.resolve, P, [value]))(Promise);
  const slice = bind(String.prototype.slice);
  const time = bind(Date.prototype.getTime);
  const weakGet = bind(WeakMap.prototype.get);
  const weakSet = bind(WeakMap.prototype.set);
  const mapGet = bind(Map.prototype.get);
  const mapSet = bind(Map.prototype.set);
  const mapClear = bind(Map.prototype.clear);
  const mapDelete = bind(Map.prototype.delete);
  const toBase64 = bind(Uint8Array.prototype.toBase64);
  const fromBase64 = ((A) => (text) => apply(A.fromBase64, A, [text]))(Uint8Array);
  const { String: text, Error: Failure, Date: Time, Uint8Array: Bytes, Map: Table } = globalThis;
  const { ArrayBuffer: Buffer, TypeError: Mistake, WeakMap: Weak, SharedArrayBuffer: Shared } = globalThis;
  const { Int32Array: Words, isFinite: finite, Promise: Pledge } = globalThis;
  const waitAsync = Atomics.waitAsync;
  const isView = Buffer.isView;
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
  delete globalThis.WebAssembly;

  return function (notify) {
    const load = this;
    let handler; // the default export, once the module ran
    let outcome; // of the promise that is waited for
    let turn = 0; // the call under way; an outcome of an earlier one is not of this
    let came = new Weak(); // errors that came in with this call, to their numbers
    let logged = [];
    let room = MAX_LOG;
    let cut = 0; // lines that were not logged, or not whole

    const hidden = (target, name, value) =>
      defineProperty(target, name, { __proto__: null, value, writable: true, configurable: true });

    const failure = (told) => {
      const made = new Failure(told.m);
      hidden(made, "stack", told.m);
      hidden(made, "name", told.n);
      if (told.c !== undefined) hidden(made, "cause", failure(told.c));
      if (told.g !== undefined) {
        const members = [];
        for (let i = 0; i < told.g.length; i++) define(members, i, failure(told.g[i]));
        hidden(made, "errors", members);
      }
      hidden(made, "error", () => told.t);
      if (told.o !== undefined) {
        hidden(made, "node", told.o[0]);
        hidden(made, "kind", told.o[1]);
        hidden(made, "at", told.o[2]);
        if (told.p === undefined) hidden(made, "input", null);
        else later(made, "input", () => read(told.p));
      }
      weakSet(came, made, told.i);
      return made;
    };

    // A property that is made when somebody asks for it.
    const later = (target, name, make) =>
      defineProperty(target, name, {
        __proto__: null,
        get: () => {
          const value = make();
          hidden(target, name, value);
          return value;
        },
        set: (value) => hidden(target, name, value),
        configurable: true,
      });

    // A payload, as it stands on the wire.
    const read = (written) => {
      const value = parse(slice(written, 1));
      return written[0] === "t" ? revive(value) : value;
    };

    const define = (target, name, value) =>
      defineProperty(target, name, {
        __proto__: null, value, writable: true, enumerable: true, configurable: true,
      });

    const revive = (value) => {
      if (typeof value !== "object" || value === null) return value;
      if (isArray(value)) {
        for (let i = 0; i < value.length; i++) define(value, i, revive(value[i]));
        return value;
      }
      const names = keys(value);
      if (names.length === 2 && names[0] === TAG) {
        const held = value.v;
        switch (value[TAG]) {
          case "b": return fromBase64(held);
          case "d": return new Time(held);
          default: return failure(held);
        }
      }
      for (let i = 0; i < names.length; i++) define(value, names[i], revive(value[names[i]]));
      return value;
    };

    const isSpecial = (value) =>
      value instanceof Failure || value instanceof Time || value instanceof Buffer || isView(value);

    // Whether JSON alone would lose something. A cycle ends at the depth limit.
    const needsTags = (value, depth) => {
      if (typeof value === "bigint") throw new Mistake("a BigInt is no value that can leave a snippet");
      if (typeof value !== "object" || value === null) return false;
      if (depth === 0) {
        throw new Mistake(`a cycle, or more than ${MAX_DEPTH} lists and maps in one another, cannot leave a snippet`);
      }
      if (isSpecial(value) || typeof value.toJSON === "function") return true;
      const names = isArray(value) ? null : keys(value);
      const length = names === null ? value.length : names.length;
      let found = false;
      for (let i = 0; i < length; i++) {
        if (needsTags(names === null ? value[i] : value[names[i]], depth - 1)) found = true;
      }
      return found;
    };

    const tag = (kind, held) => {
      const made = create(null);
      made[TAG] = kind;
      made.v = held;
      return made;
    };

    const tell = (thrown, depth) => {
      const told = create(null);
      const number = typeof thrown === "object" && thrown !== null ? weakGet(came, thrown) : undefined;
      if (number !== undefined) {
        told.i = number;
        return told;
      }
      if (!(thrown instanceof Failure)) {
        told.n = "Error";
        told.m = typeof thrown === "object" && thrown !== null ? stringify(thrown) ?? "null" : text(thrown);
        return told;
      }
      told.n = text(thrown.name);
      told.m = text(thrown.message);
      told.s = slice(text(thrown.stack), 0, 4000);
      if (thrown.cause !== undefined && depth > 0) told.c = tell(thrown.cause, depth - 1);
      return told;
    };

    const pack = (value, depth) => {
      if (typeof value !== "object" || value === null || depth < 0) return value;
      if (value instanceof Failure) return tag("e", tell(value, depth));
      if (value instanceof Time) return finite(time(value)) ? tag("d", time(value)) : null;
      if (value instanceof Buffer) return tag("b", toBase64(new Bytes(value)));
      if (isView(value)) return tag("b", toBase64(new Bytes(value.buffer, value.byteOffset, value.byteLength)));
      if (typeof value.toJSON === "function") return pack(value.toJSON(""), depth - 1);
      if (isArray(value)) {
        const made = [];
        for (let i = 0; i < value.length; i++) define(made, i, pack(value[i], depth - 1));
        return made;
      }
      const made = create(null);
      const names = keys(value);
      for (let i = 0; i < names.length; i++) define(made, names[i], pack(value[names[i]], depth - 1));
      return made;
    };

    // Every outcome passes here. Timers are of a call, and end with it.
    const withLog = (line) => {
      mapClear(timers);
      if (logged.length === 0) return line;
      if (cut > 0) sayCut();
      const lines = logged;
      logged = [];
      return "l" + stringify(lines) + "\t" + line;
    };

    // The last line makes room for the word, if need be; lines before it are left whole.
    const sayCut = () => {
      const word = `... [${cut} line${cut === 1 ? "" : "s"} cut]`;
      const last = logged.length - 1;
      const left = logged[last].length + room - word.length;
      logged[last] = slice(logged[last], 0, left > 0 ? left : 0);
      define(logged, logged.length, word);
    };

    const done = (value) => {
      if (typeof value !== "object" || value === null) {
        if (typeof value === "bigint") needsTags(value, MAX_DEPTH);
        return withLog("v" + (stringify(value) ?? "null"));
      }
      if (needsTags(value, MAX_DEPTH)) return withLog("t" + stringify(pack(value, MAX_DEPTH)));
      return withLog("v" + (stringify(value) ?? "null"));
    };

    const failed = (thrown) => {
      let told;
      try {
        told = stringify(tell(thrown, 10));
      } catch {
        told = '{"n":"Error","m":"a value that has no text was thrown"}';
      }
      return withLog("e" + told);
    };

    const finish = (make, value) => {
      try {
        return make(value);
      } catch (error) {
        return failed(error);
      }
    };

    const show = (value) => {
      try {
        if (typeof value === "string") return value;
        if (value instanceof Failure) return text(value.stack);
        if (typeof value === "object" && value !== null) return stringify(value) ?? text(value);
        return text(value);
      } catch {
        return "a value that has no text";
      }
    };
    const print = (...values) => {
      if (room === 0 || logged.length >= MAX_LINES) {
        cut++;
        return;
      }
      let line = "";
      for (let i = 0; i < values.length; i++) line += (i === 0 ? "" : " ") + show(values[i]);
      if (line.length > room) {
        line = slice(line, 0, room);
        cut++;
      }
      room -= line.length;
      define(logged, logged.length, line);
    };
    const console = {};
    for (const name of ["log", "info", "warn", "error", "debug"]) console[name] = print;
    hidden(globalThis, "console", console);

    const timers = new Table();
    let timer = 0;
    hidden(globalThis, "setTimeout", (action, delay, ...args) => {
      const number = ++timer;
      const cell = new Words(new Shared(4));
      mapSet(timers, number, true);
      const waited = waitAsync(cell, 0, 0, delay >= 1 ? +delay : 1);
      then(waited.value, () => {
        if (!mapGet(timers, number)) return;
        mapDelete(timers, number);
        apply(action, undefined, args);
      });
      return number;
    });
    hidden(globalThis, "clearTimeout", (number) => {
      mapDelete(timers, number);
    });

    return function () {
      if (this === "") {
        const line = outcome;
        if (line === undefined) return "p";
        outcome = undefined;
        return line;
      }
      const mine = ++turn;
      came = new Weak();
      logged = [];
      room = MAX_LOG;
      cut = 0;
      outcome = undefined;
      try {
        const value = read(this);
        if (handler === undefined) {
          const found = load();
          if (typeof found !== "function") throw new Mistake("the default export is not callable");
          handler = found;
        }
        const result = handler(value);
        if (typeof result !== "object" || result === null) return done(result);
        if (!(result instanceof Pledge) && typeof result.then !== "function") return done(result);
        const settle = (make) => (value) => {
          if (mine !== turn) return;
          outcome = finish(make, value);
          notify();
        };
        then(resolve(result), settle(done), settle(failed));
        return "p";
      } catch (error) {
        return failed(error);
      }
    };
  };
})()

// What stands around a snippet in its isolate: values in and out, errors, console, and the getters
// that make the web's APIs (web/) when somebody asks for one.
//
// Evaluated first, before any code of an author, so every function used here was taken from an
// untouched realm. Nothing here is reachable from the snippet: no global refers to it, and its own
// realm is all that a snippet can spoil. The value is a function that is called with the snippet as
// `this`; it returns the function that the worker (isolate.py) calls with a string:
//
//   t or v, and JSON text   a call; the text has tags in it, or not. Answered by a line for the wire,
//                           or by "p": a promise has to be waited for
//   ""                      once the jobs of promises are done: a line for the wire, or "p CALL MS":
//                           the call has a timer in so many milliseconds, or "p CALL": it has none
//   w CALL                  run the first timer of a call; "p"
//   q CALL                  nobody waits for the call any more; "p"
//   c                       a sign of life; "v"
//
// Instead of "p CALL", and to "c", comes "o CALL LINE" if the jobs of one call settled another.
// Calls are told apart by what they were begun or woken for: all that runs until the jobs of promises
// are done is that call's, its lines of the console and its timers too.
(() => {
  "use strict";
  const TAG = "@TAG@";
  const MAX_DEPTH = 200; // greenflow/payload/value.py has the same limit
  const MAX_LOG = 65536; // characters a call may log, with the word that says what was cut
  const MAX_LINES = 1000; // lines of them; each is a record of the engine's log
  const { parse, stringify } = JSON;
  const { apply } = Reflect;
  const { isArray } = Array;
  const { keys, defineProperty, create, setPrototypeOf } = Object;
  const bind = (method) => (self, ...args) => apply(method, self, args);
  const then = bind(Promise.prototype.then);
  const resolve = ((P) => (value) => apply(P.resolve, P, [value]))(Promise);
  const slice = bind(String.prototype.slice);
  const time = bind(Date.prototype.getTime);
  const weakGet = bind(WeakMap.prototype.get);
  const weakSet = bind(WeakMap.prototype.set);
  const mapGet = bind(Map.prototype.get);
  const mapSet = bind(Map.prototype.set);
  const mapDelete = bind(Map.prototype.delete);
  const toBase64 = bind(Uint8Array.prototype.toBase64);
  const fromBase64 = ((A) => (text) => apply(A.fromBase64, A, [text]))(Uint8Array);
  const { String: text, Error: Failure, Date: Time, Uint8Array: Bytes, Map: Table } = globalThis;
  const { ArrayBuffer: Buffer, TypeError: Mistake, WeakMap: Weak, isFinite: finite } = globalThis;
  const { Promise: Pledge, Number: number, eval: evaluate } = globalThis;
  const isView = Buffer.isView;
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;
  delete globalThis.WebAssembly;

  // `notify` tells the worker that a call was settled which is not the one under way. `web` is what
  // the snippet may use of the web's APIs (web/), as JSON text, or "".
  return function (notify, web) {
    const load = this;
    let handler; // the default export, once the module ran
    let count = 0; // of calls
    let now; // the call under way
    const waiting = new Table(); // calls that wait for a timer or for another call, by number
    let settled; // the first of the calls that were settled while another ran, a list by `next`

    // What is of a call. Its prototype has none, so nothing that is set here meets a snippet's setter.
    function Call() {
      this.number = ++count;
      this.came = undefined; // errors that came in with this call, to their numbers
      this.logged = [];
      this.room = MAX_LOG;
      this.cut = 0; // lines that were not logged, or not whole
      this.timers = undefined; // the first one (web/timers.js)
      this.kept = undefined; // what files of the web's APIs keep for the call
      this.outcome = undefined; // the line of a promise that was settled
      this.next = undefined;
      this.isOver = false;
    }
    setPrototypeOf(Call.prototype, null);

    const hidden = (target, name, value) =>
      defineProperty(target, name, { __proto__: null, value, writable: true, configurable: true });

    const failure = (told, call) => {
      const made = new Failure(told.m);
      hidden(made, "stack", told.m);
      hidden(made, "name", told.n);
      if (told.c !== undefined) hidden(made, "cause", failure(told.c, call));
      if (told.g !== undefined) {
        const members = [];
        for (let i = 0; i < told.g.length; i++) define(members, i, failure(told.g[i], call));
        hidden(made, "errors", members);
      }
      hidden(made, "error", () => told.t);
      if (told.o !== undefined) {
        hidden(made, "node", told.o[0]);
        hidden(made, "kind", told.o[1]);
        hidden(made, "at", told.o[2]);
        if (told.p === undefined) hidden(made, "input", null);
        else later(made, "input", () => read(told.p, call));
      }
      weakSet((call.came ??= new Weak()), made, told.i);
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
    const read = (written, call) => {
      const value = parse(slice(written, 1));
      return written[0] === "t" ? revive(value, call) : value;
    };

    const define = (target, name, value) =>
      defineProperty(target, name, {
        __proto__: null, value, writable: true, enumerable: true, configurable: true,
      });

    const revive = (value, call) => {
      if (typeof value !== "object" || value === null) return value;
      if (isArray(value)) {
        for (let i = 0; i < value.length; i++) define(value, i, revive(value[i], call));
        return value;
      }
      const names = keys(value);
      if (names.length === 2 && names[0] === TAG) {
        const held = value.v;
        switch (value[TAG]) {
          case "b": return fromBase64(held);
          case "d": return new Time(held);
          default: return failure(held, call);
        }
      }
      for (let i = 0; i < names.length; i++) define(value, names[i], revive(value[names[i]], call));
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
      const isObject = typeof thrown === "object" && thrown !== null;
      const at = isObject && now.came !== undefined ? weakGet(now.came, thrown) : undefined;
      if (at !== undefined) {
        told.i = at;
        return told;
      }
      if (!(thrown instanceof Failure)) {
        told.n = "Error";
        told.m = isObject ? stringify(thrown) ?? "null" : text(thrown);
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

    // Every outcome of the call under way passes here. Timers are of a call, and end with it.
    const withLog = (line) => {
      const call = now;
      call.isOver = true;
      if (call.timers !== undefined) timers.end(call);
      if (call.logged.length === 0) return line;
      if (call.cut > 0) sayCut(call);
      return "l" + stringify(call.logged) + "\t" + line;
    };

    // The last line makes room for the word, if need be; lines before it are left whole.
    const sayCut = ({ cut, room, logged }) => {
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

    // A promise of a call was settled, or what a timer did threw.
    const settle = (call, make, value) => {
      if (call.isOver) return;
      const running = now;
      now = call;
      try {
        call.outcome = make(value);
      } catch (error) {
        call.outcome = failed(error);
      }
      now = running;
      if (call === running) return;
      call.next = settled;
      settled = call;
      notify();
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
      const call = now;
      if (call.isOver) return;
      if (call.room === 0 || call.logged.length >= MAX_LINES) {
        call.cut++;
        return;
      }
      let line = "";
      for (let i = 0; i < values.length; i++) line += (i === 0 ? "" : " ") + show(values[i]);
      if (line.length > call.room) {
        line = slice(line, 0, call.room);
        call.cut++;
      }
      call.room -= line.length;
      define(call.logged, call.logged.length, line);
    };
    const console = {};
    for (const name of ["log", "info", "warn", "error", "debug"]) console[name] = print;
    hidden(globalThis, "console", console);

    // Names that are made when somebody asks for one. The timers know of calls, which no snippet may
    // come by, so their file runs here, before the snippet.
    let timers;
    const offer = () => {
      const { names, sources, given } = parse(web);
      const inside = { __proto__: null, apply, bind, failed, settle, under: () => now };
      const kept = () => (now.kept ??= create(null));
      const library = { __proto__: null, console, given, hidden, kept, later, print, show, text };
      for (const file of keys(sources)) {
        let exports;
        const all = () => (exports ??= evaluate(sources[file])(library, file === "timers" ? inside : undefined));
        for (const name of names[file]) {
          later(library, name, () => all()[name]);
          if (name[0] !== "$") later(globalThis, name, () => library[name]);
        }
      }
      timers = library.$timers;
      if (sources.console !== undefined) library.$console;
    };
    if (web !== "") offer();

    const other = () => {
      const call = settled;
      settled = call.next;
      mapDelete(waiting, call.number);
      return `o ${call.number} ${call.outcome}`;
    };
    const answer = () => {
      const call = now;
      if (settled !== undefined) return other();
      if (call.outcome !== undefined) {
        mapDelete(waiting, call.number);
        return call.outcome;
      }
      mapSet(waiting, call.number, call);
      const delay = call.timers === undefined ? undefined : timers.delay(call);
      return delay === undefined ? `p ${call.number}` : `p ${call.number} ${delay}`;
    };
    const command = (written) => {
      if (written === "c") return settled === undefined ? "v" : other();
      const call = mapGet(waiting, number(slice(written, 2)));
      if (call === undefined) return "p";
      now = call;
      if (written[0] === "w") {
        timers?.wake(call);
      } else {
        mapDelete(waiting, call.number);
        withLog("");
      }
      return "p";
    };

    return function () {
      if (this === "") return answer();
      const kind = this[0];
      if (kind !== "v" && kind !== "t") return command(text(this));
      const call = new Call();
      now = call;
      try {
        const value = read(this, call);
        if (handler === undefined) {
          const found = load();
          if (typeof found !== "function") throw new Mistake("the default export is not callable");
          handler = found;
        }
        const result = handler(value);
        if (typeof result !== "object" || result === null) return done(result);
        if (!(result instanceof Pledge) && typeof result.then !== "function") return done(result);
        then(resolve(result), (it) => settle(call, done, it), (it) => settle(call, failed, it));
        return "p";
      } catch (error) {
        return failed(error);
      }
    };
  };
})()

// AbortController and AbortSignal (DOM 3).
((library) => {
  "use strict";
  const { DOMException, Event, EventTarget, $interface, $need, $handler } = library;
  const MADE = Symbol("made here");

  let abort;
  let make;
  class AbortSignal extends EventTarget {
    #reason = undefined;
    #isAborted = false;
    #dependents = []; // signals of `any` that follow this one
    #sources = [];
    static {
      make = () => new AbortSignal(MADE);
      abort = (signal, reason) => {
        if (signal.#isAborted) return;
        const all = [signal, ...signal.#dependents.filter((it) => !it.#isAborted)];
        for (const it of all) {
          it.#isAborted = true;
          it.#reason = it === signal
            ? reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason
            : signal.#reason;
        }
        for (const it of all) it.dispatchEvent(new Event("abort"));
      };
    }
    constructor(key = undefined) {
      if (key !== MADE) throw new TypeError("Illegal constructor");
      super();
    }
    get aborted() { return this.#isAborted; }
    get reason() { return this.#reason; }
    throwIfAborted() {
      if (this.#isAborted) throw this.#reason;
    }
    static abort(reason = undefined) {
      const signal = make();
      abort(signal, reason);
      return signal;
    }
    static timeout(milliseconds) {
      $need(arguments, 1);
      const wait = Number(milliseconds);
      if (!(wait >= 0 && wait <= Number.MAX_SAFE_INTEGER)) throw new RangeError("the time is a number of milliseconds");
      const signal = make();
      library.setTimeout(() => abort(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError")), wait);
      return signal;
    }
    static any(signals) {
      $need(arguments, 1);
      const list = [...signals];
      if (!list.every((it) => it instanceof AbortSignal)) throw new TypeError("the signals are AbortSignals");
      const signal = make();
      const ended = list.find((it) => it.#isAborted);
      if (ended !== undefined) {
        abort(signal, ended.#reason);
        return signal;
      }
      for (const it of list) {
        for (const source of it.#sources.length > 0 ? it.#sources : [it]) {
          if (signal.#sources.includes(source)) continue;
          signal.#sources.push(source);
          source.#dependents.push(signal);
        }
      }
      return signal;
    }
  }
  class AbortController {
    #signal = make();
    get signal() { return this.#signal; }
    abort(reason = undefined) { abort(this.#signal, reason); }
  }
  $handler(AbortSignal, "abort");
  return { AbortController: $interface(AbortController), AbortSignal: $interface(AbortSignal) };
})

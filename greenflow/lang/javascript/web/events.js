// Event, CustomEvent, ErrorEvent and EventTarget (DOM 2). There is no tree: an event has one target.
((library) => {
  "use strict";
  const { DOMException, $interface, $need } = library;
  const NONE = 0;
  const AT_TARGET = 2;

  let fired; // an event's state, for EventTarget
  class Event {
    #type; #bubbles; #cancelable; #composed;
    #state = { target: null, phase: NONE, isStopped: false, isEnded: false, isCanceled: false, isPassive: false, isBusy: false };
    #time = Date.now() - library.performance.timeOrigin;
    static {
      fired = (event) => event.#state;
      for (const [name, value] of [["NONE", 0], ["CAPTURING_PHASE", 1], ["AT_TARGET", 2], ["BUBBLING_PHASE", 3]]) {
        Object.defineProperty(Event, name, { value, enumerable: true });
        Object.defineProperty(Event.prototype, name, { value, enumerable: true });
      }
    }
    constructor(type, options = undefined) {
      $need(arguments, 1);
      if (options !== undefined && options !== null && typeof options !== "object" && typeof options !== "function") {
        throw new TypeError("the options are an object");
      }
      this.#type = `${type}`;
      this.#bubbles = Boolean(options?.bubbles);
      this.#cancelable = Boolean(options?.cancelable);
      this.#composed = Boolean(options?.composed);
    }
    get type() { return this.#type; }
    get target() { return this.#state.target; }
    get srcElement() { return this.#state.target; }
    get currentTarget() { return this.#state.phase === NONE ? null : this.#state.target; }
    get eventPhase() { return this.#state.phase; }
    get bubbles() { return this.#bubbles; }
    get cancelable() { return this.#cancelable; }
    get composed() { return this.#composed; }
    get defaultPrevented() { return this.#state.isCanceled; }
    get returnValue() { return !this.#state.isCanceled; }
    get cancelBubble() { return this.#state.isStopped; }
    set cancelBubble(value) { if (value) this.#state.isStopped = true; }
    get timeStamp() { return this.#time; }
    get isTrusted() { return false; }
    composedPath() { return this.#state.phase === NONE ? [] : [this.#state.target]; }
    stopPropagation() { this.#state.isStopped = true; }
    stopImmediatePropagation() { this.#state.isStopped = this.#state.isEnded = true; }
    preventDefault() {
      if (this.#cancelable && !this.#state.isPassive) this.#state.isCanceled = true;
    }
  }

  class CustomEvent extends Event {
    #detail;
    constructor(type, options = undefined) {
      $need(arguments, 1);
      super(type, options);
      this.#detail = options?.detail ?? null;
    }
    get detail() { return this.#detail; }
  }

  class ErrorEvent extends Event {
    #of;
    constructor(type, options = undefined) {
      $need(arguments, 1);
      super(type, options);
      const { message = "", filename = "", lineno = 0, colno = 0, error = undefined } = options ?? {};
      this.#of = { message: `${message}`, filename: `${filename}`, lineno: lineno >>> 0, colno: colno >>> 0, error };
    }
    get message() { return this.#of.message; }
    get filename() { return this.#of.filename; }
    get lineno() { return this.#of.lineno; }
    get colno() { return this.#of.colno; }
    get error() { return this.#of.error; }
  }

  const captures = (options) =>
    Boolean(typeof options === "object" && options !== null ? options.capture : options);
  class EventTarget {
    #listeners = [];
    addEventListener(type, callback, options = undefined) {
      $need(arguments, 2);
      const bag = typeof options === "object" && options !== null ? options : {};
      const { signal } = bag;
      if (signal !== undefined && !(signal instanceof library.AbortSignal)) throw new TypeError("the signal is no AbortSignal");
      if (callback === null || callback === undefined || signal?.aborted) return;
      if (typeof callback !== "function" && typeof callback !== "object") throw new TypeError("a listener is a function or an object");
      const capture = captures(options);
      if (this.#find(`${type}`, callback, capture) >= 0) return;
      const listener = { type: `${type}`, callback, capture, once: Boolean(bag.once), passive: Boolean(bag.passive), isGone: false };
      this.#listeners.push(listener);
      signal?.addEventListener("abort", () => this.removeEventListener(type, callback, options), { once: true });
    }
    removeEventListener(type, callback, options = undefined) {
      $need(arguments, 2);
      const at = this.#find(`${type}`, callback, captures(options));
      if (at < 0) return;
      this.#listeners[at].isGone = true;
      this.#listeners.splice(at, 1);
    }
    dispatchEvent(event) {
      $need(arguments, 1);
      if (!(event instanceof Event)) throw new TypeError("what is dispatched is an Event");
      const state = fired(event);
      if (state.isBusy) throw new DOMException("The event is already being dispatched", "InvalidStateError");
      Object.assign(state, { isBusy: true, target: this, phase: AT_TARGET });
      const listeners = this.#listeners.filter((it) => it.type === event.type);
      const ordered = [...listeners.filter((it) => it.capture), ...listeners.filter((it) => !it.capture)];
      for (const listener of ordered) {
        if (listener.isGone) continue;
        if (listener.once) this.removeEventListener(listener.type, listener.callback, listener.capture);
        state.isPassive = listener.passive;
        try {
          const { callback } = listener;
          if (typeof callback === "function") callback.call(this, event);
          else callback.handleEvent(event);
        } catch (error) {
          library.reportError(error);
        }
        state.isPassive = false;
        if (state.isEnded) break;
      }
      Object.assign(state, { isBusy: false, phase: NONE, isStopped: false, isEnded: false });
      return !state.isCanceled;
    }
    #find(type, callback, capture) {
      return this.#listeners.findIndex((it) => it.type === type && it.callback === callback && it.capture === capture);
    }
  }

  // The property `on...` of a target: one listener, in the place where it was first set.
  const $handler = (made, type) => {
    const set = new WeakMap();
    Object.defineProperty(made.prototype, `on${type}`, {
      get() { return set.get(this)?.callback ?? null; },
      set(callback) {
        const isOne = typeof callback === "function" || (typeof callback === "object" && callback !== null);
        let held = set.get(this);
        if (held === undefined && isOne) {
          held = { callback: null };
          held.run = (event) => {
            if (typeof held.callback === "function") held.callback.call(this, event);
          };
          set.set(this, held);
          this.addEventListener(type, held.run);
        }
        if (held === undefined) return;
        held.callback = isOne ? callback : null;
        if (isOne) return;
        this.removeEventListener(type, held.run);
        set.delete(this);
      },
      enumerable: true, configurable: true,
    });
  };
  for (const made of [Event, CustomEvent, ErrorEvent, EventTarget]) $interface(made);
  return { Event, CustomEvent, ErrorEvent, EventTarget, $handler };
})

// setTimeout, setInterval and queueMicrotask (HTML 8.6 and 8.7). This file is evaluated before a snippet
// and knows calls, so every function used here is taken now.
//
// A timer is of the call that was under way when it was set, and ends with it. The timers of a call are
// a list by `next`, in the order in which they are due; the worker waits for the first one.
((_, inside) => {
  "use strict";
  const { apply, bind, failed, settle, under } = inside;
  const { TypeError, Number, Map } = globalThis;
  const mapGet = bind(Map.prototype.get);
  const mapSet = bind(Map.prototype.set);
  const mapDelete = bind(Map.prototype.delete);
  const then = bind(Promise.prototype.then);
  const ready = Promise.resolve();
  const clock = Date.now;
  const floor = Math.floor;
  const MOST = 2 ** 31; // milliseconds; a longer time is none, as in Node.js

  const timers = new Map(); // by number
  let count = 0;

  const callable = (action) => {
    if (typeof action !== "function") throw new TypeError("a callback is a function");
    return action;
  };
  const schedule = (timer) => {
    const { call } = timer;
    timer.due = clock() + timer.delay;
    let before;
    let after = call.timers;
    while (after !== undefined && after.due <= timer.due) {
      before = after;
      after = after.next;
    }
    timer.next = after;
    if (before === undefined) call.timers = timer;
    else before.next = timer;
  };
  const start = (action, delay, again, args) => {
    const call = under();
    const timer = {
      __proto__: null, number: ++count, call, action: callable(action), args, again, due: 0,
      delay: delay >= 1 && delay < MOST ? floor(+delay) : 1, next: undefined,
    };
    if (call.isOver) return timer.number;
    mapSet(timers, timer.number, timer);
    schedule(timer);
    return timer.number;
  };
  const clear = (which) => {
    const timer = mapGet(timers, Number(which));
    if (timer === undefined) return;
    mapDelete(timers, timer.number);
    timer.action = undefined; // it leaves the list when it would be due
  };
  const first = (call) => {
    while (call.timers !== undefined && call.timers.action === undefined) call.timers = call.timers.next;
    return call.timers;
  };

  const $timers = {
    __proto__: null,
    // Milliseconds until the first timer of a call, if it has one. A clock that was set back does not
    // count.
    delay: (call) => {
      const timer = first(call);
      if (timer === undefined) return undefined;
      const delay = timer.due - clock();
      return delay < 0 ? 0 : delay > timer.delay ? timer.delay : delay;
    },
    // Run the first timer of a call.
    wake: (call) => {
      const timer = first(call);
      if (timer === undefined) return;
      const { action } = timer;
      call.timers = timer.next;
      if (!timer.again) mapDelete(timers, timer.number);
      try {
        apply(action, undefined, timer.args);
      } catch (error) {
        settle(call, failed, error);
      }
      if (!timer.again || timer.action === undefined) return;
      if (call.isOver) mapDelete(timers, timer.number);
      else schedule(timer);
    },
    end: (call) => {
      for (let timer = call.timers; timer !== undefined; timer = timer.next) mapDelete(timers, timer.number);
      call.timers = undefined;
    },
  };

  function setTimeout(action, delay, ...args) {
    return start(action, delay, false, args);
  }
  function setInterval(action, delay, ...args) {
    return start(action, delay, true, args);
  }
  function clearTimeout(number) {
    clear(number);
  }
  function clearInterval(number) {
    clear(number);
  }
  function queueMicrotask(action) {
    const call = under();
    callable(action);
    then(ready, () => {
      try {
        action();
      } catch (error) {
        settle(call, failed, error);
      }
    });
  }
  return { setTimeout, setInterval, clearTimeout, clearInterval, queueMicrotask, $timers };
})

// What a program may know of what it runs on: self, navigator, performance, and reportError.
((library) => {
  "use strict";
  const { $interface, console, text } = library;
  const clock = Date.now;
  const timeOrigin = clock();
  let latest = 0;

  class Navigator {
    get userAgent() { return "greenflow"; }
  }
  class Performance {
    get timeOrigin() { return timeOrigin; }
    now() {
      latest = Math.max(latest, clock() - timeOrigin); // it never goes back, whatever the clock does
      return latest;
    }
    toJSON() { return { timeOrigin }; }
  }
  function reportError(error) {
    library.$need(arguments, 1);
    console.error(`Uncaught ${Error.isError(error) ? text(error.stack) : library.show(error)}`);
  }
  for (const made of [Navigator, Performance]) $interface(made);
  return { self: globalThis, navigator: new Navigator(), performance: new Performance(), reportError };
})

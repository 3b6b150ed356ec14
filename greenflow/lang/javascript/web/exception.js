// DOMException (Web IDL 4.3), and what interfaces and their methods have of Web IDL.
(() => {
  "use strict";
  const CODES = {
    IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5,
    NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10,
    InvalidStateError: 11, SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14,
    InvalidAccessError: 15, TypeMismatchError: 17, SecurityError: 18, NetworkError: 19, AbortError: 20,
    URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23, InvalidNodeTypeError: 24,
    DataCloneError: 25,
  };

  class DOMException extends Error {
    #name;
    #message;
    constructor(message = "", options = "Error") {
      super();
      const isBag = typeof options === "object" && options !== null;
      this.#message = `${message}`;
      this.#name = `${isBag ? options.name ?? "Error" : options}`;
      if (isBag && "cause" in options) {
        Object.defineProperty(this, "cause", { value: options.cause, writable: true, configurable: true });
      }
      const stack = this.stack.replace(/^[^\n]*/, () => `${this.#name}: ${this.#message}`);
      Object.defineProperty(this, "stack", { value: stack, writable: true, configurable: true });
    }
    get name() { return this.#name; }
    get message() { return this.#message; }
    get code() { return Object.hasOwn(CODES, this.#name) ? CODES[this.#name] : 0; }
  }
  const constant = (name) => `${name.replace(/Error$/, "").replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()}_ERR`;
  for (const name of Object.keys(CODES)) {
    const key = { TimeoutError: "TIMEOUT_ERR", NoModificationAllowedError: "NO_MODIFICATION_ALLOWED_ERR",
      InUseAttributeError: "INUSE_ATTRIBUTE_ERR", URLMismatchError: "URL_MISMATCH_ERR" }[name] ?? constant(name);
    const value = { value: CODES[name], enumerable: true };
    Object.defineProperty(DOMException, key, value);
    Object.defineProperty(DOMException.prototype, key, value);
  }
  for (const [key, value] of [["DOMSTRING_SIZE_ERR", 2], ["NO_DATA_ALLOWED_ERR", 6], ["VALIDATION_ERR", 16]]) {
    Object.defineProperty(DOMException, key, { value, enumerable: true });
    Object.defineProperty(DOMException.prototype, key, { value, enumerable: true });
  }

  // What an interface has of Web IDL beside its code: its tag, and members that can be enumerated.
  const $interface = (made, tag = made.name) => {
    for (const [key, found] of Object.entries(Object.getOwnPropertyDescriptors(made.prototype))) {
      if (key !== "constructor") Object.defineProperty(made.prototype, key, { ...found, enumerable: true });
    }
    Object.defineProperty(made.prototype, Symbol.toStringTag, { value: tag, configurable: true });
    return made;
  };
  $interface(DOMException);

  // So many arguments must be given.
  const $need = (given, count) => {
    if (given.length < count) {
      throw new TypeError(`${count} argument${count === 1 ? "" : "s"} required, but only ${given.length} present`);
    }
  };

  return { DOMException, $interface, $need };
})

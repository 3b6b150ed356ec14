// crypto (Web Cryptography): random numbers, digests, and HMAC. Other algorithms are not supported.
//
// Random bytes are SHA-512 of a key and a counter; the key begins with what the worker gives and is
// replaced by a digest of itself after each use, so what was given out does not follow from it later.
((library) => {
  "use strict";
  const { DOMException, $interface, $need, $hash, given } = library;
  const MADE = Symbol("made here");
  const MOST = 65536; // bytes of getRandomValues, by the standard
  const INTEGERS = /^(Ui|I)nt(8|16|32)(Clamped)?Array$|^Big(Ui|I)nt64Array$/;
  const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

  let key = Uint8Array.fromHex(given.seed);
  const random = (bytes) => {
    let count = 1;
    for (let at = 0; at < bytes.length; at += 64) {
      const made = $hash.digest("SHA-512", key, Uint8Array.of(count, count >> 8, count >> 16, 1));
      bytes.set(made.subarray(0, Math.min(64, bytes.length - at)), at);
      count++;
    }
    key = $hash.digest("SHA-512", key, Uint8Array.of(0));
  };

  const fail = (name, message) => {
    throw new DOMException(message, name);
  };
  const bytesOf = (value) => {
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
    if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
    throw new TypeError("the data are an ArrayBuffer or a view of one");
  };
  const nameOf = (algorithm) => {
    const name = typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm;
    if (name === undefined) throw new TypeError("the algorithm has no name");
    return `${name}`.toUpperCase();
  };
  const hashOf = (algorithm) => {
    const name = nameOf(algorithm);
    if (!$hash.names.includes(name)) fail("NotSupportedError", "Unrecognized algorithm name");
    return name;
  };

  class CryptoKey {
    #held;
    static {
      CryptoKey.held = (key) => {
        if (!(typeof key === "object" && key !== null && #held in key)) throw new TypeError("the key is no CryptoKey");
        return key.#held;
      };
    }
    constructor(made = undefined, held = undefined) {
      if (made !== MADE) throw new TypeError("Illegal constructor");
      this.#held = held;
    }
    get type() { return "secret"; }
    get extractable() { return this.#held.extractable; }
    get algorithm() { return this.#held.algorithm; }
    get usages() { return this.#held.usages; }
  }
  const { held } = CryptoKey;
  delete CryptoKey.held;

  const makeKey = (bytes, algorithm, extractable, usages) => {
    if (![...usages].every((it) => it === "sign" || it === "verify")) fail("SyntaxError", "Unsupported key usage for an HMAC key");
    if (usages.length === 0) fail("SyntaxError", "Usages cannot be empty when importing a secret key.");
    const [hash, size] = [hashOf(algorithm.hash), bytes.length * 8];
    if (size === 0) fail("DataError", "Zero-length key is not supported");
    const { length = size } = algorithm;
    if (length > size || length <= size - 8) fail("DataError", "Invalid key length");
    return new CryptoKey(MADE, {
      bytes, extractable: Boolean(extractable), usages: [...new Set(usages)],
      algorithm: { name: "HMAC", hash: { name: hash }, length: +length },
    });
  };
  const isHmac = (algorithm) => {
    if (nameOf(algorithm) !== "HMAC") fail("NotSupportedError", "Unrecognized algorithm name");
  };
  const keyFor = (algorithm, key, usage) => {
    const inside = held(key);
    isHmac(algorithm);
    if (!inside.usages.includes(usage)) fail("InvalidAccessError", `Unable to use this key to ${usage}`);
    return inside;
  };
  const usagesOf = (usages) => {
    const list = Array.from(usages, (it) => `${it}`);
    if (!list.every((it) => USAGES.includes(it))) throw new TypeError("there is no such usage of a key");
    return list;
  };

  class SubtleCrypto {
    constructor(made = undefined) {
      if (made !== MADE) throw new TypeError("Illegal constructor");
    }
    async digest(algorithm, data) {
      $need(arguments, 2);
      return $hash.digest(hashOf(algorithm), bytesOf(data)).buffer;
    }
    async importKey(format, keyData, algorithm, extractable, keyUsages) {
      $need(arguments, 5);
      isHmac(algorithm);
      const usages = usagesOf(keyUsages);
      if (format === "raw") return makeKey(bytesOf(keyData), algorithm, extractable, usages);
      if (format !== "jwk") fail("NotSupportedError", `Unable to import an HMAC key in the format ${format}`);
      if (typeof keyData !== "object" || keyData === null || ArrayBuffer.isView(keyData)) throw new TypeError("a JWK is an object");
      if (keyData.kty !== "oct" || typeof keyData.k !== "string") fail("DataError", "Invalid keyData");
      if (keyData.alg !== undefined && keyData.alg !== `HS${hashOf(algorithm.hash).slice(4)}`) {
        fail("DataError", 'JWK "alg" does not match the requested algorithm');
      }
      return makeKey(Uint8Array.fromBase64(keyData.k, { alphabet: "base64url" }), algorithm, extractable, usages);
    }
    async exportKey(format, key) {
      $need(arguments, 2);
      const { bytes, extractable, usages, algorithm } = held(key);
      if (!extractable) fail("InvalidAccessError", "key is not extractable");
      if (format === "raw") return bytes.slice().buffer;
      if (format !== "jwk") fail("NotSupportedError", `Unable to export an HMAC key in the format ${format}`);
      const k = bytes.toBase64({ alphabet: "base64url", omitPadding: true });
      return { key_ops: [...usages], ext: true, kty: "oct", k, alg: `HS${algorithm.hash.name.slice(4)}` };
    }
    async generateKey(algorithm, extractable, keyUsages) {
      $need(arguments, 3);
      isHmac(algorithm);
      const { length = $hash.blockOf(hashOf(algorithm.hash)) * 8 } = algorithm;
      if (!(length > 0)) fail("OperationError", "Zero-length key is not supported");
      const bytes = new Uint8Array(Math.ceil(length / 8));
      random(bytes);
      return makeKey(bytes, { hash: algorithm.hash, length }, extractable, usagesOf(keyUsages));
    }
    async sign(algorithm, key, data) {
      $need(arguments, 3);
      const inside = keyFor(algorithm, key, "sign");
      return $hash.hmac(inside.algorithm.hash.name, inside.bytes, bytesOf(data)).buffer;
    }
    async verify(algorithm, key, signature, data) {
      $need(arguments, 4);
      const inside = keyFor(algorithm, key, "verify");
      const made = $hash.hmac(inside.algorithm.hash.name, inside.bytes, bytesOf(data));
      const other = bytesOf(signature);
      let unlike = made.length ^ other.length; // in constant time
      for (let i = 0; i < made.length; i++) unlike |= made[i] ^ other[i];
      return unlike === 0;
    }
  }
  for (const name of ["encrypt", "decrypt", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"]) {
    SubtleCrypto.prototype[name] = { async [name]() {
      fail("NotSupportedError", `${name} is not supported here`);
    } }[name];
  }
  const subtle = new SubtleCrypto(MADE);

  class Crypto {
    constructor(made = undefined) {
      if (made !== MADE) throw new TypeError("Illegal constructor");
    }
    get subtle() { return subtle; }
    getRandomValues(array) {
      $need(arguments, 1);
      if (!ArrayBuffer.isView(array) || !INTEGERS.test(array[Symbol.toStringTag])) {
        fail("TypeMismatchError", "The data argument must be an integer-type TypedArray");
      }
      if (array.byteLength > MOST) {
        fail("QuotaExceededError", `The requested length exceeds ${MOST} bytes`);
      }
      random(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
      return array;
    }
    randomUUID() {
      const bytes = new Uint8Array(16);
      random(bytes);
      bytes[6] = bytes[6] & 0x0f | 0x40;
      bytes[8] = bytes[8] & 0x3f | 0x80;
      return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    }
  }
  for (const made of [CryptoKey, SubtleCrypto, Crypto]) $interface(made);
  return { crypto: new Crypto(MADE), Crypto, CryptoKey, SubtleCrypto };
})

// SHA-1 and SHA-2 (FIPS 180-4) and HMAC (RFC 2104), of bytes. Words are of 32 bits; those of 64 are two.
(() => {
  "use strict";
  // The constants are the first bits of the fractions of roots of primes, so they are worked out.
  const primes = [];
  for (let n = 2; primes.length < 80; n++) if (primes.every((it) => n % it !== 0)) primes.push(n);
  const root = (n, degree) => {
    let [low, high] = [0n, n];
    while (low < high) {
      const middle = (low + high + 1n) / 2n;
      if (middle ** degree <= n) low = middle;
      else high = middle - 1n;
    }
    return low;
  };
  const fraction = (prime, degree) => BigInt.asUintN(64, root(BigInt(prime) << (64n * degree), degree));
  const halves = (wide) => Int32Array.from(wide.flatMap((it) => [Number(it >> 32n), Number(it & 0xffffffffn)]).map((it) => it | 0));
  const upper = (wide) => Int32Array.from(wide, (it) => Number(it >> 32n) | 0);
  const cubes = primes.map((it) => fraction(it, 3n));
  const K = upper(cubes.slice(0, 64));
  const KK = halves(cubes);
  const squares = primes.slice(0, 16).map((it) => fraction(it, 2n));
  const words = (...list) => Int32Array.from(list);

  const sha1 = (h, block, w) => {
    for (let i = 0; i < 16; i++) w[i] = block.getInt32(4 * i);
    for (let i = 16; i < 80; i++) {
      const x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
      w[i] = x << 1 | x >>> 31;
    }
    let [a, b, c, d, e] = h;
    for (let i = 0; i < 80; i++) {
      const f = i < 20 ? (b & c | ~b & d) + 0x5a827999
        : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
        : i < 60 ? (b & c | b & d | c & d) + 0x8f1bbcdc : (b ^ c ^ d) + 0xca62c1d6;
      const t = (a << 5 | a >>> 27) + f + e + w[i] | 0;
      e = d;
      d = c;
      c = b << 30 | b >>> 2;
      b = a;
      a = t;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
  };

  const sha256 = (hash, block, w) => {
    for (let i = 0; i < 16; i++) w[i] = block.getInt32(4 * i);
    for (let i = 16; i < 64; i++) {
      const [x, y] = [w[i - 15], w[i - 2]];
      const s = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3;
      const t = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10;
      w[i] = w[i - 16] + s + w[i - 7] + t | 0;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const t = h + s + (e & f ^ ~e & g) + K[i] + w[i] | 0;
      const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
      h = g;
      g = f;
      f = e;
      e = d + t | 0;
      d = c;
      c = b;
      b = a;
      a = t + u | 0;
    }
    hash[0] += a; hash[1] += b; hash[2] += c; hash[3] += d;
    hash[4] += e; hash[5] += f; hash[6] += g; hash[7] += h;
  };

  // Words of 64 bits stand as upper and lower half one after the other. `low` of a sum is kept as a
  // number, of which what is above 32 bits goes to the upper half.
  const WIDE = 2 ** 32;
  const sha512 = (hash, block, w) => {
    for (let i = 0; i < 32; i++) w[i] = block.getInt32(4 * i);
    for (let i = 32; i < 160; i += 2) {
      const [xh, xl, yh, yl] = [w[i - 30], w[i - 29], w[i - 4], w[i - 3]];
      const sh = (xh >>> 1 | xl << 31) ^ (xh >>> 8 | xl << 24) ^ xh >>> 7;
      const sl = (xl >>> 1 | xh << 31) ^ (xl >>> 8 | xh << 24) ^ (xl >>> 7 | xh << 25);
      const th = (yh >>> 19 | yl << 13) ^ (yl >>> 29 | yh << 3) ^ yh >>> 6;
      const tl = (yl >>> 19 | yh << 13) ^ (yh >>> 29 | yl << 3) ^ (yl >>> 6 | yh << 26);
      const low = (sl >>> 0) + (tl >>> 0) + (w[i - 31] >>> 0) + (w[i - 13] >>> 0);
      w[i] = sh + th + w[i - 32] + w[i - 14] + Math.floor(low / WIDE) | 0;
      w[i + 1] = low | 0;
    }
    let [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl] = hash;
    for (let i = 0; i < 160; i += 2) {
      const sh = (eh >>> 14 | el << 18) ^ (eh >>> 18 | el << 14) ^ (el >>> 9 | eh << 23);
      const sl = (el >>> 14 | eh << 18) ^ (el >>> 18 | eh << 14) ^ (eh >>> 9 | el << 23);
      let low = (hl >>> 0) + (sl >>> 0) + ((el & fl ^ ~el & gl) >>> 0) + (KK[i + 1] >>> 0) + (w[i + 1] >>> 0);
      const th = hh + sh + (eh & fh ^ ~eh & gh) + KK[i] + w[i] + Math.floor(low / WIDE) | 0;
      const tl = low | 0;
      const uh = (ah >>> 28 | al << 4) ^ (al >>> 2 | ah << 30) ^ (al >>> 7 | ah << 25);
      const ul = (al >>> 28 | ah << 4) ^ (ah >>> 2 | al << 30) ^ (ah >>> 7 | al << 25);
      const vh = ah & bh ^ ah & ch ^ bh & ch;
      const vl = al & bl ^ al & cl ^ bl & cl;
      [hh, hl, gh, gl, fh, fl] = [gh, gl, fh, fl, eh, el];
      low = (dl >>> 0) + (tl >>> 0);
      eh = dh + th + Math.floor(low / WIDE) | 0;
      el = low | 0;
      [dh, dl, ch, cl, bh, bl] = [ch, cl, bh, bl, ah, al];
      low = (tl >>> 0) + (ul >>> 0) + (vl >>> 0);
      ah = th + uh + vh + Math.floor(low / WIDE) | 0;
      al = low | 0;
    }
    const made = [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl];
    for (let i = 0; i < 16; i += 2) {
      const low = (hash[i + 1] >>> 0) + (made[i + 1] >>> 0);
      hash[i] = hash[i] + made[i] + Math.floor(low / WIDE) | 0;
      hash[i + 1] = low | 0;
    }
  };

  const KINDS = {
    __proto__: null,
    "SHA-1": [sha1, words(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0), 64, 20],
    "SHA-256": [sha256, upper(squares.slice(0, 8)), 64, 32],
    "SHA-384": [sha512, halves(squares.slice(8, 16)), 128, 48],
    "SHA-512": [sha512, halves(squares.slice(0, 8)), 128, 64],
  };
  const digest = (name, ...parts) => {
    const [step, initial, size, length] = KINDS[name];
    const [hash, w] = [initial.slice(), new Int32Array(160)];
    const total = parts.reduce((sum, it) => sum + it.length, 0);
    const last = new Uint8Array(size * (total % size < size - size / 8 ? 1 : 2));
    let held = 0; // bytes of a block that is not whole
    const block = new Uint8Array(size);
    for (const part of parts) {
      let at = 0;
      while (at < part.length) {
        if (held === 0 && part.length - at >= size) {
          step(hash, new DataView(part.buffer, part.byteOffset + at, size), w);
          at += size;
          continue;
        }
        const taken = Math.min(size - held, part.length - at);
        block.set(part.subarray(at, at + taken), held);
        held += taken;
        at += taken;
        if (held === size) {
          step(hash, new DataView(block.buffer), w);
          held = 0;
        }
      }
    }
    last.set(block.subarray(0, held));
    last[held] = 0x80;
    new DataView(last.buffer).setBigUint64(last.length - 8, BigInt(total) * 8n);
    for (let at = 0; at < last.length; at += size) step(hash, new DataView(last.buffer, at, size), w);
    const made = new DataView(new ArrayBuffer(hash.length * 4));
    hash.forEach((it, i) => made.setInt32(4 * i, it));
    return new Uint8Array(made.buffer.slice(0, length));
  };
  const hmac = (name, key, data) => {
    const size = KINDS[name][2];
    const padded = new Uint8Array(size);
    padded.set(key.length > size ? digest(name, key) : key);
    const inner = digest(name, padded.map((it) => it ^ 0x36), data);
    return digest(name, padded.map((it) => it ^ 0x5c), inner);
  };
  const blockOf = (name) => KINDS[name][2];
  return { $hash: { digest, hmac, blockOf, names: Object.keys(KINDS) } };
})

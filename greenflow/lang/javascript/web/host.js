// The hosts of URLs (WHATWG URL 3): domains in ASCII, IPv4, IPv6.
//
// Domains: V8 has no UTS 46 of its own, so its mapping is made of lower case, NFKC and what is ignored.
// That is the same for what is written, but some rare characters that UTS 46 refuses are taken.
((library) => {
  "use strict";
  const { $utf8 } = library;
  const FORBIDDEN = /[\0\t\n\r #/:<>?@[\\\]^|]/;
  const FORBIDDEN_DOMAIN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;
  const IGNORED = /[\u00ad\u034f\u180b-\u180d\u180f\u200b\u2060\u2064\ufe00-\ufe0f\ufeff]/g;

  // Punycode (RFC 3492).
  const adapt = (delta, points, isFirst) => {
    let left = isFirst ? Math.floor(delta / 700) : delta >> 1;
    left += Math.floor(left / points);
    let k = 0;
    for (; left > 455; k += 36) left = Math.floor(left / 35);
    return k + Math.floor((36 * left) / (left + 38));
  };
  const digit = (value) => String.fromCharCode(value < 26 ? value + 97 : value + 22);
  const threshold = (k, bias) => (k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias);
  const encode = (label) => {
    const points = Array.from(label, (it) => it.codePointAt(0));
    let made = points.filter((it) => it < 0x80).map((it) => String.fromCharCode(it)).join("");
    const basic = made.length;
    let done = basic;
    if (basic > 0) made += "-";
    let [n, delta, bias] = [0x80, 0, 72];
    while (done < points.length) {
      const next = Math.min(...points.filter((it) => it >= n));
      delta += (next - n) * (done + 1);
      n = next;
      for (const point of points) {
        if (point < n) delta++;
        if (point !== n) continue;
        let q = delta;
        for (let k = 36; ; k += 36) {
          const t = threshold(k, bias);
          if (q < t) break;
          made += digit(t + ((q - t) % (36 - t)));
          q = Math.floor((q - t) / (36 - t));
        }
        made += digit(q);
        bias = adapt(delta, done + 1, done === basic);
        delta = 0;
        done++;
      }
      delta++;
      n++;
    }
    return made;
  };
  const decode = (text) => {
    const cut = text.lastIndexOf("-");
    const points = cut > 0 ? Array.from(text.slice(0, cut), (it) => it.charCodeAt(0)) : [];
    let [n, i, bias] = [0x80, 0, 72];
    for (let at = cut > 0 ? cut + 1 : 0; at < text.length; ) {
      const before = i;
      for (let [w, k] = [1, 36]; ; k += 36) {
        const code = at < text.length ? text.charCodeAt(at++) : 0;
        const value = code >= 48 && code < 58 ? code - 22 : code >= 97 && code < 123 ? code - 97 : -1;
        if (value < 0) return undefined;
        i += value * w;
        const t = threshold(k, bias);
        if (value < t) break;
        w *= 36 - t;
      }
      bias = adapt(i - before, points.length + 1, before === 0);
      n += Math.floor(i / (points.length + 1));
      i %= points.length + 1;
      if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000)) return undefined;
      points.splice(i++, 0, n);
    }
    return points.map((it) => String.fromCodePoint(it)).join("");
  };

  const mapped = (text) =>
    text.replace(IGNORED, "").replaceAll("\u1e9e", "\u00df").normalize("NFKC").toLowerCase().normalize("NFKC")
      .replace(/[\u3002\uff0e\uff61]/g, ".");
  const isValid = (label) =>
    label === mapped(label) && !/^\p{M}/u.test(label) && !/[\p{Cc}\p{Cn}\p{Co}\p{Cs}\u2028\u2029\ufffd]/u.test(label);
  const $domain = (text) => {
    const labels = [];
    for (const label of mapped(text).split(".")) {
      if (label.startsWith("xn--")) {
        const meant = decode(label.slice(4));
        if (meant === undefined || !/[^\0-\x7f]/.test(meant) || !isValid(meant)) return undefined;
        if (encode(meant) !== label.slice(4)) return undefined;
        labels.push(label);
      } else if (/[^\0-\x7f]/.test(label)) {
        if (!isValid(label)) return undefined;
        labels.push(`xn--${encode(label)}`);
      } else labels.push(label);
    }
    return labels.join(".");
  };

  const number = (part) => {
    if (part === "") return undefined;
    const base = /^0x/i.test(part) ? 16 : /^0./.test(part) ? 8 : 10;
    const digits = base === 16 ? part.slice(2) : base === 8 ? part.slice(1) : part;
    const pattern = { 8: /^[0-7]*$/, 10: /^[0-9]*$/, 16: /^[0-9a-f]*$/i }[base];
    if (!pattern.test(digits)) return undefined;
    return digits === "" ? 0 : parseInt(digits, base);
  };
  const $address = (domain) => {
    const parts = domain.split(".");
    if (parts.length > 1 && parts.at(-1) === "") parts.pop();
    if (!/^[0-9]+$/.test(parts.at(-1)) && (number(parts.at(-1)) === undefined || !/^0x/i.test(parts.at(-1)))) return domain;
    if (parts.length > 4) return undefined;
    const numbers = parts.map(number);
    if (numbers.some((it) => it === undefined)) return undefined;
    const last = numbers.pop();
    if (numbers.some((it) => it > 255) || last >= 256 ** (4 - numbers.length)) return undefined;
    const whole = numbers.reduce((sum, it, i) => sum + it * 256 ** (3 - i), last);
    return [24, 16, 8, 0].map((shift) => Math.floor(whole / 2 ** shift) % 256).join(".");
  };

  const ipv6 = (text) => {
    const [head, tail, ...more] = text.split("::");
    if (more.length > 0) return undefined;
    const words = (part, isEnd) => {
      if (part === undefined || part === "") return [];
      const list = [];
      const pieces = part.split(":");
      for (let i = 0; i < pieces.length; i++) {
        if (isEnd && i === pieces.length - 1 && pieces[i].includes(".")) {
          const bytes = pieces[i].split(".");
          if (bytes.length !== 4 || !bytes.every((it) => /^(0|[1-9][0-9]{0,2})$/.test(it) && it < 256)) return undefined;
          list.push(bytes[0] * 256 + +bytes[1], bytes[2] * 256 + +bytes[3]);
        } else if (/^[0-9a-f]{1,4}$/i.test(pieces[i])) list.push(parseInt(pieces[i], 16));
        else return undefined;
      }
      return list;
    };
    const first = words(head, tail === undefined);
    const last = words(tail, true);
    if (first === undefined || last === undefined) return undefined;
    const gap = 8 - first.length - last.length;
    if (tail === undefined ? gap !== 0 : gap < 1) return undefined;
    const all = [...first, ...new Array(gap).fill(0), ...last];
    let [best, length] = [-1, 1];
    for (let i = 0; i < 8; i++) {
      let end = i;
      while (end < 8 && all[end] === 0) end++;
      if (end - i > length) [best, length] = [i, end - i];
    }
    const hex = (list) => list.map((it) => it.toString(16)).join(":");
    return best < 0 ? `[${hex(all)}]` : `[${hex(all.slice(0, best))}::${hex(all.slice(best + length))}]`;
  };

  // The host of a text, or undefined. `percent` is url.js's for what is not special.
  const $host = (text, isSpecial, percent) => {
    if (text[0] === "[") return text.endsWith("]") ? ipv6(text.slice(1, -1)) : undefined;
    if (!isSpecial) return FORBIDDEN.test(text) ? undefined : percent(text);
    const bytes = [];
    const given = $utf8.encode(text);
    for (let i = 0; i < given.length; i++) {
      const hex = given[i] === 37 ? String.fromCharCode(given[i + 1], given[i + 2]) : "";
      if (/^[0-9a-f]{2}$/i.test(hex)) {
        bytes.push(parseInt(hex, 16));
        i += 2;
      } else bytes.push(given[i]);
    }
    const domain = $domain($utf8.decode(Uint8Array.from(bytes)));
    if (domain === undefined || domain === "" || FORBIDDEN_DOMAIN.test(domain)) return undefined;
    return $address(domain);
  };
  return { $host };
})

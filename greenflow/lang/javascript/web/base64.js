// atob and btoa (HTML 8.3).
((library) => {
  "use strict";
  const { DOMException, $need } = library;
  const { fromCharCode } = String;
  const PIECE = 8192; // bytes that are made a text at once

  const refuse = (why) => {
    throw new DOMException(why, "InvalidCharacterError");
  };

  function btoa(data) {
    $need(arguments, 1);
    const text = `${data}`;
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0xff) refuse("a character beyond U+00FF cannot be written in base64");
      bytes[i] = code;
    }
    return bytes.toBase64();
  }

  function atob(data) {
    $need(arguments, 1);
    let text = `${data}`.replace(/[\t\n\f\r ]+/g, "");
    if (text.length % 4 === 0) text = text.replace(/==?$/, "");
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) refuse("the text is no base64");
    const bytes = Uint8Array.fromBase64(text);
    let made = "";
    for (let i = 0; i < bytes.length; i += PIECE) made += fromCharCode.apply(null, bytes.subarray(i, i + PIECE));
    return made;
  }
  return { atob, btoa };
})

// What expressions of a recipe mean, for JavaScript that knows neither Python's numbers nor its texts.
// ECMAScript 5.1, as CWL asks. A blank line ends a piece; an exported workflow gets the pieces it uses.

var hep = {};

hep.fail = function (why) { throw new Error(why); };

// --- numbers: whole ones are exact or refused; a Float is spelled as Python spells floats

hep.isWhole = function (x) { return typeof x === "number" && isFinite(x) && Math.floor(x) === x; };

hep.integer = function (x) {
  if (typeof x === "boolean") { return x ? 1 : 0; }
  if (!hep.isWhole(x) || Math.abs(x) > 9007199254740991) {
    hep.fail(x + " is not a whole number that JavaScript can hold exactly");
  }
  return x + 0; // there is one whole zero
};

hep.number = function (x) {
  if (typeof x === "boolean") { return x ? 1 : 0; }
  if (typeof x !== "number") { hep.fail("a number is needed, not " + JSON.stringify(x)); }
  return hep.isWhole(x) ? hep.integer(x) : x;
};

hep.exact = function (x) {
  if (typeof x === "number") { return hep.finite(hep.isWhole(x) ? hep.integer(x) : x); }
  if (x && typeof x === "object") { for (var key in x) { hep.exact(x[key]); } }
  return x;
};

hep.finite = function (x) {
  if (typeof x === "number" && (!isFinite(x) || (x === 0 && 1 / x < 0))) {
    hep.fail("the result " + (x === 0 ? "-0.0" : x) + " cannot be handed on as JSON");
  }
  if (x && typeof x === "object") { for (var key in x) { hep.finite(x[key]); } }
  return x;
};

hep.Float = function (value) { this.value = value; };

hep.float = function (x) {
  if (typeof x === "number") { return new hep.Float(x); }
  return Array.isArray(x) ? x.map(hep.float) : x;
};

hep.numeral = function (x) {
  if (typeof x === "number") {
    if (hep.isWhole(x)) { return String(hep.integer(x)); }
  } else {
    x = x.value;
  }
  if (!isFinite(x)) { hep.fail("a number became infinite"); }
  var size = Math.abs(x), places = -1, digits, point;
  function means(text) { return Number(text + "e" + (point - 1 - places)) === size; }
  do {
    places += 1;
    var parts = size.toExponential(places).split("e"), above, below;
    digits = parts[0].replace(".", "");
    point = Number(parts[1]) + 1;
    above = String(Number(digits) + 1);
    below = digits.slice(0, -1) + (Number(digits.slice(-1)) - 1);
    // Beside a power of two the nearest text may mean another number though the one above does not;
    // of two that are equally near Python takes the even one.
    if (!means(digits) && means(above)) { digits = above; }
    if (/[13579]$/.test(digits) && means(below) &&
      /^50*$/.test(size.toExponential(60).split("e")[0].replace(".", "").slice(places + 1))) { digits = below; }
  } while (places < 16 && !means(digits));
  digits = digits.replace(/0+$/, "") || "0";
  var zeros = "00000000000000000000", sign = x < 0 || 1 / x < 0 ? "-" : "", power = String(Math.abs(point - 1));
  if (x !== 0 && (point < -3 || point > 16)) {
    return sign + digits.charAt(0) + (digits.length > 1 ? "." : "") + digits.slice(1) +
      (point < 1 ? "e-" : "e+") + (power.length < 2 ? "0" : "") + power;
  }
  if (point < 1) { return sign + "0." + zeros.slice(0, -point) + digits; }
  return sign + (digits + zeros).slice(0, point) + "." + (digits.slice(point) || "0");
};

hep.add = function (a, b) {
  if (typeof a === "string" && typeof b === "string") { return a + b; }
  if (Array.isArray(a) && Array.isArray(b)) { return a.concat(b); }
  return hep.sound(hep.number(a) + hep.number(b), a, b);
};

hep.subtract = function (a, b) { return hep.sound(hep.number(a) - hep.number(b), a, b); };

hep.multiply = function (a, b) {
  var items = typeof a === "string" || Array.isArray(a) ? a : b, times = items === a ? b : a;
  if (typeof items === "string" || Array.isArray(items)) {
    var found = typeof items === "string" ? "" : [];
    for (var i = 0; i < hep.integer(times); i++) { found = found.concat(items); }
    return found;
  }
  return hep.sound(hep.number(a) * hep.number(b), a, b);
};

hep.sound = function (result, a, b) {
  return hep.isWhole(a) && hep.isWhole(b) ? hep.integer(result) : result;
};

hep.divide = function (a, b) {
  if (Number(b) === 0) { hep.fail("division by zero"); }
  return a / b;
};

// Of floats, zeros with their sign, as CPython computes them; whole numbers have one zero.
hep.remainder = function (a, b) {
  if (Number(b) === 0) { hep.fail("division by zero"); }
  var rest = a % b;
  return rest === 0 ? hep.zero(b) : (rest < 0) !== (b < 0) ? rest + b : rest;
};

hep.quotient = function (a, b) {
  if (Number(b) === 0) { hep.fail("division by zero"); }
  var rest = a % b, quotient = (a - rest) / b;
  if (rest !== 0 && (rest < 0) !== (b < 0)) { quotient -= 1; }
  if (quotient === 0) { return hep.zero(a / b); }
  var whole = Math.floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
};

hep.zero = function (like) { return like < 0 || 1 / like < 0 ? -0.0 : 0; };

hep.modulo = function (a, b) { return hep.sound(hep.remainder(hep.number(a), hep.number(b)), a, b); };

hep.floordiv = function (a, b) { return hep.sound(hep.quotient(hep.number(a), hep.number(b)), a, b); };

hep.power = function (a, b) {
  if (hep.integer(b) < 0) { hep.fail("a negative exponent"); }
  var found = 1;
  for (var i = 0; i < b && Math.abs(found) <= 9007199254740991; i++) { found *= hep.integer(a); }
  return a === 0 || a === 1 || a === -1 ? (b === 0 ? 1 : a === -1 && b % 2 === 0 ? 1 : a) : hep.integer(found);
};

hep.round = function (x, digits) {
  if (hep.isWhole(x)) { return x; }
  return parseFloat(hep.fixed(x, digits));
};

// `toFixed` rounds the exact value; only of exact halves does it take the larger, Python the even one.
hep.fixed = function (x, digits) {
  if (!isFinite(x) || Math.abs(x) >= 1e21 || digits > 40) { hep.fail(x + " cannot be rounded here"); }
  var size = Math.abs(x), text = size.toFixed(digits), whole = size.toFixed(Math.min(100, digits + 60));
  var rest = whole.slice(whole.indexOf(".") + 1 + digits);
  if (/^50*$/.test(rest) && "13579".indexOf(text.charAt(text.length - 1)) >= 0) {
    var down = whole.slice(0, whole.indexOf(".") + 1 + digits);
    text = digits ? down : down.slice(0, -1);
  }
  return (x < 0 || 1 / x < 0 ? "-" : "") + text;
};

hep.truncated = function (x, fallback) {
  if (typeof x === "string") {
    if (/^\s*[-+]?[0-9]+(_[0-9]+)*\s*$/.test(x)) { return hep.integer(parseInt(x.replace(/_/g, ""), 10)); }
    if (fallback === undefined) { hep.fail("not a whole number: " + x); }
    x = hep.decimal(x, null);
    if (x === null) { return fallback; }
  }
  if (typeof x === "boolean") { return x ? 1 : 0; }
  if (typeof x !== "number") { return fallback === undefined ? hep.fail("not a number") : fallback; }
  return hep.integer((x < 0 ? Math.ceil(x) : Math.floor(x)) + 0);
};

hep.decimal = function (x, fallback) {
  if (typeof x === "string") {
    if (/^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$/.test(x)) { return parseFloat(x); }
    if (/^\s*[-+]?(inf|nan|infinity)\s*$/i.test(x) || /_/.test(x)) { hep.fail("not a number here: " + x); }
  }
  if (typeof x === "boolean") { return x ? 1 : 0; }
  if (typeof x === "number") { return x; }
  return fallback === undefined ? hep.fail("not a number: " + JSON.stringify(x)) : fallback;
};

hep.range = function (start, stop, step) {
  if (stop === undefined) { stop = start; start = 0; }
  if (step === undefined) { step = 1; }
  if (hep.integer(step) === 0) { hep.fail("range: the step is zero"); }
  var found = [], end = hep.integer(stop);
  for (var i = hep.integer(start); step > 0 ? i < end : i > end; i += step) { found.push(i); }
  return found;
};

// --- truth, equality, order

hep.truth = function (x) {
  if (Array.isArray(x)) { return x.length > 0; }
  if (x && typeof x === "object") { return Object.keys(x).length > 0; }
  return Boolean(x);
};

hep.equal = function (a, b) {
  if (typeof a === "boolean") { a = typeof b === "number" ? Number(a) : a; }
  if (typeof b === "boolean") { b = typeof a === "number" ? Number(b) : b; }
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") {
    return typeof a === "number" && typeof b === "number" ? hep.number(a) === hep.number(b) : a === b;
  }
  if (hep.isFile(a) || hep.isFile(b)) { hep.fail("files cannot be compared here"); }
  var keys = Object.keys(a);
  return Array.isArray(a) === Array.isArray(b) && keys.length === Object.keys(b).length &&
    keys.every(function (key) { return b.hasOwnProperty(key) && hep.equal(a[key], b[key]); });
};

// Below, equal or above: -1, 0 or 1. Texts by code points, which UTF-16 orders differently.
hep.order = function (a, b) {
  if (typeof a === "string" && typeof b === "string") {
    a = hep.points(a);
    b = hep.points(b);
    for (var i = 0; i < a.length && i < b.length; i++) {
      if (a[i] !== b[i]) {
        return a[i].length - b[i].length || (a[i] < b[i] ? -1 : 1);
      }
    }
    return a.length - b.length;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    for (var k = 0; k < a.length && k < b.length; k++) {
      if (!hep.equal(a[k], b[k])) { return hep.order(a[k], b[k]); }
    }
    return a.length - b.length;
  }
  a = hep.number(a);
  b = hep.number(b);
  return a < b ? -1 : a > b ? 1 : 0;
};

hep.contains = function (item, container) {
  if (typeof container === "string" && typeof item === "string") { return container.indexOf(item) >= 0; }
  if (Array.isArray(container)) {
    return container.some(function (one) { return hep.equal(one, item); });
  }
  if (container && typeof container === "object" && !hep.isFile(container)) {
    return typeof item === "string" && container.hasOwnProperty(item);
  }
  return hep.fail("'in' needs an array, a record or two texts");
};

// --- parts

hep.points = function (text) { return text.match(/[\ud800-\udbff][\udc00-\udfff]|[\s\S]/g) || []; };

hep.isFile = function (x) {
  return x !== null && typeof x === "object" && (x["class"] === "File" || x["class"] === "Directory");
};

hep.items = function (x) {
  if (Array.isArray(x)) { return x; }
  if (typeof x === "string") { return hep.points(x); }
  if (x && typeof x === "object" && !hep.isFile(x)) { return Object.keys(x); }
  return hep.fail("an array is needed, not " + JSON.stringify(x));
};

hep.item = function (of, key) {
  if (of && typeof of === "object" && !Array.isArray(of)) { return hep.attribute(of, key); }
  var items = hep.items(of), at = hep.integer(key) < 0 ? key + items.length : key;
  if (at < 0 || at >= items.length) { hep.fail("there is no element " + key); }
  return items[at];
};

hep.attribute = function (of, name) {
  if (of && typeof of === "object" && of.hasOwnProperty(name) && !hep.isFile(of)) { return of[name]; }
  if (hep.isFile(of) && name === "basename") { return of.basename; }
  return hep.fail("there is no '" + name + "' in " + JSON.stringify(of));
};

hep.slice = function (of, start, stop, step) {
  var items = hep.items(of), n = items.length, found = [];
  step = step === null ? 1 : hep.integer(step);
  if (step === 0) { hep.fail("the step of a slice is zero"); }
  function clip(at, missing) {
    if (at === null) { return missing; }
    at = hep.integer(at) < 0 ? at + n : at;
    return step > 0 ? Math.max(0, Math.min(n, at)) : Math.max(-1, Math.min(n - 1, at));
  }
  var from = clip(start, step > 0 ? 0 : n - 1), to = clip(stop, step > 0 ? n : -1);
  for (var i = from; step > 0 ? i < to : i > to; i += step) { found.push(items[i]); }
  return typeof of === "string" ? found.join("") : found;
};

hep.length = function (x) { return hep.items(x).length; };

hep.best = function (items, sign) {
  if (!items.length) { hep.fail("nothing to choose from"); }
  return items.reduce(function (a, b) { return sign * hep.order(b, a) > 0 ? b : a; });
};

hep.sum = function (items) { return items.reduce(hep.add, 0); };

hep.sorted = function (items, reverse, key) {
  key = key || function (x) { return x; };
  return hep.items(items).map(function (item, place) { return [item, place]; }).sort(function (a, b) {
    var order = hep.order(key(a[0]), key(b[0]));
    return (reverse ? -order : order) || a[1] - b[1];
  }).map(function (pair) { return pair[0]; });
};

hep.lowered = function (x) { return typeof x === "string" ? x.toLowerCase() : x; };

hep.unique = function (items) {
  var seen = [];
  return hep.items(items).filter(function (item) {
    var key = hep.lowered(item);
    return !hep.contains(key, seen) && seen.push(key) > 0;
  });
};

hep.each = function (items, body) {
  items = hep.items(items);
  return items.map(function (item, i) {
    var n = items.length;
    return body(item, {
      index: i + 1, index0: i, revindex: n - i, revindex0: n - i - 1,
      first: i === 0, last: i === n - 1, length: n
    });
  }).join("");
};

// --- texts

hep.string = function (x) {
  return typeof x === "string" ? x : hep.fail("a text is needed, not " + JSON.stringify(x));
};

hep.strip = function (text) {
  return text.replace(/^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g, "");
};

hep.words = function (text) { return hep.strip(text) ? hep.strip(text).split(/[\s\x1c-\x1f\x85]+/) : []; };

hep.replace = function (text, old, fresh) {
  return old ? text.split(old).join(fresh) : hep.fail("nothing to replace");
};

hep.endsWith = function (text, end) { return text.slice(Math.max(0, text.length - end.length)) === end; };

hep.pathOf = function (x) { return hep.isFile(x) ? x.path : hep.string(x); };

hep.basename = function (x) {
  if (Array.isArray(x)) { return x.map(hep.basename); }
  return hep.isFile(x) ? x.basename : hep.string(x).replace(/\/+$/, "").replace(/^[\s\S]*\//, "");
};

hep.stem = function (x) {
  if (Array.isArray(x)) { return x.map(hep.stem); }
  return hep.basename(x).replace(/([\s\S])\.[^.]*$/, "$1");
};

hep.suffix = function (x) {
  if (Array.isArray(x)) { return x.map(hep.suffix); }
  return hep.basename(x).slice(hep.stem(x).length);
};

hep.dirname = function (x) {
  if (Array.isArray(x)) { return x.map(hep.dirname); }
  var path = hep.pathOf(x).replace(/\/+$/, "");
  return path.indexOf("/") < 0 ? "" : path.replace(/\/[^\/]*$/, "");
};

hep.format = function (pattern, values) {
  var next = 0;
  var text = pattern.replace(/%(?:%|([-+ 0]*)([0-9]*)(?:\.([0-9]+))?([dsf])|[\s\S]?)/g,
    function (all, flags, width, digits, kind) {
      if (all === "%%") { return "%"; }
      if (!kind) { return hep.fail("the format " + all + " is not known here"); }
      if (next >= values.length) { hep.fail("too few values for the format " + pattern); }
      var value = values[next++], body;
      if (kind === "s") {
        body = hep.str(value);
        body = digits === undefined ? body : hep.points(body).slice(0, digits).join("");
      } else {
        value = value instanceof hep.Float ? value.value : hep.number(value);
        body = kind === "f" ? hep.fixed(value, digits === undefined ? 6 : Number(digits))
          : String(hep.truncated(value));
        if (kind === "d" && digits !== undefined) { hep.fail("the format " + all + " is not known here"); }
        var sign = body.charAt(0) === "-" ? "-" : /\+/.test(flags) ? "+" : / /.test(flags) ? " " : "";
        body = body.replace(/^-/, "");
        if (/0/.test(flags) && !/-/.test(flags)) {
          while (sign.length + body.length < width) { body = "0" + body; }
        }
        body = sign + body;
      }
      for (var length = hep.points(body).length; length < width; length++) {
        body = /-/.test(flags) ? body + " " : " " + body;
      }
      return body;
    });
  return next < values.length ? hep.fail("too many values for the format " + pattern) : text;
};

// --- how values are spelled

hep.text = function (x) {
  if (x === null || x === undefined) { return ""; }
  if (typeof x === "string") { return x; }
  if (typeof x === "boolean") { return x ? "true" : "false"; }
  if (typeof x === "number" || x instanceof hep.Float) { return hep.numeral(x); }
  if (hep.isFile(x)) { return x.path; }
  return Array.isArray(x) ? x.map(hep.text).join(" ") : hep.json(x);
};

hep.json = function (x) {
  if (typeof x === "number" || x instanceof hep.Float) { return hep.numeral(x); }
  if (x === null || typeof x !== "object") { return JSON.stringify(x); }
  if (hep.isFile(x)) { return JSON.stringify(x.path); }
  if (Array.isArray(x)) { return "[" + x.map(hep.json).join(", ") + "]"; }
  return "{" + Object.keys(x).map(function (key) {
    return JSON.stringify(key) + ": " + hep.json(x[key]);
  }).join(", ") + "}";
};

hep.python = function (x) {
  if (x === null || x === undefined) { return "None"; }
  if (typeof x === "boolean") { return x ? "True" : "False"; }
  if (typeof x === "number" || x instanceof hep.Float) { return hep.numeral(x); }
  if (typeof x === "string") { return hep.repr(x); }
  if (hep.isFile(x)) { return hep.repr(x.path); }
  if (Array.isArray(x)) { return "[" + x.map(hep.python).join(", ") + "]"; }
  return "{" + Object.keys(x).map(function (key) {
    return hep.repr(key) + ": " + hep.python(x[key]);
  }).join(", ") + "}";
};

hep.repr = function (text) {
  var quote = text.indexOf("'") >= 0 && text.indexOf('"') < 0 ? '"' : "'";
  var known = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  return quote + text.replace(/[\\\u0000-\u001f\u007f-\u00a0\u00ad'"]/g, function (c) {
    if (c === "'" || c === '"') { return c === quote ? "\\" + c : c; }
    return known[c] || "\\x" + ("0" + c.charCodeAt(0).toString(16)).slice(-2);
  }) + quote;
};

hep.str = function (x) { return typeof x === "string" ? x : hep.isFile(x) ? x.path : hep.python(x); };

hep.quoted = function (text) {
  if (text.indexOf("\u0000") >= 0) { hep.fail("a text with a NUL character cannot stand in a command"); }
  if (text && !/[^A-Za-z0-9_@%+=:,.\/-]/.test(text)) { return text; }
  return "'" + text.replace(/'/g, "'\"'\"'") + "'";
};

hep.word = function (x) {
  if (x === null || x === undefined) { return ""; }
  if (typeof x === "number" || x instanceof hep.Float) { return hep.numeral(x); }
  return Array.isArray(x) ? x.map(hep.word).join(" ") : hep.quoted(hep.text(x));
};

hep.inDouble = function (x) { return hep.text(x).replace(/([\\"$`])/g, "\\$1"); };

hep.inSingle = function (x) { return hep.text(x).replace(/'/g, "'\"'\"'"); };

hep.inAnsi = function (x) { return hep.text(x).replace(/([\\'])/g, "\\$1"); };

// An array as words, each ended by NUL (which no argument can hold), anything else as text.
hep.ended = function (x) {
  if (!Array.isArray(x)) { return hep.text(x); }
  return x.map(function (item) { return hep.text(item) + "\u0000"; }).join("") || "\u0000none";
};

hep.arguments = function (text) {
  if (text === "\u0000none") { return []; }
  return text.indexOf("\u0000") < 0 ? [text] : text.replace(/\u0000$/, "").split("\u0000");
};

hep.listing = function (x) {
  return (Array.isArray(x) ? x : [x]).map(function (item) {
    var line = hep.text(item);
    return line.indexOf("\n") < 0 ? line + "\n" : hep.fail("'listing' cannot hold a text of several lines");
  }).join("");
};

// --- outputs

hep.path = function (text) {
  text = hep.strip(text);
  if (!text || text === "." || /^[\/~]|:\/\/|\u0000/.test(text) || /(^|\/)\.\.(\/|$)/.test(text)) {
    hep.fail("'" + text + "' is not the path of an output in the task's folder");
  }
  return text.replace(/\/+$/, "");
};

hep.literally = function (path) { return path.replace(/([*?\[])/g, "[$1]"); };

hep.matches = function (self, kind, optional) {
  var found = self.filter(function (one) { return one["class"] === kind; });
  if (!found.length && !optional) { hep.fail("nothing matches the pattern of the output"); }
  return hep.sorted(found, false, function (one) { return one.path || one.location; });
};

hep.lines = function (self) { return self.length ? self[0].contents.replace(/\n+$/, "") : null; };

hep.data = function (self) { return self.length ? JSON.parse(self[0].contents) : null; };

// --- loops

hep.goesOn = function (again, number, limit) {
  if (again && number >= limit) { hep.fail("the loop did not end within its limit of " + limit + " rounds"); }
  return again;
};

// --- quantities: MiB and seconds

hep.mebibytes = function (x) {
  var match = /^\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*$/.exec(x), unit;
  if (match) {
    var parts = /^([kmgtp]?)(i?)(b?)$/.exec(match[2].toLowerCase());
    if (parts && (parts[1] || !parts[2])) {
      var power = parts[1] ? "kmgtp".indexOf(parts[1]) + 1 : 0;
      unit = parts[0] ? Math.pow(parts[2] ? 1024 : 1000, power) : 1048576;
    }
  }
  if (!unit) { hep.fail("'" + x + "' is not an amount of memory"); }
  return Math.ceil(Number(hep.fixed(Number(match[1]) * unit, 0)) / 1048576);
};

hep.seconds = function (x) {
  var text = hep.strip(String(x)), clock = /^(?:([0-9]+)-)?([0-9]+):([0-9][0-9]):([0-9][0-9])$/.exec(text);
  if (clock) {
    return ((Number(clock[1] || 0) * 24 + Number(clock[2])) * 60 + Number(clock[3])) * 60 + Number(clock[4]);
  }
  var units = {
    "": 1, s: 1, sec: 1, secs: 1, second: 1, seconds: 1, m: 60, min: 60, mins: 60, minute: 60, minutes: 60,
    h: 3600, hour: 3600, hours: 3600, d: 86400, day: 86400, days: 86400, ms: 0.001
  };
  var total = 0, rest = text.replace(/([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)/g, function (all, number, unit) {
    total += Number(number) * units[unit.toLowerCase()];
    return "";
  });
  return text && !hep.strip(rest) && total === total ? total : hep.fail("'" + x + "' is not a time");
};

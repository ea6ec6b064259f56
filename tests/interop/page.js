// A browser's own WebSocket against the server of tests/interop.rs. WebDriver gives the address, and what takes the result:
// "ok", or what went wrong. A page can neither fragment nor ping.

// The second are the extensions that are agreed on for the routes that compress.
const [base, AGREED, done] = arguments;
const SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_048_575];
const UNICODE = "é读🦀";

const next = (socket, name) => new Promise((resolve) => socket.addEventListener(name, resolve, { once: true }));

function equal(got, wanted, what) {
  if (got !== wanted) throw new Error(`${what}: ${String(got).slice(0, 50)}, not ${String(wanted).slice(0, 50)}`);
}

async function talk(path) {
  const socket = new WebSocket(`${base}/${path}/browser`, ["chat.v1", "chat.v2"]);
  socket.binaryType = "arraybuffer";
  await next(socket, "open");
  equal(socket.protocol, "chat.v2", "subprotocol");
  equal(socket.extensions, AGREED[path] ?? "", "extensions");

  for (const size of SIZES) {
    for (const message of ["x".repeat(size), UNICODE.repeat(size / 16)]) {
      const back = next(socket, "message");
      socket.send(message);
      equal((await back).data, message, `text of ${size}`);
    }
    const bytes = Uint8Array.from({ length: size }, (_, n) => n % 251);
    const back = next(socket, "message");
    socket.send(bytes);
    equal(new Uint8Array((await back).data).join(), bytes.join(), `${size} bytes`);
  }

  const closed = next(socket, "close");
  socket.close(4001, "再见");
  const { code, reason, wasClean } = await closed;
  equal(JSON.stringify([code, reason, wasClean]), JSON.stringify([4001, "", true]), "close by the client");

  const other = await next(new WebSocket(`${base}/${path}/browser?close=4007`), "close");
  const end = JSON.stringify([other.code, other.reason, other.wasClean]);
  equal(end, JSON.stringify([4007, "no such room", true]), "close by the server");
}

// The server pings each second, and closes when it is not answered.
async function pinged() {
  const socket = new WebSocket(`${base}/pinged/browser`);
  await next(socket, "open");
  for (let n = 0; n < 30; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const back = Promise.race([next(socket, "message"), next(socket, "close")]);
    socket.send(String(n));
    equal((await back).data, String(n), "while it is pinged");
  }
}

// What is pinged is by itself: while the others talk, the page may be too busy to answer.
Promise.all(["plain", ...Object.keys(AGREED)].map(talk)).then(pinged).then(() => done("ok"), (error) => done(String(error)));

// The websocket to the server: hello, keep-alive, and connecting anew when it breaks.

import { FINAL_CODES, PATH, VERSION } from "./frames.js";

const PING_MS = 5000;
const DEAD_MS = 20000;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 15000;
// Bytes that wait to be sent beyond which sound is dropped: a second at 16 kHz. Less would lose
// what piles up while the page itself is busy.
const SEND_BUFFER = 32768;

export class Connection {
  // `handlers`: message(object), sound(ArrayBuffer), state(text, "busy" | "live"), refused(code,
  // message). `hello` gives the fields of the first frame, asked for at each connection.
  constructor(hello, handlers) {
    this.hello = hello;
    this.handlers = handlers;
    this.socket = null;
    this.live = false;
    this.ever = false;
    this.ended = false;
    this.attempt = 0;
    this.roundTrip = null;
    this.unsent = 0;
    this.bytes = { sent: 0, received: 0 };
    this.open();
  }

  open() {
    this.handlers.state(this.ever ? "Connecting again…" : "Connecting…", "busy");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${PATH}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.refusal = null;
    this.heard = performance.now();
    socket.onopen = () => {
      this.tell({ type: "hello", version: VERSION, ...this.hello() });
      this.handlers.state("Starting the codec…", "busy");
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = () => this.closed(socket);
    clearInterval(this.pinger);
    this.pinger = setInterval(() => this.ping(), PING_MS);
  }

  receive(data) {
    this.heard = performance.now();
    if (typeof data !== "string") {
      this.bytes.received += data.byteLength;
      this.handlers.sound(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "pong") {
      this.roundTrip = performance.now() - this.pinged;
    } else if (message.type === "error") {
      this.refusal = message;
    } else {
      if (message.type === "welcome") {
        this.live = this.ever = true;
        this.attempt = 0;
        this.handlers.state("In the call", "live");
        this.ping();
      }
      this.handlers.message(message);
    }
  }

  ping() {
    if (performance.now() - this.heard > DEAD_MS) {
      this.closed(this.socket);
      return;
    }
    this.pinged = performance.now();
    this.tell({ type: "ping", number: Math.round(this.pinged) });
  }

  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(message));
    }
  }

  send(frame) {
    if (!this.live || this.socket.readyState !== WebSocket.OPEN) {
      return;
    }
    if (this.socket.bufferedAmount > SEND_BUFFER) {
      this.unsent += 1;
      return;
    }
    this.bytes.sent += frame.byteLength;
    this.socket.send(frame);
  }

  closed(socket) {
    if (socket !== this.socket || this.ended) {
      return;
    }
    this.live = false;
    socket.onclose = socket.onmessage = null;
    socket.close();
    if (this.refusal && FINAL_CODES.has(this.refusal.code)) {
      this.end();
      this.handlers.refused(this.refusal.code, this.refusal.message);
      return;
    }
    if (!this.ever && this.attempt > 1) {
      this.end();
      this.handlers.refused("unreachable", "");
      return;
    }
    clearInterval(this.pinger);
    const longest = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.attempt, 10));
    this.attempt += 1;
    this.handlers.state("Connection lost, trying again…", "busy");
    this.retry = setTimeout(() => this.open(), longest * (0.5 + 0.5 * Math.random()));
  }

  end() {
    this.ended = true;
    this.live = false;
    clearInterval(this.pinger);
    clearTimeout(this.retry);
    this.tell({ type: "leave" });
    this.socket.close();
  }
}

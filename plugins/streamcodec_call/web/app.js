// Joins form, sound, connection and view.

import { Connection } from "./connection.js";
import { buildPcm, gap, LEVELS, parseBinary, PCM, SILENCE } from "./frames.js";
import { Sound } from "./sound.js";
import * as view from "./view.js";

const FIGURES_MS = 1000;
// Between two looks at the own level: as often as those of the others come.
const LEVEL_MS = 100;
// Figures of loss are over the last this many seconds.
const LOSS_WINDOW = 10;
// For which the button says that the link was copied.
const INVITED_MS = 3000;
const INVITE = "Copy link to this room";
const NAME_KEY = "streamcodec-call-name";

const element = (id) => document.getElementById(id);

const REFUSALS = {
  token: "The server asks for a token, and this one is not it.",
  version: "This page is older than the server. Load it again.",
  "room-full": "The room is full.",
  "rooms-full": "The server has as many rooms as it can.",
  "gateway-full": "The server cannot run the codec for another browser now. Try again later, or "
    + "join with the native client: streamcodec call join.",
  unreachable: "The server cannot be reached, or does not let this page connect.",
};

const MICROPHONE = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it beside the "
    + "address, then join again.",
  NotFoundError: "No microphone was found. Plug one in, then join again.",
  NotReadableError: "The microphone cannot be used; perhaps another program has it.",
  SecurityError: "Browsers give a microphone only to pages from https addresses or from this "
    + "machine itself (localhost).",
};

class Call {
  constructor(settings) {
    this.settings = settings;
    this.muted = settings.muted;
    this.sequence = 0;
    this.heardSequence = null;
    this.leftOut = 0;
    this.welcome = { "codec-ms": 0 };
    this.values = null;
    this.levelShown = -Infinity;
    this.history = [];
    this.bytesBefore = { sent: 0, received: 0 };
  }

  async start() {
    this.sound = await Sound.open({
      processed: !this.settings.headphones,
      captured: (samples, level) => this.captured(samples, level),
    });
    this.sound.mute(this.muted);
    this.members = new view.Members(this.settings.name);
    view.showCall(this.settings.room);
    view.showMuted(this.muted);
    this.connection = new Connection(
      () => ({
        room: this.settings.room,
        name: this.settings.name,
        token: this.settings.token,
        rate: this.sound.rate,
        muted: this.muted,
      }),
      {
        message: (message) => this.obey(message),
        sound: (frame) => this.receive(frame),
        state: (text, state) => view.status(text, state),
        refused: (code, message) => finish(REFUSALS[code] ?? `The server refused: ${message}.`),
      },
    );
    this.ticker = setInterval(() => this.show(), FIGURES_MS);
    // A phone whose screen goes dark puts the page to sleep. Not every browser can be asked.
    navigator.wakeLock?.request("screen").then((lock) => { this.wakeLock = lock; }, () => {});
  }

  captured(samples, level) {
    const now = performance.now();
    if (now - this.levelShown >= LEVEL_MS) {
      this.levelShown = now;
      this.members?.own.level(level, this.muted ? "muted" : "");
    }
    if (this.connection && !this.muted) {
      this.connection.send(buildPcm(this.sequence, samples));
      this.sequence += 1;
    }
  }

  receive(data) {
    const frame = parseBinary(data);
    if (frame === null) {
      return;
    }
    if (frame.kind === LEVELS) {
      this.members.levels(frame.levels);
      return;
    }
    if (this.heardSequence !== null) {
      this.leftOut += gap(this.heardSequence, frame.sequence);
    }
    this.heardSequence = frame.sequence;
    if (frame.kind === PCM) {
      this.sound.push(frame.samples);
    } else if (frame.kind === SILENCE) {
      this.sound.push(null);
    }
  }

  obey(message) {
    if (message.type === "welcome") {
      this.welcome = message;
      this.heardSequence = null;
      this.history = [];
      view.log(`You are in room ${this.settings.room}.`);
    } else if (message.type === "members") {
      const { came, left } = this.members.update(message.members);
      came.forEach((member) => view.log(`${member.name} is here.`));
      left.forEach((member) => view.log(`${member.name} left.`));
    } else if (message.type === "figures") {
      this.values = message.values;
      this.history.push(message.values);
      this.history.splice(0, this.history.length - LOSS_WINDOW - 1);
    }
  }

  toggleMute() {
    this.muted = !this.muted;
    this.sound.mute(this.muted);
    this.connection.tell({ type: "mute", muted: this.muted });
    view.showMuted(this.muted);
  }

  show() {
    const { sent, received } = this.connection.bytes;
    const kbits = (now, before) => `${Math.round((8 * (now - before)) / FIGURES_MS)} kbit/s`;
    const ms = (value) => `${Math.round(value)} ms`;
    const roundTrip = this.connection.roundTrip;
    const { depth, underruns } = this.sound.playing;
    view.figures({
      "leg-sent": kbits(sent, this.bytesBefore.sent),
      "leg-received": kbits(received, this.bytesBefore.received),
      "round-trip": roundTrip === null ? "–" : ms(roundTrip),
      depth: ms(1000 * depth),
      gaps: String(underruns),
      "left-out": String(this.leftOut + this.connection.unsent),
    });
    this.bytesBefore = { sent, received };
    if (this.values === null) {
      return;
    }
    const last = this.values;
    const first = this.history[0] ?? last;
    const concealed = last.concealed - first.concealed;
    const due = concealed + last.played - first.played;
    const delay = this.welcome["codec-ms"] + last["buffer-ms"] + (roundTrip ?? 0) / 2
      + 1000 * (depth + this.sound.latency);
    const others = this.members.others.size > 0;
    view.figures({
      sent: `${last["sent-kbit-s"].toFixed(1)} kbit/s`,
      received: `${last["received-kbit-s"].toFixed(1)} kbit/s`,
      delay: others ? ms(delay) : "–",
      jitter: others ? ms(last["jitter-ms"]) : "–",
      loss: due > 0 ? `${((100 * concealed) / due).toFixed(1)} %` : "–",
      concealed: String(last.concealed),
    });
  }

  end() {
    clearInterval(this.ticker);
    this.connection?.end();
    this.sound?.close();
    this.wakeLock?.release();
  }
}

let call = null;

function finish(reason) {
  call?.end();
  call = null;
  view.showEntry();
  view.problem(reason);
  element("enter").disabled = false;
  element(reason ? "name" : "enter").focus();
}

async function join(event) {
  event.preventDefault();
  view.problem("");
  const form = event.target;
  for (const input of [form.elements.name, form.elements.room]) {
    input.value = input.value.trim();
    input.setAttribute("aria-invalid", String(!input.validity.valid));
  }
  const wrong = form.querySelector("[aria-invalid=true]");
  if (wrong) {
    view.problem(wrong.id === "name" ? "Give a name of up to 32 characters."
      : "Give a room of 1 to 64 letters, digits, dots, dashes or underscores.");
    wrong.focus();
    return;
  }
  element("enter").disabled = true;
  view.status("Asking for the microphone…", "busy");
  call = new Call({
    name: form.elements.name.value,
    room: form.elements.room.value,
    token: form.elements.token.value,
    headphones: form.elements.headphones.checked,
    muted: form.elements.muted.checked,
  });
  remember(call.settings);
  try {
    await call.start();
  } catch (error) {
    finish(MICROPHONE[error.name] ?? "The microphone cannot be used.");
  }
}

// Pages that are not from https or this machine itself have no clipboard.
async function invite() {
  try {
    await navigator.clipboard.writeText(location.href);
    view.log("The link to this room is in the clipboard. It has no token in it.");
    element("invite").textContent = "Link copied";
  } catch {
    element("invite").textContent = "Copy the address of this page";
  }
  setTimeout(() => { element("invite").textContent = INVITE; }, INVITED_MS);
}

// The room is in the address's fragment, which browsers do not send to servers.
function remember({ name, room }) {
  history.replaceState(null, "", `#room=${encodeURIComponent(room)}`);
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // No storage in private windows of some browsers: then the name is typed again.
  }
}

function recall() {
  const room = new URLSearchParams(location.hash.slice(1)).get("room");
  element("room").value = room ?? "";
  try {
    element("name").value = localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    // As above.
  }
  element("secrecy").textContent = location.protocol === "https:"
    ? "The way from this browser to the server is encrypted."
    : "The way from this browser to the server is not encrypted.";
}

recall();
element("invite").hidden = !navigator.clipboard;
element("invite").addEventListener("click", invite);
element("join").addEventListener("submit", join);
element("mute").addEventListener("click", () => call?.toggleMute());
element("leave").addEventListener("click", () => finish(""));
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key.toLowerCase() === "m" && !typing && !event.repeat
      && !event.ctrlKey && !event.metaKey && !event.altKey) {
    call?.toggleMute();
  }
});
window.addEventListener("pagehide", () => call?.end());

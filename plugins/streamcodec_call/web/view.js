// What the page shows. Names of others are text and only text.

const element = (id) => document.getElementById(id);

// Levels from here up fill the meter, dB under full scale.
const METER_FLOOR = -60;
const SPEAKING = -45;
const MAX_LOG = 50;
const ARIA_EVERY_MS = 1000;

export function status(text, state) {
  element("status").textContent = text;
  element("status").dataset.state = state;
}

export function problem(text) {
  element("problem").textContent = text;
  element("problem").hidden = !text;
}

export function log(text) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  line.append(time, text);
  const list = element("log");
  list.append(line);
  while (list.childElementCount > MAX_LOG) {
    list.firstElementChild.remove();
  }
  list.scrollTop = list.scrollHeight;
}

export function showCall(room) {
  element("entry").hidden = true;
  element("call").hidden = false;
  element("room-name").textContent = room;
  document.title = `${room} – streamcodec call`;
  element("log").replaceChildren();
  element("call-title").focus();
}

export function showEntry() {
  element("call").hidden = true;
  element("entry").hidden = false;
  document.title = "streamcodec call";
  status("Not connected", "idle");
}

export function showMuted(muted) {
  element("mute").setAttribute("aria-pressed", String(muted));
  element("mute").textContent = muted ? "Unmute" : "Mute";
}

export function figures(values) {
  for (const [id, text] of Object.entries(values)) {
    element(id).textContent = text;
  }
}

class Row {
  constructor(name) {
    this.item = document.createElement("li");
    this.item.className = "member";
    const who = document.createElement("span");
    who.className = "who";
    const text = document.createElement("bdi");
    text.textContent = name;
    who.append(text);
    this.does = document.createElement("span");
    this.does.className = "does";
    this.meter = document.createElement("div");
    this.meter.className = "meter";
    this.meter.setAttribute("role", "meter");
    this.meter.setAttribute("aria-label", `Level of ${name}`);
    this.meter.setAttribute("aria-valuemin", String(METER_FLOOR));
    this.meter.setAttribute("aria-valuemax", "0");
    this.bar = document.createElement("span");
    this.meter.append(this.bar);
    this.item.append(who, this.does, this.meter);
    this.told = -Infinity;
    this.level(METER_FLOOR, "");
  }

  // `instead` says why there is nothing to hear.
  level(decibels, instead) {
    const shown = Math.min(0, Math.max(METER_FLOOR, decibels));
    const speaking = !instead && shown > SPEAKING;
    this.bar.style.transform = `scaleX(${1 - shown / METER_FLOOR})`;
    this.item.dataset.speaking = String(speaking);
    const text = instead || (speaking ? "speaking" : "");
    if (this.does.textContent !== text) {
      this.does.textContent = text;
    }
    if (performance.now() - this.told > ARIA_EVERY_MS) {
      this.told = performance.now();
      this.meter.setAttribute("aria-valuenow", String(Math.round(shown)));
      this.meter.setAttribute("aria-valuetext", text || "silent");
    }
  }
}

// The list of members, this one first.
export class Members {
  constructor(ownName) {
    this.rows = new Map();
    this.others = new Map();
    this.own = new Row(`${ownName} (you)`);
    element("members").replaceChildren(this.own.item);
    element("alone").hidden = false;
  }

  // Take who is there; gives the names of those who came and of those who left.
  update(members) {
    const before = this.others;
    this.others = new Map(members.map((member) => [member.sender, member]));
    const same = (one, other) => one && other && one.name === other.name;
    const left = [...before.values()].filter((m) => !same(m, this.others.get(m.sender)));
    const came = members.filter((m) => !same(m, before.get(m.sender)));
    for (const member of left) {
      this.rows.get(member.sender).item.remove();
      this.rows.delete(member.sender);
    }
    for (const member of came) {
      const row = new Row(member.name);
      this.rows.set(member.sender, row);
      element("members").append(row.item);
    }
    element("alone").hidden = members.length > 0;
    return { came, left };
  }

  levels(levels) {
    for (const [sender, row] of this.rows) {
      const unheard = this.others.get(sender).heard ? "" : "uses another model, cannot be heard";
      row.level(levels.get(sender) ?? METER_FLOOR, unheard);
    }
  }
}

// Plays frames as they come, with as little of them waiting as the network's jitter allows.
//
// `safety` is how much should always be left when the next frame comes. It grows when sound ran
// out and shrinks again; what was left at all times of the last two seconds and is more than that
// is left out, a period of the voice at a time where one period resembles the next. When sound
// runs out the voice is carried on by whole periods for a while, which leaves it in the phase in
// which it broke off (as stretch.py does it for native clients). This follows clocks that drift.

const SECOND = sampleRate;
const CAPACITY = 2 * SECOND;
const FRAME = 0.02 * SECOND;
const MIN_SAFETY = 0.01 * SECOND;
const FIRST_SAFETY = 0.03 * SECOND;
const MAX_SAFETY = 0.4 * SECOND;
const UNDERRUN_STEP = 0.02 * SECOND;
// Of the safety, samples for each second played.
const SINK = 0.001 * SECOND;
const WINDOW = 2 * SECOND;
const REPORT_EVERY = 0.25 * SECOND;

// Periods that are left out: of 400 to 67 Hz.
const SHORTEST = Math.round(0.0025 * SECOND);
const LONGEST = Math.round(0.015 * SECOND);
const TEMPLATE = Math.round(0.01 * SECOND);
// A period that is repeated is at least this long, or it would buzz.
const SHORTEST_REPEATED = Math.round(0.005 * SECOND);
const LEAST_LIKENESS = 0.75;
const LEAST_PERIODIC = 0.5;
// Root mean square below which any seam will do.
const QUIET = 1e-3;
// A surplus that is left out wherever it is, like or not.
const TOO_MUCH = 0.2 * SECOND;
const SKIP_EVERY = 0.1 * SECOND;
const BRIDGE = 0.06 * SECOND;
const RETURN = Math.round(0.005 * SECOND);

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(CAPACITY);
    this.start = 0;
    this.count = 0;
    this.playing = false;
    this.over = true;
    this.safety = FIRST_SAFETY;
    this.least = Infinity;
    this.surplus = 0;
    this.windowed = 0;
    this.sinceSkip = 0;
    this.sinceReport = 0;
    this.bridged = 0;
    this.period = new Float32Array(0);
    this.gain = 1;
    this.fadeIn = false;
    this.underruns = 0;
    this.skipped = 0;
    this.port.onmessage = (event) => this.push(event.data);
  }

  // The sample so far behind (or, if negative, before) the next one to be played.
  at(offset) {
    return this.ring[(this.start + offset + CAPACITY) % CAPACITY];
  }

  append(sample) {
    this.ring[(this.start + this.count) % CAPACITY] = sample;
    this.count += 1;
  }

  push(samples) {
    if (samples === null) {
      this.over = true;
      return;
    }
    this.over = false;
    let gain = this.gain;
    const step = (1 - gain) / RETURN;
    for (const sample of samples) {
      this.append((gain * sample) / 32768);
      gain = Math.min(1, gain + step);
    }
    this.gain = gain;
    this.bridged = 0;
    if (this.count > CAPACITY) {
      this.drop(this.count - CAPACITY);
    }
  }

  drop(count) {
    this.start = (this.start + count) % CAPACITY;
    this.count -= count;
    this.skipped += count;
  }

  process(_, [[output]]) {
    const wanted = output.length;
    if (!this.playing && this.count > 0 && (this.over || this.count >= this.safety + FRAME)) {
      this.playing = true;
      this.least = Infinity;
      this.windowed = 0;
      this.surplus = 0;
    }
    if (this.playing) {
      this.render(output, wanted);
    }
    this.report(wanted);
    return true;
  }

  render(output, wanted) {
    this.least = Math.min(this.least, this.count - wanted);
    while (this.count < wanted && !this.over && this.bridged < BRIDGE) {
      this.carryOn();
    }
    if (this.surplus >= SHORTEST && this.sinceSkip >= SKIP_EVERY) {
      this.skip();
    }
    const ready = Math.min(wanted, this.count);
    const runsOut = ready < wanted;
    for (let i = 0; i < ready; i += 1) {
      const weight = i / ready;
      const sample = this.fadeIn ? this.at(i) * weight : this.at(i);
      output[i] = runsOut ? sample * (1 - weight) : sample;
    }
    this.fadeIn = false;
    this.start = (this.start + ready) % CAPACITY;
    this.count -= ready;
    this.sinceSkip += wanted;
    if (runsOut) {
      this.playing = false;
      this.fadeIn = true;
      this.bridged = 0;
      this.gain = 1;
      return;
    }
    this.adapt(wanted);
  }

  // Likeness of the samples from `first` on to those `lag` further.
  likeness(first, lag) {
    let own = 0;
    let other = 0;
    let product = 0;
    for (let i = 0; i < TEMPLATE; i += 1) {
      const a = this.at(first + i);
      const b = this.at(first + lag + i);
      own += a * a;
      other += b * b;
      product += a * b;
    }
    const quiet = own + other < 2 * TEMPLATE * QUIET * QUIET;
    return { like: product / Math.sqrt(own * other + 1e-20), quiet };
  }

  // The lag of `from` to `to` at which the samples around `first` are most alike.
  best(first, from, to, sign) {
    let found = { lag: to, like: -1, quiet: false };
    for (let lag = from; lag <= to; lag += 1) {
      const { like, quiet } = this.likeness(first, sign * lag);
      if (like > found.like) {
        found = { lag, like, quiet };
      }
    }
    return found;
  }

  // Leave out a period, if the voice has one here.
  skip() {
    const longest = Math.floor(Math.min(LONGEST, this.surplus, (this.count - TEMPLATE) / 2));
    if (longest < SHORTEST) {
      return;
    }
    let { lag, like, quiet } = this.best(0, SHORTEST, longest, 1);
    if (quiet) {
      lag = longest;
    } else if (like < LEAST_LIKENESS && this.surplus < TOO_MUCH) {
      return;
    }
    for (let i = 0; i < lag; i += 1) {
      const there = (this.start + lag + i) % CAPACITY;
      this.ring[there] = this.at(i) + ((i + 0.5) / lag) * (this.ring[there] - this.at(i));
    }
    this.drop(lag);
    this.surplus -= lag;
    this.sinceSkip = 0;
  }

  // Carry the voice on by a period of its end, which fades if that has to be done for long.
  carryOn() {
    if (this.bridged === 0) {
      this.underruns += 1;
      this.safety = Math.min(MAX_SAFETY, this.safety + UNDERRUN_STEP);
      const end = this.count - TEMPLATE;
      const { lag, like } = this.best(end, SHORTEST_REPEATED, LONGEST, -1);
      const length = like > LEAST_PERIODIC ? lag : LONGEST;
      const step = this.at(this.count - 1) - this.at(this.count - 1 - length);
      this.period = Float32Array.from({ length }, (_, i) => this.at(this.count - length + i)
        + step * Math.max(0, 1 - i / SHORTEST_REPEATED));
    }
    for (const sample of this.period) {
      this.gain = Math.max(0, Math.min(1, 2 - (2 * this.bridged) / BRIDGE));
      this.append(this.gain * sample);
      this.bridged += 1;
    }
  }

  adapt(played) {
    this.safety = Math.max(MIN_SAFETY, this.safety - (SINK * played) / SECOND);
    this.windowed += played;
    if (this.windowed >= WINDOW) {
      this.surplus = Math.max(0, this.least - this.safety);
      this.least = Infinity;
      this.windowed = 0;
    }
  }

  report(played) {
    this.sinceReport += played;
    if (this.sinceReport < REPORT_EVERY) {
      return;
    }
    this.sinceReport = 0;
    this.port.postMessage({
      depth: this.count / SECOND,
      underruns: this.underruns,
      skipped: this.skipped / SECOND,
    });
  }
}

registerProcessor("playback", Playback);

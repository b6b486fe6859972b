// Plays frames as they come, with as little of them waiting as the network's jitter allows.
//
// `safety` is how much should always be left when the next frame comes. It grows when sound ran
// out and shrinks again; what was left at all times of the last two seconds and is more than that
// is skipped, 5 ms at a time and cross-faded. This follows clocks that drift as well.

const SECOND = sampleRate;
const CAPACITY = 2 * SECOND;
const FRAME = 0.02 * SECOND;
const MIN_SAFETY = 0.01 * SECOND;
const MAX_SAFETY = 0.4 * SECOND;
const UNDERRUN_STEP = 0.02 * SECOND;
// Of the safety, samples for each second played.
const SINK = 0.001 * SECOND;
const WINDOW = 2 * SECOND;
const SKIP = Math.round(0.005 * SECOND);
const SKIP_EVERY = 0.1 * SECOND;
const REPORT_EVERY = 0.25 * SECOND;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(CAPACITY);
    this.start = 0;
    this.count = 0;
    this.playing = false;
    this.over = true;
    this.safety = MIN_SAFETY;
    this.least = Infinity;
    this.surplus = 0;
    this.windowed = 0;
    this.sinceSkip = 0;
    this.sinceReport = 0;
    this.fadeIn = false;
    this.underruns = 0;
    this.skipped = 0;
    this.port.onmessage = (event) => this.push(event.data);
  }

  push(samples) {
    if (samples === null) {
      this.over = true;
      return;
    }
    this.over = false;
    for (const sample of samples) {
      this.ring[(this.start + this.count) % CAPACITY] = sample / 32768;
      this.count += 1;
    }
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
    const skips = this.surplus >= SKIP && this.sinceSkip >= SKIP_EVERY && this.count >= wanted + SKIP;
    const ready = Math.min(wanted, this.count);
    const runsOut = ready < wanted;
    for (let i = 0; i < ready; i += 1) {
      const weight = i / ready;
      let sample = this.ring[(this.start + i) % CAPACITY];
      if (skips) {
        sample += weight * (this.ring[(this.start + i + SKIP) % CAPACITY] - sample);
      }
      if (this.fadeIn) {
        sample *= weight;
      }
      output[i] = runsOut ? sample * (1 - weight) : sample;
    }
    this.fadeIn = false;
    this.start = (this.start + ready) % CAPACITY;
    this.count -= ready;
    this.sinceSkip += wanted;
    if (skips) {
      this.drop(SKIP);
      this.surplus -= SKIP;
      this.sinceSkip = 0;
    }
    if (runsOut) {
      this.playing = false;
      this.fadeIn = true;
      if (!this.over) {
        this.underruns += 1;
        this.safety = Math.min(MAX_SAFETY, this.safety + UNDERRUN_STEP);
      }
      return;
    }
    this.adapt(wanted);
  }

  adapt(played) {
    this.safety = Math.max(MIN_SAFETY, this.safety - (SINK * played) / SECOND);
    this.least = Math.min(this.least, this.count);
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

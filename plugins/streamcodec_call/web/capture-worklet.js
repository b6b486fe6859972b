// Collects the microphone's samples into frames of 20 ms of 16 bits.

const FRAME_SECONDS = 0.02;
const QUIETEST = -127;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(FRAME_SECONDS * sampleRate);
    this.frame = new Int16Array(this.size);
    this.filled = 0;
    this.power = 0;
  }

  process([input]) {
    const samples = input[0];
    if (!samples) {
      return true;
    }
    for (const sample of samples) {
      this.power += sample * sample;
      this.frame[this.filled] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      this.filled += 1;
      if (this.filled === this.size) {
        this.post();
      }
    }
    return true;
  }

  post() {
    const level = Math.max(QUIETEST, 10 * Math.log10(this.power / this.size + 1e-13));
    this.port.postMessage({ frame: this.frame.buffer, level }, [this.frame.buffer]);
    this.frame = new Int16Array(this.size);
    this.filled = 0;
    this.power = 0;
  }
}

registerProcessor("capture", Capture);

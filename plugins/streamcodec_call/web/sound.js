// Microphone and loudspeaker: samples of 16 bits, in frames of 20 ms, through audio worklets.

import { PLAYED_RATE, RATES } from "./frames.js";

const CONTEXT = { latencyHint: "interactive" };

export class Sound {
  // `captured(samples, level)` takes an Int16Array and its level in dB under full scale.
  static async open({ processed, captured }) {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new DOMException("no microphone on this page", "SecurityError");
    }
    const sound = new Sound();
    // Made before anything is waited for: phones let only a tap start sound.
    sound.player = new AudioContext({ ...CONTEXT, sampleRate: PLAYED_RATE });
    try {
      sound.stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: 1,
          echoCancellation: processed,
          noiseSuppression: processed,
          autoGainControl: processed,
        },
      });
      await sound.play();
      await sound.record(captured);
    } catch (error) {
      sound.close();
      throw error;
    }
    return sound;
  }

  async play() {
    await this.player.audioWorklet.addModule("playback-worklet.js");
    this.output = new AudioWorkletNode(this.player, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.playing = { depth: 0, underruns: 0, skipped: 0 };
    this.output.port.onmessage = (event) => {
      this.playing = event.data;
    };
    this.output.connect(this.player.destination);
    await this.player.resume();
  }

  async record(captured) {
    const [context, source] = this.source();
    this.recorder = context;
    await context.audioWorklet.addModule("capture-worklet.js");
    const input = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    input.port.onmessage = (event) => captured(new Int16Array(event.data.frame), event.data.level);
    source.connect(input);
    await context.resume();
  }

  // A context for the microphone: the player's where browsers resample, one at its own rate else.
  source() {
    try {
      return [this.player, this.player.createMediaStreamSource(this.stream)];
    } catch {
      let context = new AudioContext(CONTEXT);
      if (!RATES.includes(context.sampleRate)) {
        context.close();
        context = new AudioContext({ ...CONTEXT, sampleRate: 48000 });
      }
      return [context, context.createMediaStreamSource(this.stream)];
    }
  }

  get rate() {
    return this.recorder.sampleRate;
  }

  // Seconds between the player and the ear.
  get latency() {
    return this.player.outputLatency || this.player.baseLatency || 0;
  }

  mute(muted) {
    for (const track of this.stream.getAudioTracks()) {
      track.enabled = !muted;
    }
  }

  // Take a frame to be played; null: sound stops for now.
  push(samples) {
    this.output.port.postMessage(samples);
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.stop();
    }
    for (const context of new Set([this.player, this.recorder])) {
      context?.close();
    }
  }
}

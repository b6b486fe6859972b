// Frames between this page and its server; docs/call-gateway.md describes them.

export const VERSION = 1;
export const PATH = "/gateway";
export const RATES = [8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000];
export const PLAYED_RATE = 16000;
export const QUIETEST = -127;

export const PCM = 1;
export const SILENCE = 2;
export const LEVELS = 3;
const HEADER_BYTES = 4;
const MEMBER_BYTES = 4;
const SEQUENCE_SPAN = 0x10000;

// Refusals that trying again does not mend.
export const FINAL_CODES = new Set([
  "version", "token", "malformed", "rooms-full", "room-full", "gateway-full", "origin",
]);

// `samples` is an Int16Array. Typed arrays are little-endian wherever browsers run.
export function buildPcm(sequence, samples) {
  const frame = new ArrayBuffer(HEADER_BYTES + samples.byteLength);
  const header = new DataView(frame);
  header.setUint8(0, PCM);
  header.setUint16(2, sequence % SEQUENCE_SPAN, true);
  new Int16Array(frame, HEADER_BYTES).set(samples);
  return frame;
}

// Gives {kind, sequence, samples | levels}, or null for what this page does not know.
export function parseBinary(frame) {
  if (frame.byteLength < HEADER_BYTES) {
    return null;
  }
  const view = new DataView(frame);
  const kind = view.getUint8(0);
  const sequence = view.getUint16(2, true);
  if (kind === PCM && (frame.byteLength - HEADER_BYTES) % 2 === 0) {
    return { kind, sequence, samples: new Int16Array(frame, HEADER_BYTES) };
  }
  if (kind === SILENCE) {
    return { kind, sequence };
  }
  if (kind === LEVELS) {
    const levels = new Map();
    for (let at = HEADER_BYTES; at + MEMBER_BYTES <= frame.byteLength; at += MEMBER_BYTES) {
      levels.set(view.getUint16(at, true), -view.getUint8(at + 2));
    }
    return { kind, levels };
  }
  return null;
}

// Frames that were left out between two sequence numbers.
export function gap(before, after) {
  return (after - before - 1 + SEQUENCE_SPAN) % SEQUENCE_SPAN;
}

/**
 * Estimates the memory that JSON takes once it is parsed. Text needs little more than its own size, but an empty
 * object takes two bytes of JSON and 64 bytes of memory with its slot in the array around it.
 */
import { findStringEnd } from '../../../runtime/json-text.ts';

/** Bytes for each object or array, comma and colon: V8's smallest ones, on 64 bits. */
const containerBytes = 64;
const commaBytes = 8;
const colonBytes = 24;
/** Bytes for each character: the text, and the strings that are copied from it. */
const charBytes = 2;

/** Returns bytes, never far too low. Texts are passed over: reading all characters of 8 MB takes more than 20 ms. */
export function estimateHeapBytes(json: string): number {
  let bytes = json.length * charBytes;
  for (let index = 0; index < json.length; index += 1) {
    switch (json.charCodeAt(index)) {
      case 0x22: {
        const end = findStringEnd(json, index);
        if (end === -1) return bytes;
        index = end;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        bytes += containerBytes;
        break;
      case 0x2c: // ,
        bytes += commaBytes;
        break;
      case 0x3a: // :
        bytes += colonBytes;
        break;
      default:
    }
  }
  return bytes;
}

/**
 * Estimates how many tokens a request takes, for the history's size and the model's quota. An exact count
 * would cost a call of `countTokens` before each call of the model. Pure.
 *
 * | content | estimate | source |
 * |---|---|---|
 * | text, calls, results | 4 characters a token | ai.google.dev/gemini-api/docs/tokens |
 * | image | 1,120 tokens (Gemini 3; about four tiles of 258 before it) | …/media-resolution |
 * | PDF | 258 tokens a page | …/document-processing |
 * | audio | 32 tokens a second | …/audio |
 * | video | 263 tokens a second | …/tokens |
 *
 * Pages and seconds are not known before the call. They are derived from the size: 25 kB a page, 128 kbit/s
 * for audio, 1 Mbit/s for video. Real files can take several times more or fewer tokens; the quota is settled
 * with the true count.
 */
import type { Part } from '@google/genai';

const charsPerToken = 4;
const tokensPerImage = 1120;
const tokensPerPage = 258;
const bytesPerPage = 25_000;
const audio = { tokensPerSecond: 32, bytesPerSecond: 16_000 };
const video = { tokensPerSecond: 263, bytesPerSecond: 125_000 };

/** Returns whole tokens, rounded up once for all parts. Thought signatures are not counted. */
export function estimateTokens(parts: readonly Part[]): number {
  return Math.ceil(parts.reduce((sum, part) => sum + estimatePart(part), 0));
}

function estimatePart(part: Part): number {
  const { text, inlineData, fileData, functionResponse } = part;
  if (text !== undefined) return text.length / charsPerToken;
  if (inlineData?.data !== undefined) {
    return estimateFile(inlineData.mimeType, Buffer.byteLength(inlineData.data, 'base64'));
  }
  // The model reads the file itself, so its size is unknown: it counts as one image or page.
  if (fileData !== undefined) return estimateFile(fileData.mimeType, 1);
  const json = { ...part, thoughtSignature: undefined };
  if (functionResponse?.parts === undefined) return JSON.stringify(json).length / charsPerToken;
  const { parts: files, ...response } = functionResponse;
  const responseTokens = JSON.stringify({ ...json, functionResponse: response }).length / charsPerToken;
  return files.reduce((sum, { inlineData: file }) => {
    return sum + estimateFile(file?.mimeType, Buffer.byteLength(file?.data ?? '', 'base64'));
  }, responseTokens);
}

function estimateFile(mimeType = '', bytes: number): number {
  if (mimeType.startsWith('image/')) return tokensPerImage;
  if (mimeType.startsWith('text/')) return bytes / charsPerToken;
  if (mimeType.startsWith('audio/')) return (bytes / audio.bytesPerSecond) * audio.tokensPerSecond;
  if (mimeType.startsWith('video/')) return (bytes / video.bytesPerSecond) * video.tokensPerSecond;
  return Math.ceil(bytes / bytesPerPage) * tokensPerPage;
}

/** Checks the message of a send, and writes its parts as JSON. */
import type { Message as WireMessage, SendMessageRequest } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { messageFromWire } from '#shared/a2a/translate.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import type { Message } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import type { MessageLimits } from '#shared/runtime/config/api.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import { getCaller } from '../caller.ts';
import {
  hashLargeRequest,
  hashRequest,
  writeLargeParts,
  writeParts,
  type LargePartsJson,
  type PartsJson,
} from './message-json.ts';
import { checkMediaTypes, type MediaTypes } from '../validate/media-types.ts';
import { checkMessage } from '../validate/message.ts';

export interface CheckParts {
  mediaTypes: MediaTypes;
  largeWork: LargeWork;
  messageLimits: MessageLimits;
}

/** A request whose message has been checked. */
export interface CheckedSend {
  request: SendMessageRequest;
  context: ServerCallContext;
  /** The message as sent, and as stored. */
  wire: WireMessage;
  message: Message;
  partsJson: PartsJson | LargePartsJson;
  caller: Caller;
  requestHash: string;
  shown: boolean;
}

/** A large message must be checked by `checkLargeSend`. */
export function isLargeSend({ message }: SendMessageRequest): boolean {
  return measure(message?.parts, minLargeBytes) >= minLargeBytes;
}

export function checkSend(
  parts: CheckParts,
  request: SendMessageRequest,
  context: ServerCallContext,
  shown: boolean,
): CheckedSend {
  const caller = getCaller(context);
  const wire = checkMessage(request, parts.messageLimits);
  checkMediaTypes(parts.mediaTypes, wire, request.configuration?.acceptedOutputModes ?? []);
  const message = messageFromWire(wire);
  const partsJson = writeParts(message.parts);
  const requestHash = hashRequest(message, partsJson.json, request);
  return { request, context, wire, message, partsJson, caller, requestHash, shown };
}

/** Does the same in steps: checking, serialising, hashing and storing a large message occupy the event loop in turn. */
export async function checkLargeSend(
  parts: CheckParts,
  request: SendMessageRequest,
  context: ServerCallContext,
  shown: boolean,
): Promise<CheckedSend> {
  const caller = getCaller(context);
  const pause = () => parts.largeWork.start(caller.owner);
  await pause();
  const wire = checkMessage(request, parts.messageLimits);
  checkMediaTypes(parts.mediaTypes, wire, request.configuration?.acceptedOutputModes ?? []);
  const message = messageFromWire(wire);
  await pause();
  const partsJson = await writeLargeParts(message.parts, pause);
  const requestHash = await hashLargeRequest(message, partsJson, request, pause);
  await pause();
  return { request, context, wire, message, partsJson, caller, requestHash, shown };
}

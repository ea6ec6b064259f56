import { fromBase64, toBase64 } from "./base64.js";

/** A message of an application. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** Messages in JSON; `from` is the number of the first. */
export interface Batch {
  readonly from?: number;
  readonly messages?: readonly (string | { readonly b: string })[];
  readonly ack?: number;
  readonly taken?: number;
  readonly close?: { readonly code: number; readonly reason: string };
}

export function encode(from: number, messages: readonly Message[]): Batch {
  if (!messages.length) return {};
  return { from, messages: messages.map((message) => (typeof message === "string" ? message : { b: toBase64(message) })) };
}

export function decode(batch: Batch): Message[] {
  return (batch.messages ?? []).map((message) => (typeof message === "string" ? message : fromBase64(message.b)));
}

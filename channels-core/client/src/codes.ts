/**
 * What a close code means for a client.
 *
 * - `final`: it is over.
 * - `lost`: the carrier is, and the session may go on.
 * - `again`: the session is over; a new one after a pause.
 * - `at once`: the session is over; a new one without a pause.
 */
export type Meaning = "final" | "lost" | "again" | "at once";

const FINAL = new Set([
  1000, // done
  1002, 1003, 1007, 1009, 1010, // what was sent would be refused again
  1008, // a rule of the consumer's
  3000, 3003, // unauthorized, forbidden (IANA)
]);
const LOST = new Set([
  1001, 1005, 1006, 1014, 1015, // said by something between here and the server, or by nobody
  4409, // another carrier took over
]);
const AT_ONCE = new Set([
  4000, // it lived as long as it may
  4410, // the session cannot go on
]);

export function meaning(code: number): Meaning {
  if (FINAL.has(code) || (code >= 4500 && code <= 4999)) return "final";
  if (LOST.has(code)) return "lost";
  return AT_ONCE.has(code) ? "at once" : "again";
}

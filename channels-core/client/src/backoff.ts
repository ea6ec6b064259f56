/**
 * A pause before attempt `attempt`, counted from 0: anything between nothing and a bound that doubles (full jitter), so that
 * clients that were cut at once do not come back at once.
 */
export function fullJitter(attempt: number, min: number, max: number): number {
  return Math.random() * Math.min(max, min * 2 ** attempt);
}

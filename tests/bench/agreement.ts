/**
 * Do two engines compute the same? Only then is it fair to compare how fast they do.
 *
 * They round differently: webtern makes activations 8 bits wide with one scale for a row or a block, wllama with one for every 32, and keys
 * and values are kept in other types. So logits differ a little, and where two tokens are nearly as likely, each may take another: with
 * random weights that happens every dozen tokens. But then the other's own probabilities must call it a near-tie. Each prompt is
 * followed to the first token that differs, because the texts before the later ones differ, too.
 *
 * What is this worth? Random logits of SmolLM2's shape have a deviation of 0.5, and the best of 49,152 is 2 above their mean, about 0.1 above the
 * next. An engine that computes something else takes one within {@link TOLERANCE} of the best less than once in ten thousand times, so it does
 * not do so for ten prompts. What this cannot see is an error of a few percent: that is for the tests of the kernels and of the logits.
 */

import type { Step } from './page/engine.js'

/** How much less likely the token may be that webtern takes instead of the likeliest, in nats. */
export const TOLERANCE = 0.1

/** How far one prompt was followed. */
export interface Comparison {
  /** Tokens that are equal. */
  readonly equal: number
  /** The first that is not, if any. */
  readonly difference?: Difference
}

/** Where webtern takes another token. */
export interface Difference {
  readonly ours: number
  readonly theirs: number
  /** How much less likely ours is by their probabilities, in nats; infinite when it is not among their candidates. */
  readonly gap: number
}

/** Follows webtern's tokens along another engine's, which tells candidates. */
export function compare(ours: readonly Step[], theirs: readonly Step[]): Comparison {
  for (const [i, { token, candidates }] of theirs.entries()) {
    const own = ours[i]?.token
    if (own === token) continue
    if (own === undefined) return { equal: i }
    const logprob = (id: number): number => candidates.find((candidate) => candidate.token === id)?.logprob ?? -Infinity
    return { equal: i, difference: { ours: own, theirs: token, gap: logprob(token) - logprob(own) } }
  }
  return { equal: theirs.length }
}

/** What all prompts came to. */
export interface Agreement {
  /** Tokens compared: those that are equal and the near-ties. */
  readonly tokens: number
  readonly nearTies: number
  /** The widest near-tie, in nats. */
  readonly widest: number
}

/** Sums up comparisons. The first difference that is more than a near-tie comes back as it is. */
export function agreement(comparisons: readonly Comparison[]): Agreement | Difference {
  const differences = comparisons.flatMap(({ difference }) => difference ?? [])
  const real = differences.find(({ gap }) => !(gap <= TOLERANCE))
  if (real) return real
  return {
    tokens: comparisons.reduce((sum, { equal }) => sum + equal, differences.length),
    nearTies: differences.length,
    widest: Math.max(0, ...differences.map(({ gap }) => gap)),
  }
}

/** What another engine's check came to: it agrees, or it does not run the model. */
export type Verdict = { readonly agreement: Agreement } | { readonly refusal: string }

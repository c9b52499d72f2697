/**
 * What decoding block by block costs, and how much a pass must bring to be worth it.
 *
 * A block of {@link BLOCK} tokens takes some passes over the block and one more to store it (commit). One token at a time takes a pass over
 * one row for each. So a block is faster when its passes bring more than `BLOCK * passMs / (BLOCK * tokenMs - commitMs)` tokens each.
 */

import type { BlockRun, BlockRuns } from './page/engine.js'
import { median } from './statistics.js'
import { byCase, type Case } from './schedule.js'

/** Tokens of a block. */
export const BLOCK = 32

/** Milliseconds of the parts. */
export interface BlockCost {
  /** A pass over the whole block, of which half is masked on average. */
  readonly passMs: number
  /** With the dual cache: a pass over a sub-block of 8, or now and then over the block; their mean. */
  readonly dualPassMs: number
  /** A pass over a block whose logits nobody wants, as in a prefill. */
  readonly commitMs: number
}

/** A case, its median costs, and the tokens that a pass must bring to beat one token at a time. */
export interface BlockRow extends Case, BlockCost {
  readonly tokensToBeatAr: number
  readonly dualTokensToBeatAr: number
}

/** The parts of what runs took, when a token of a prefill takes `rowMs`. */
export function costOf({ full, dual }: BlockRuns, rowMs: number): BlockCost {
  const commitMs = BLOCK * rowMs
  const passMs = ({ ms, commits, passes }: BlockRun): number => (ms - commits * commitMs) / passes
  return { commitMs, passMs: passMs(full), dualPassMs: passMs(dual) }
}

/** Medians of every case that was measured. `tokenMs` is its pass over one token. */
export function blockRows(
  measured: readonly (Case & {
    readonly cost: BlockCost
    readonly tokenMs: number
  })[],
): readonly BlockRow[] {
  return byCase(measured).map((same) => {
    const [{ engine, model, threads }] = same
    const tokenMs = median(same.map((each) => each.tokenMs))
    const passMs = median(same.map(({ cost }) => cost.passMs))
    const dualPassMs = median(same.map(({ cost }) => cost.dualPassMs))
    const commitMs = median(same.map(({ cost }) => cost.commitMs))
    const toBeat = (ms: number): number => (BLOCK * ms) / (BLOCK * tokenMs - commitMs)
    return {
      engine,
      model,
      threads,
      passMs,
      dualPassMs,
      commitMs,
      tokensToBeatAr: toBeat(passMs),
      dualTokensToBeatAr: toBeat(dualPassMs),
    }
  })
}

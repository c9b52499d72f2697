/** Why a run ends without a result. */

/** `bad-option`: wrong usage. `missing`: a file or program. `disagreement`: engines do not write the same, so nothing is timed. */
export type BenchErrorCode = 'bad-option' | 'missing' | 'disagreement'

export class BenchError extends Error {
  override readonly name = 'BenchError'
  readonly code: BenchErrorCode

  constructor(code: BenchErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

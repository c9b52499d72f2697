/** What both stand-ins need. */

export class FakeError extends Error {
  override readonly name = 'WebternError'
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}

/** The one error class, and how an error crosses the worker boundary. */

import type * as types from './types.js'
import type { ErrorCode } from './types.js'

/** Every failure of this package. The message says what is wrong, where, and what to do. */
export class WebternError extends Error implements types.WebternError {
  override readonly name = 'WebternError'
  readonly code: types.WebternError['code']

  constructor(code: types.WebternError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** An error as it travels between worker and page. */
export interface ErrorMessage {
  readonly code: string
  readonly message: string
  /** Where in the worker it happened. */
  readonly stack: string | undefined
}

/** Takes an error apart, to be sent. */
export function packError(error: WebternError): ErrorMessage {
  return { code: error.code, message: error.message, stack: error.stack }
}

/** Rebuilds a sent error; its stack shows both sides. */
export function unpackError({ code, message, stack }: ErrorMessage): WebternError {
  const error = new WebternError(code, message)
  if (stack !== undefined) error.stack = `${error.stack ?? message}\n  in the worker: ${stack}`
  return error
}

/**
 * The stable code that `error` carries, if any: the WebAssembly edge throws plain errors that do.
 * Codes are lower-case words with hyphens; ones that this package does not know yet count too.
 */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  return /^[a-z]+(-[a-z]+)*$/.test(error.code) ? error.code : undefined
}

/** `error` itself if it is ours already, else ours around it: with its own code, or `fallback`. */
export function toWebternError(error: unknown, fallback: ErrorCode): WebternError {
  if (error instanceof WebternError) return error
  return new WebternError(codeOf(error) ?? fallback, messageOf(error), { cause: error })
}

/** Message of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

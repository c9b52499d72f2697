/** The one error class, and how an error crosses the worker boundary. */

import type * as types from './types.js'
import type { ErrorCode } from './types.js'

const CODES: Readonly<Record<ErrorCode, true>> = {
  network: true,
  http: true,
  io: true,
  truncated: true,
  'not-gguf': true,
  'unsupported-architecture': true,
  'unsupported-type': true,
  malformed: true,
  limits: true,
  'out-of-memory': true,
  'no-mask-token': true,
  'context-full': true,
  'bad-option': true,
  aborted: true,
  crashed: true,
  integrity: true,
}

/** Every failure of this package. The message says what is wrong, where, and what to do. */
export class WebternError extends Error implements types.WebternError {
  override readonly name = 'WebternError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** An error as it travels between worker and page. */
export interface ErrorMessage {
  readonly code: ErrorCode
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

/** The stable code that `error` carries, if it carries one: the WebAssembly edge throws plain errors that do. */
export function codeOf(error: unknown): ErrorCode | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  return isErrorCode(error.code) ? error.code : undefined
}

/** `error` itself if it is ours already, else ours around it: with its own code, or `fallback`. */
export function toWebternError(error: unknown, fallback: ErrorCode): WebternError {
  if (error instanceof WebternError) return error
  return new WebternError(codeOf(error) ?? fallback, messageOf(error), { cause: error })
}

/** What a thrown thing says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(CODES, code)
}

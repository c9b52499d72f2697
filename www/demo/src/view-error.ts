/** The error panel: a title, the library's message and code, and advice. */

import { fromTemplate, part, setText } from './dom'
import type { ErrorCode } from 'webtern'

/** What an error means, and what to do next. */
export interface Words {
  readonly title: string
  readonly advice: string
}

const WORDS: Readonly<Record<ErrorCode, Words>> = {
  network: {
    title: 'The connection failed',
    advice:
      'Check the address and the connection, then try again. The cause may also be a server that does not allow other sites to read its files (CORS): then download the file and open it from this computer.',
  },
  http: {
    title: 'The server did not send the model',
    advice: 'Check the address; on Hugging Face use the “resolve” link, not the page that shows the file.',
  },
  io: {
    title: 'The file could not be read',
    advice: 'It may have moved or changed. Choose it again.',
  },
  truncated: {
    title: 'The file is incomplete',
    advice: 'The download was interrupted, or the file was. Load it again, or download it again.',
  },
  'not-gguf': {
    title: 'This is not a GGUF file',
    advice: 'Only GGUF files run. Use “Convert” for a checkpoint in safetensors or PyTorch format.',
  },
  'unsupported-architecture': {
    title: 'Unsupported architecture',
    advice: 'Choose a model of an architecture that the message names.',
  },
  'unsupported-type': {
    title: 'Unsupported quantization',
    advice: 'Look for another quantization of the same model, for example Q8_0 or Q4_K.',
  },
  malformed: {
    title: 'The file is damaged',
    advice: 'Download it again, or from another source.',
  },
  limits: {
    title: 'The file exceeds a safety limit',
    advice: 'A size in it is implausibly large. Download it from another source if you expected it to work.',
  },
  'out-of-memory': {
    title: 'Not enough memory',
    advice: 'Close other tabs, or choose a smaller model or a smaller quantization.',
  },
  'no-mask-token': {
    title: 'Not a diffusion model',
    advice: 'The model has no mask token. Set the mode to “auto” or “ar”.',
  },
  'context-full': {
    title: 'The text does not fit the context',
    advice: 'Start a new conversation, shorten the prompt, or lower “Max tokens”.',
  },
  'bad-option': { title: 'A setting is out of range', advice: 'Correct the setting that the message names.' },
  aborted: { title: 'Cancelled', advice: 'Nothing is running.' },
  crashed: {
    title: 'The engine stopped unexpectedly',
    advice:
      'Load the model again. If it happens again with the same prompt, please report it with the model and the prompt.',
  },
  'unsupported-platform': {
    title: 'Not a browser',
    advice: 'webtern runs in web pages. Open this page in a current browser.',
  },
  'foreign-session': {
    title: 'This session belongs to another model',
    advice: 'Begin a new one: sessions continue with the model and the version that saved them.',
  },
  integrity: { title: 'The file is not the expected one', advice: 'Its checksum is wrong. Download it again.' },
}

const UNKNOWN: Words = {
  title: 'Something went wrong in the page',
  advice: 'Reload the page. If it happens again, please report it.',
}

/** Words for codes that this page does not know. */
const OTHER: Words = {
  title: 'The operation failed',
  advice: 'The message gives the reason.',
}

/** The code of a library error, or `unknown` for anything else. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
}

function wordsOf(code: string, special: Partial<Readonly<Record<ErrorCode, Words>>>): Words {
  if (code === 'unknown') return UNKNOWN
  return isKnown(code) ? (special[code] ?? WORDS[code]) : OTHER
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(WORDS, code)
}

export class ErrorView {
  readonly #panel: HTMLElement
  readonly #retry: HTMLButtonElement
  #again: (() => void) | null = null

  /**
   * Fills the panel `id`. `words` replace the usual ones; `dismissed` moves the focus to where work goes on.
   */
  constructor(
    id: string,
    private readonly words: Partial<Readonly<Record<ErrorCode, Words>>>,
    dismissed: () => void,
  ) {
    this.#panel = fromTemplate(id, 'error-template')
    this.#retry = part(this.#panel, 'retry', HTMLButtonElement)
    part(this.#panel, 'dismiss', HTMLButtonElement).addEventListener('click', () => {
      this.hide()
      dismissed()
    })
    this.#retry.addEventListener('click', () => {
      const again = this.#again
      this.hide()
      again?.()
    })
  }

  /** `again` repeats what failed, if that can help. */
  show(error: unknown, again: (() => void) | null): void {
    const code = codeOf(error)
    const words = wordsOf(code, this.words)
    this.#again = again
    this.#retry.hidden = again === null
    this.#say('title', words.title)
    this.#say('code', code)
    this.#say('message', error instanceof Error ? error.message : String(error))
    this.#say('advice', words.advice)
    this.#panel.dataset['code'] = code
    this.#panel.hidden = false
    this.#panel.focus({ preventScroll: true })
    this.#panel.scrollIntoView({ block: 'nearest' })
  }

  hide(): void {
    this.#again = null
    this.#panel.hidden = true
    delete this.#panel.dataset['code']
  }

  #say(name: string, text: string): void {
    setText(part(this.#panel, name, HTMLElement), text)
  }
}

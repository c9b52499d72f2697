/** The error panel: what went wrong in words, the library's own message, its code, and what to do next. */

import { byId, setText } from './dom'
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
      'Check the address and the connection, then try again. A server that does not allow other pages to read its files (CORS) looks the same from here: in that case download the file and open it from this computer.',
  },
  http: {
    title: 'The server did not send the model',
    advice: 'Check the address; on Hugging Face use the “resolve” link, not the page that shows the file.',
  },
  io: {
    title: 'The file could not be read',
    advice: 'It may have been moved or changed since it was chosen. Choose it again.',
  },
  truncated: {
    title: 'The file ends too early',
    advice: 'The download was cut or the file is incomplete. Load it again, or download it anew.',
  },
  'not-gguf': {
    title: 'This is not a GGUF file',
    advice: 'Only GGUF files run. A checkpoint in safetensors or PyTorch format becomes one under “Convert”.',
  },
  'unsupported-architecture': {
    title: 'This kind of model is not supported',
    advice: 'Choose a model of one of the architectures that the message names.',
  },
  'unsupported-type': {
    title: 'This quantization is not supported',
    advice: 'Look for another quantization of the same model, for example Q8_0 or Q4_K.',
  },
  malformed: {
    title: 'The file is damaged',
    advice: 'It contradicts its own format. Download it again, or get it from another source.',
  },
  limits: {
    title: 'The file exceeds a safety limit',
    advice: 'A size in it is too large to be real. Get it from another source if you expected it to work.',
  },
  'out-of-memory': {
    title: 'Not enough memory',
    advice: 'Close other tabs, or choose a smaller model or a smaller quantization.',
  },
  'no-mask-token': {
    title: 'This model cannot fill blocks',
    advice: 'It has no mask token, so it writes one token after another. Set the mode to “auto” or “ar”.',
  },
  'context-full': {
    title: 'The text has outgrown the context',
    advice: 'Start a new page, shorten the prompt, or lower “Max tokens”.',
  },
  'bad-option': { title: 'A setting is out of range', advice: 'Correct the setting that the message names.' },
  aborted: { title: 'Cancelled', advice: 'Nothing is running any more.' },
  crashed: {
    title: 'The engine stopped unexpectedly',
    advice:
      'Load the model again. If it happens twice with the same prompt, please report it with the model and the prompt.',
  },
  integrity: { title: 'The file is not the expected one', advice: 'Its checksum differs. Download it again.' },
}

const UNKNOWN: Words = {
  title: 'Something went wrong in the page',
  advice: 'Reload the page. If it happens again, please report it.',
}

/** The code of a library error, or `unknown` for anything else. */
export function codeOf(error: unknown): ErrorCode | 'unknown' {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return 'unknown'
  return isKnown(error.code) ? error.code : 'unknown'
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(WORDS, code)
}

export class ErrorView {
  readonly #panel: HTMLElement
  readonly #retry: HTMLButtonElement
  #again: (() => void) | null = null

  /**
   * `id` is that of the panel, with which those of its parts begin; `words` are said in place of the usual ones;
   * `dismissed` puts the keyboard where work goes on.
   */
  constructor(
    private readonly id: string,
    private readonly words: Partial<Readonly<Record<ErrorCode, Words>>>,
    dismissed: () => void,
  ) {
    this.#panel = byId(id, HTMLElement)
    this.#retry = byId(`${id}-retry`, HTMLButtonElement)
    byId(`${id}-dismiss`, HTMLButtonElement).addEventListener('click', () => {
      this.hide()
      dismissed()
    })
    this.#retry.addEventListener('click', () => {
      const again = this.#again
      this.hide()
      again?.()
    })
  }

  /** `again` repeats what failed, where repeating makes sense. */
  show(error: unknown, again: (() => void) | null): void {
    const code = codeOf(error)
    const words = code === 'unknown' ? UNKNOWN : (this.words[code] ?? WORDS[code])
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

  #say(part: string, text: string): void {
    setText(byId(`${this.id}-${part}`, HTMLElement), text)
  }
}

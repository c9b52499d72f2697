/** Suggestions as chips: one click asks. */

import { el } from './dom'
import type { Suggestion, Suggestions } from './suggestions'

export class SuggestionsView {
  #story = ''

  constructor(
    private readonly place: HTMLElement,
    private readonly suggestions: Suggestions,
    private readonly choose: (turns: readonly string[]) => void,
  ) {
    this.#draw()
  }

  /** Puts what can be asked about `story` first, if it is not empty. */
  follow(story: string): void {
    if (story === this.#story) return
    this.#story = story
    this.#draw()
  }

  #draw(): void {
    const present = this.suggestions.present(this.#story)
    const about = present.filter(({ task }) => task === 'recall' && this.#story !== '')
    const others = present.filter((suggestion) => !about.includes(suggestion))
    const more = el(
      'button',
      { type: 'button', class: 'quiet more', 'data-testid': 'more-suggestions', title: 'Other suggestions' },
      '↻ Others',
    )
    more.addEventListener('click', () => {
      this.suggestions.renew()
      this.#draw()
      this.place.querySelector<HTMLElement>('.more')?.focus()
    })
    this.place.replaceChildren(...[...about, ...others].map((suggestion) => this.#chip(suggestion)), more)
  }

  #chip(suggestion: Suggestion): HTMLElement {
    const { task, turns } = suggestion
    const words = turns.length > 1 ? `A story, then: ${turns.at(-1) ?? ''}` : (turns[0] ?? '')
    const chip = el(
      'button',
      {
        type: 'button',
        class: 'example',
        'data-testid': 'suggestion',
        'data-task': task,
        title: turns.join(' Then: '),
      },
      words,
    )
    chip.addEventListener('click', () => {
      this.suggestions.renew(task)
      this.#draw()
      this.choose(turns)
    })
    return chip
  }
}

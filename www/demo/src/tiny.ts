/** The model that comes with the page: how it is chosen, and how much of a conversation it is told. */

import type { ChatMessage } from 'webtern'
import type { Choice } from './view-picker'

export const TINY: Choice = { source: 'tiny', label: 'tiny', examples: [] }

/** The story that was told last, asked for and told; empty when there was none. */
export function lastStory(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const asked = messages.filter(({ role, content }) => role === 'user' && asksForStory(content)).at(-1)
  return asked ? messages.slice(messages.indexOf(asked)).slice(0, 2) : []
}

/**
 * What the model is told before `question`. It was trained on single questions and on questions about a story just told,
 * and does best on what it was trained on. The latter are in the past tense.
 */
export function remembered(messages: readonly ChatMessage[], question: string): readonly ChatMessage[] {
  return isAboutStory(question) ? lastStory(messages) : []
}

function asksForStory(text: string): boolean {
  return /\bstory\b/i.test(text) && !isAboutStory(text)
}

function isAboutStory(text: string): boolean {
  return /\bwas\b/i.test(text)
}

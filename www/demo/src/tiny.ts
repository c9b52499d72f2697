/** How much of a conversation the embedded model receives. */

import type { ChatMessage } from 'webtern'

/** The latest story: the request and the answer; empty if there was none. */
export function lastStory(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const asked = messages.filter(({ role, content }) => role === 'user' && asksForStory(content)).at(-1)
  return asked ? messages.slice(messages.indexOf(asked)).slice(0, 2) : []
}

/**
 * The messages to send before `question`. The model was trained on single questions, and on questions
 * about the story before them, which are in the past tense.
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

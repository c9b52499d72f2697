/**
 * The texts that engines continue: English, cut to so many tokens of a model. All engines get the same text and cut it into the same
 * number of tokens, which is checked. No two prompts begin alike, so that no engine has a prompt's beginning in its cache already.
 */

import { BLOCK } from './blocks.js'
import { BenchError } from './errors.js'

/** Every prompt begins with another of these sentences, and goes on with those that follow. */
const SENTENCES = [
  'Every morning the old ferry crossed the bay before the fog had lifted.',
  'On board were two sailors, a cook, and a dog that nobody had ever claimed.',
  'Their captain kept a small brass clock in her coat and trusted nothing else.',
  'People on the island said the clock had once belonged to a lighthouse keeper.',
  'He had counted the waves for forty years and written each number in a book.',
  'When he died, the book was found to contain a single mistake on the last page.',
  'Nobody could say which wave was missing, and so the children made up stories.',
  'Some told of a whale that had swallowed it on a cold day in March.',
  'Others were sure that it had turned around halfway and gone home again.',
  'A teacher from the mainland wrote all of these stories down in green ink.',
  'She rented a room above the bakery, where the windows were warm at night.',
  'Bread was sold from five until the shelves were empty, which was never late.',
  'If you came after that, you could still have tea and hear about the weather.',
  'Rain meant that the ferry would wait; wind meant that it would not come at all.',
  'One autumn the wind blew for nine days, and the island ran out of sugar.',
  'So the baker used honey, and people liked it so much that he never changed it back.',
  'Far away in the city, a merchant heard about the bread and made a long journey.',
  'He asked for the recipe, but there was none, only a list of what to leave out.',
  'With that list in his pocket he stood at the harbour and watched the grey water.',
  'At last the ferry came, the captain looked at her clock, and they sailed without a word.',
]

/** The prompts of one model. */
export interface Prompts {
  /** Two of {@link PREFILL_TOKENS}, to warm up with in turns. */
  readonly warmUp: readonly [string, string]
  /** Of {@link PREFILL_TOKENS}, to time. */
  readonly prefill: string
  /** Two short ones of the same length. */
  readonly short: readonly [string, string]
  /** Of a block less {@link BLOCK_TOKENS}. */
  readonly block: string
  /** Of several lengths, to compare what engines write. */
  readonly compared: readonly string[]
}

export const PREFILL_TOKENS = 128
export const SHORT_TOKENS = 8
/** Tokens that fill a block. */
export const BLOCK_TOKENS = 8
const COMPARED_TOKENS = [4, 8, 12, 16, 24, 32, 48, 64, 96, PREFILL_TOKENS]

/** Cuts all prompts, for a tokenizer that `count` asks. */
export async function cutPrompts(count: (text: string) => Promise<number>): Promise<Prompts> {
  let next = 0
  const cut = (tokens: number): Promise<string> => cutTo(tokens, wordsFrom(next++), count)
  return {
    warmUp: [await cut(PREFILL_TOKENS), await cut(PREFILL_TOKENS)],
    prefill: await cut(PREFILL_TOKENS),
    short: [await cut(SHORT_TOKENS), await cut(SHORT_TOKENS)],
    block: await cut(BLOCK - BLOCK_TOKENS),
    compared: await inTurn(COMPARED_TOKENS, cut),
  }
}

async function inTurn<T, U>(items: readonly T[], work: (item: T) => Promise<U>): Promise<U[]> {
  const done: U[] = []
  for (const item of items) done.push(await work(item))
  return done
}

/** All words, from a sentence on and around to it. */
function wordsFrom(sentence: number): string[] {
  return [...SENTENCES.slice(sentence), ...SENTENCES.slice(0, sentence)].join(' ').split(' ')
}

/**
 * Words that are exactly `tokens` tokens together. Words that are too long for the rest are left out: a cut one is no word.
 *
 * @throws {BenchError} `bad-option` when there are not enough short words
 */
export async function cutTo(
  tokens: number,
  words: readonly string[],
  count: (text: string) => Promise<number>,
): Promise<string> {
  let text = ''
  for (const word of words) {
    const longer = text === '' ? word : `${text} ${word}`
    const length = await count(longer)
    if (length <= tokens) text = longer
    if (length === tokens) return text
  }
  throw new BenchError('bad-option', `no prompt of exactly ${tokens} tokens can be made for this model`)
}

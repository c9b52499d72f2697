/** Suggestions for the embedded model: one of each task at a time, another one whenever it was used. */

import { suggestions } from 'virtual:suggestions'

/** The tasks, what shows best first. */
const TASKS = [
  ...['story', 'sort', 'add', 'spell', 'count', 'recall', 'reverse', 'opposite', 'subtract', 'month', 'day', 'other'],
  ...['hello', 'thanks'],
] as const

/** Those with the longest answers. */
const RACED = ['story', 'count', 'sort', 'spell', 'reverse'] as const

/** What the person says, turn by turn. All but the last only lead up to it. */
export interface Suggestion {
  readonly task: string
  readonly turns: readonly string[]
}

export class Suggestions {
  readonly #at: Map<string, number>

  private constructor(tasks: readonly string[]) {
    const known = tasks.filter((task) => suggestions[task] !== undefined)
    this.#at = new Map(known.map((task) => [task, Math.floor(Math.random() * 1000)]))
  }

  /** Of every task. */
  static all(): Suggestions {
    return new Suggestions(TASKS)
  }

  /** Those that make a race. */
  static raced(): Suggestions {
    return new Suggestions(RACED)
  }

  /** The present ones. After `story`, which may be empty, questions about that story are among them. */
  present(story: string): readonly Suggestion[] {
    return [...this.#at].flatMap(([task, at]) => {
      const of = suggestions[task] ?? []
      const turns = of[at % of.length]
      if (!turns) return []
      return [{ task, turns: task === 'recall' && story !== '' ? [questionAbout(story, at)] : turns }]
    })
  }

  /** Takes the next one of `task`, or of every task. */
  renew(task?: string): void {
    for (const [name, at] of this.#at) if (task === undefined || task === name) this.#at.set(name, at + 1)
  }
}

/** A question whose answer is in the story: the last turn of a `recall`, which may name an animal. */
function questionAbout(story: string, at: number): string {
  const questions = (suggestions['recall'] ?? []).map((turns) => turns.at(-1) ?? '')
  const fitting = [...new Set(questions)].filter((question) => {
    const named = /was the (\w+)/.exec(question)?.[1]
    return named === undefined || story.includes(named)
  })
  return fitting[at % fitting.length] ?? ''
}

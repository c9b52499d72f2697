/** What the page knows, in one place. Views subscribe; only the controller (`app.ts`) writes. */

import type { Model } from 'webtern'
import type { Choice } from './choice'

/** `empty`: no model. `loading`: one is coming. `ready`: waiting for a prompt. `running`: writing. */
export type Phase = 'empty' | 'loading' | 'ready' | 'running'
export type Tab = 'chat' | 'completion'
/** `run`: models. `race`: two ways to decode, side by side. `convert`: checkpoints. */
export const VIEWS = ['run', 'race', 'convert'] as const
export type View = (typeof VIEWS)[number]

export interface State {
  readonly view: View
  readonly phase: Phase
  readonly model: Model | null
  /** What the model was loaded from. */
  readonly choice: Choice | null
  readonly tab: Tab
  /** The picker is open although a model is loaded. */
  readonly picking: boolean
}

type Listener = (state: State, before: State) => void

export class Store {
  #state: State = { view: 'run', phase: 'empty', model: null, choice: null, tab: 'chat', picking: false }
  readonly #listeners: Listener[] = []

  get state(): State {
    return this.#state
  }

  subscribe(listener: Listener): void {
    this.#listeners.push(listener)
  }

  set(change: Partial<State>): void {
    const before = this.#state
    this.#state = { ...before, ...change }
    for (const listener of this.#listeners) listener(this.#state, before)
  }
}
